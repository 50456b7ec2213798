"""What do the annotations of a function mean? Their names are looked up where the function was defined."""

from __future__ import annotations

import collections
import functools
import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Names", "NotYetDefined", "bound_names", "names_for", "resolved", "undefined", "unusable"]

Names: TypeAlias = "tuple[dict[str, Any], Mapping[str, Any]]"
"""The globals of a function, and the other names around it."""


class NotYetDefined(Exception):  # noqa: N818 - no mistake yet: a class further down in the module is looked up later
    """An annotation names something that does not exist so far. The message is fit for a `ConfigurationError`."""


def bound_names(function: Any) -> frozenset[str]:
    """What a partial has filled by name is its maker's and not the model's to change."""
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound |= function.keywords.keys()
        function = function.func
    return frozenset(bound)


def names_for(function: Any, *, decorating: bool) -> Names:
    """The globals and the other names by which annotations of the function are resolved."""
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, (types.FunctionType, types.MethodType)) and not hasattr(function, "__wrapped__"):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is wanted
    function = inspect.unwrap(getattr(function, "__func__", function))
    known: dict[str, Any] = getattr(function, "__globals__", {})
    local = [
        {parameter.__name__: parameter for parameter in getattr(function, "__type_params__", ())},
        _closure(function),
    ]
    if decorating:
        # The frames of the function's own module: a class of the function body that decorates is in one of them.
        caller: types.FrameType | None = sys._getframe()  # noqa: SLF001 - there is no public way to them
        while caller is not None:
            if caller.f_globals is known and caller.f_locals is not known:
                local.append(dict(caller.f_locals))
            caller = caller.f_back
    return known, collections.ChainMap(*local)


def _closure(function: Any) -> dict[str, Any]:
    code = getattr(function, "__code__", None)
    names: dict[str, Any] = {}
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue
    return names


def resolved(tool: str, name: str, annotation: Any, names: Names) -> Any:
    """What an annotation means, all names in it looked up.

    Raises:
        NotYetDefined: A name is not defined so far.
        ConfigurationError: It is no type.
    """
    if annotation is inspect.Parameter.empty or isinstance(annotation, (typing.ParamSpecArgs, typing.ParamSpecKwargs)):
        return Any
    holder: Any = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, names[0], dict(names[1]), include_extras=True)[name]
    except (NameError, AttributeError) as error:
        raise NotYetDefined(undefined(tool, name, error)) from None
    except Exception as error:
        raise ConfigurationError(unusable(tool, name, annotation, error)) from error


def undefined(tool: str, parameter: str, error: Exception) -> str:
    """Say which name is not defined, and what to do."""
    missing = getattr(error, "name", None)
    what = f"{missing!r} is" if missing else "a name in it is"
    return (
        f"tool {tool!r}: the annotation of {parameter!r} cannot be checked, because {what} not defined where the "
        "function is: import it outside of `if TYPE_CHECKING:`, or define it at the level of the module"
    )


def unusable(tool: str, parameter: str, annotation: Any, error: Exception) -> str:
    """Say which annotation cannot be checked, and what to do."""
    reason = str(error).partition("\n")[0].rstrip(".")
    return (
        f"tool {tool!r}: the annotation of {parameter!r}, {inspect.formatannotation(annotation)}, is no type that "
        f"pydantic can check ({reason}): use a JSON-shaped type or a pydantic model, "
        "annotate it as pydantic.InstanceOf[...] or typing.Any, fill it with functools.partial, or do without "
        "validate= and schema()"
    )
