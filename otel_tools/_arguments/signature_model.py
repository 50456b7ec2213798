"""The parameters of a tool, read from the signature of its function."""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, Final, NotRequired, Required

import typing_extensions
from pydantic import BaseModel, RootModel

from otel_tools._arguments.adapters import arguments_adapter, var_keyword_adapter
from otel_tools._arguments.annotations import (
    NotYetDefined,
    namespaces_of,
    partial_keywords,
    resolve_annotation,
    undefined_message,
)
from otel_tools._arguments.enum_literals import accept_enum_values
from otel_tools._arguments.parameters import EMPTY, UNIONS, ArgumentsModel, Parameter, optional_parameter, parameter_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools._call.function_info import FunctionInfo

__all__ = ["model_of_signature"]

_UNPACK: Final = (typing.Unpack, typing_extensions.Unpack)
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def model_of_signature(info: FunctionInfo) -> ArgumentsModel:
    """The parameters of a tool's function.

    Names in annotations are looked up where the function was defined: in its module, in its closure and, while the
    function is being decorated, in the scopes around it. So classes of a function body are found too.

    Args:
        info: The tool.

    Raises:
        NotYetDefined: An annotation, or a class in it, refers to a name that is not defined yet.
        ConfigurationError: pydantic cannot check an annotation.
    """
    namespaces = namespaces_of(info)
    filled = partial_keywords(info.function)
    parameters: list[Parameter] = []
    var_positional: Parameter | None = None
    var_keyword: Parameter | None = None
    for parameter in info.arguments.signature.parameters.values():
        if parameter.name == info.arguments.receiver or parameter.name in filled:
            continue
        annotation = accept_enum_values(resolve_annotation(info.tool, parameter.name, parameter.annotation, namespaces))
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            var_positional = optional_parameter(parameter.name, annotation)
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            parameters.append(parameter_of(parameter, annotation))
        elif typing.get_origin(annotation) in _UNPACK:
            parameters.extend(_typed_dict_parameters(info.tool, parameter.name, typing.get_args(annotation)[0]))
        else:
            var_keyword = optional_parameter(parameter.name, annotation)

    is_alone = len(parameters) == 1 and var_positional is var_keyword is None
    has_var_positional = var_positional is not None
    if var_keyword is not None and var_positional is not None and var_positional.annotation is Any:
        # Of (*args, **kwargs) without types, **kwargs may take any name, also "args".
        var_positional = None
    return ArgumentsModel(
        parameters=tuple(parameters),
        adapter=arguments_adapter(info.tool, parameters, var_positional),
        positional=tuple(
            parameter.name
            for parameter in info.arguments.signature.parameters.values()
            if parameter.kind in _POSITIONAL and parameter.name != info.arguments.receiver
        ),
        var_positional=var_positional.name if var_positional else None,
        has_var_positional=has_var_positional,
        has_var_keyword=var_keyword is not None,
        var_keyword_adapter=var_keyword_adapter(info.tool, var_keyword),
        partial_keywords=filled,
        single_model=_pydantic_model_in(parameters[0].annotation) if is_alone else None,
    )


def _typed_dict_parameters(tool: str, parameter: str, typed_dict: Any) -> Iterator[Parameter]:
    """The keys of the TypedDict that ``**options: Unpack[...]`` names: keyword parameters in all but the signature."""
    try:
        hints = typing_extensions.get_type_hints(typed_dict, include_extras=True)
    except (NameError, AttributeError) as error:
        raise NotYetDefined(undefined_message(tool, parameter, error)) from None
    for name, hint in hints.items():
        bare: Any = hint
        required = name in typed_dict.__required_keys__
        while (qualifier := typing.get_origin(bare)) in (Required, NotRequired):
            # The class does not know of qualifiers in annotations that are strings.
            required = qualifier is Required
            (bare,) = typing.get_args(bare)
        yield Parameter(
            name, positional_only=False, annotation=accept_enum_values(bare), default=EMPTY, required=required
        )


def _pydantic_model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model in ``T``, ``Annotated[T, ...]`` or ``T | None``."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif typing.get_origin(annotation) in UNIONS:
            alternatives = [item for item in typing.get_args(annotation) if item is not types.NoneType]
            if len(alternatives) != 1:
                return None
            (annotation,) = alternatives
        else:
            break
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not issubclass(annotation, RootModel):
        return annotation
    return None
