"""Builds pydantic's type adapters for arguments and results; an error names the parameter that caused it."""

from __future__ import annotations

import collections
import types
import typing
from typing import TYPE_CHECKING, Any, NotRequired, cast

import typing_extensions
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

from otel_tools._arguments.annotations import (
    NotYetDefined,
    is_v1_model,
    namespaces_of,
    resolve_annotation,
    undefined_message,
    unusable_message,
)
from otel_tools._arguments.parameters import EMPTY, optional_parameter
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.parameters import Parameter
    from otel_tools._call.function_info import FunctionInfo

__all__ = ["arguments_adapter", "result_adapter", "var_keyword_adapter"]


def arguments_adapter(tool: str, parameters: list[Parameter], var_positional: Parameter | None) -> TypeAdapter[Any]:
    """An adapter for a dictionary of these parameters and of no others.

    Raises:
        NotYetDefined: A class refers to a name that is not defined yet.
        ConfigurationError: pydantic cannot check an annotation.
    """
    fields = {item.name: item.annotation if item.required else NotRequired[item.annotation] for item in parameters}
    if var_positional is not None:
        fields[var_positional.name] = NotRequired[types.GenericAlias(list, (var_positional.annotation,))]

    def build() -> TypeAdapter[Any]:
        # The keys are known at run time only, so a type checker cannot read this TypedDict.
        arguments = cast("Any", typing_extensions.TypedDict)(tool, fields)
        # Nested dataclasses and TypedDicts inherit "forbid": else pydantic drops their unknown keys silently.
        arguments.__pydantic_config__ = ConfigDict(extra="forbid", populate_by_name=True)
        return TypeAdapter(arguments)

    return _build(tool, build, parameters if var_positional is None else [*parameters, var_positional])


def var_keyword_adapter(tool: str, var_keyword: Parameter | None) -> TypeAdapter[Any] | None:
    """An adapter for the dictionary of ``**kwargs``; None where there is none, or where it has no type.

    Raises:
        NotYetDefined: As `arguments_adapter`.
        ConfigurationError: As `arguments_adapter`.
    """
    if var_keyword is None or var_keyword.annotation is Any:
        return None
    dictionary: Any = types.GenericAlias(dict, (str, var_keyword.annotation))
    return _build(tool, lambda: TypeAdapter(dictionary), [var_keyword])


def result_adapter(info: FunctionInfo) -> TypeAdapter[Any] | None:
    """An adapter for the return annotation; of an awaitable, for what it is awaited for.

    A class that pydantic does not know is checked with `isinstance`.

    Returns:
        None where anything may be returned.

    Raises:
        NotYetDefined: A name in the annotation is not defined yet.
        ConfigurationError: There is no return annotation, or pydantic cannot check it.
    """
    declared = info.arguments.signature.return_annotation
    if declared is EMPTY:
        raise ConfigurationError(
            f"tool {info.tool!r}: validate='both' checks the result by its annotation, and there is none: "
            "annotate what the function returns, or use validate=True"
        )
    namespaces = namespaces_of(info)
    annotation = resolve_annotation(info.tool, "return", declared, namespaces)
    if typing.get_origin(annotation) in (collections.abc.Awaitable, collections.abc.Coroutine):
        annotation = typing.get_args(annotation)[-1]
    if annotation in (Any, object):
        return None

    def build() -> TypeAdapter[Any]:
        try:
            return TypeAdapter(annotation)
        except PydanticSchemaGenerationError:
            return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))

    return _build(info.tool, build, [optional_parameter("return", annotation)])


def _without_v1_models(adapter: TypeAdapter[Any]) -> TypeAdapter[Any]:
    """The adapter; pydantic builds one for a model of its version 1 too, which then fails at each call.

    Raises:
        TypeError: There is such a model in it.
    """
    remaining: list[Any] = [adapter.core_schema]
    while remaining:
        part = remaining.pop()
        if isinstance(part, dict):
            remaining.extend(part.values())
        elif isinstance(part, (list, tuple)):
            remaining.extend(part)
        elif isinstance(owner := getattr(part, "__self__", None), type) and is_v1_model(owner):
            raise TypeError(f"{owner.__name__} is a model of pydantic's version 1, and not of version 2")
    return adapter


def _build(tool: str, build: Callable[[], TypeAdapter[Any]], parameters: list[Parameter]) -> TypeAdapter[Any]:
    """Build an adapter; where that fails, find the parameter that causes it."""
    try:
        return _without_v1_models(build())
    except Exception as error:  # noqa: BLE001 - pydantic raises many classes, and types raise their own
        failure, culprit = error, parameters[0]
    for parameter in parameters:
        try:
            _without_v1_models(TypeAdapter(parameter.annotation))
        except Exception as error:  # noqa: BLE001 - as above
            failure, culprit = error, parameter
            break
    code = getattr(failure, "code", None)
    if isinstance(failure, NameError) or code in {"undefined-annotation", "class-not-fully-defined"}:
        raise NotYetDefined(undefined_message(tool, culprit.name, failure))
    raise ConfigurationError(unusable_message(tool, culprit.name, culprit.annotation, failure)) from failure
