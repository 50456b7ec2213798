"""Resolves the annotations of a function in the namespaces where the function was defined."""

from __future__ import annotations

import collections
import functools
import inspect
import re
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_tools._call.function_info import FunctionInfo

__all__ = [
    "Namespaces",
    "NotYetDefined",
    "is_v1_model",
    "local_names_of",
    "namespaces_of",
    "partial_keywords",
    "resolve_annotation",
    "undefined_message",
    "unusable_message",
]

Namespaces: TypeAlias = "tuple[dict[str, Any], Mapping[str, Any]]"
"""The globals of a function; and its type parameters, its closure and the names of the scopes that define it."""

_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*")


class NotYetDefined(Exception):  # noqa: N818 - not an error yet: the first call looks the name up again
    """A name in an annotation is not defined yet. The message can be used for a `ConfigurationError`."""


def is_v1_model(value: type[Any]) -> bool:
    """Whether it is a model of ``pydantic.v1``, of which pydantic 2 makes neither a validator nor a schema."""
    return any(each.__module__ == "pydantic.v1.main" for each in value.__mro__)


def partial_keywords(function: Any) -> frozenset[str]:
    """The parameters that `functools.partial` has filled by name. A model must not change them."""
    keywords: set[str] = set()
    while isinstance(function, functools.partial):
        keywords |= function.keywords.keys()
        function = function.func
    return frozenset(keywords)


def local_names_of(function: Any) -> dict[str, Any]:
    """What the annotations name of the scopes around a function that is being decorated.

    Only frames of the function's own module are searched: a class defined in the function that decorates is in one.
    """
    function = _defining_function(function)
    if "." not in getattr(function, "__qualname__", ""):
        return {}
    module: dict[str, Any] = getattr(function, "__globals__", {})
    # ``list["Local"]`` and ``Optional["Local"]`` show the name too.
    texts = [each if isinstance(each, str) else repr(each) for each in _own_annotations(function).values()]
    names = {name for text in texts for name in _IDENTIFIER.findall(text)}
    found: dict[str, Any] = {}
    caller: types.FrameType | None = sys._getframe()  # noqa: SLF001 - inspect.currentframe() is the same call
    while caller is not None and names:
        if caller.f_globals is module and caller.f_locals is not module:
            scope = dict(caller.f_locals)  # a copy: from Python 3.13 on it is a view with fewer methods
            found |= {name: scope[name] for name in names & scope.keys() if name not in found}
        caller = caller.f_back
    return found


def namespaces_of(info: FunctionInfo) -> Namespaces:
    """The namespaces in which the annotations of a tool's function are resolved."""
    function = _defining_function(info.function)
    module: dict[str, Any] = getattr(function, "__globals__", {})
    type_parameters = {parameter.__name__: parameter for parameter in getattr(function, "__type_params__", ())}
    return module, collections.ChainMap(type_parameters, _closure_names(function), dict(info.local_names))


def _defining_function(function: Any) -> Any:
    """The function that has the annotations: of a partial, a callable object, a method or a wrapper."""
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, (types.FunctionType, types.MethodType)) and not hasattr(function, "__wrapped__"):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is needed
    return inspect.unwrap(getattr(function, "__func__", function))


def _own_annotations(function: Any) -> dict[str, Any]:
    try:
        return dict(getattr(function, "__annotations__", {}))
    except Exception:  # noqa: BLE001 - from Python 3.14 on they are evaluated here, and may name what is not defined yet
        return {}


def _closure_names(function: Any) -> dict[str, Any]:
    code = getattr(function, "__code__", None)
    names: dict[str, Any] = {}
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # the cell is still empty
            continue
    return names


def resolve_annotation(tool: str, name: str, annotation: Any, namespaces: Namespaces) -> Any:
    """The type that an annotation means, with all its names resolved.

    Args:
        tool: The tool's name, for messages.
        name: The parameter, or ``return``.
        annotation: As the signature has it: a type, or its name as a string.
        namespaces: Where names are looked up.

    Returns:
        ``typing.Any`` where there is no annotation.

    Raises:
        NotYetDefined: A name is not defined yet.
        ConfigurationError: The annotation is not a type.
    """
    if annotation is inspect.Parameter.empty or isinstance(annotation, (typing.ParamSpecArgs, typing.ParamSpecKwargs)):
        return Any
    holder: Any = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, namespaces[0], dict(namespaces[1]), include_extras=True)[name]
    except (NameError, AttributeError) as error:
        raise NotYetDefined(undefined_message(tool, name, error)) from None
    except Exception as error:
        raise ConfigurationError(unusable_message(tool, name, annotation, error)) from error


def undefined_message(tool: str, parameter: str, error: Exception) -> str:
    """Message: which name is not defined, and what to do about it."""
    missing = getattr(error, "name", None)
    subject = f"{missing!r} is" if missing else "a name in it is"
    return (
        f"tool {tool!r}: the annotation of {parameter!r} cannot be checked, because {subject} not defined where the "
        "function is: import it outside of `if TYPE_CHECKING:`, or define it at the level of the module"
    )


def unusable_message(tool: str, parameter: str, annotation: Any, error: Exception) -> str:
    """Message: which annotation cannot be checked, and what to do about it."""
    reason = str(error).partition("\n")[0].rstrip(".")
    return (
        f"tool {tool!r}: the annotation of {parameter!r}, {inspect.formatannotation(annotation)}, is no type that "
        f"pydantic can check ({reason}): use a JSON-shaped type or a pydantic model, "
        "annotate it as pydantic.InstanceOf[...] or typing.Any, fill it with functools.partial, or do without "
        "validate= and schema()"
    )
