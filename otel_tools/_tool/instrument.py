"""`instrument`: decorates every tool of a dictionary, a list or a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeVar, overload

from otel_tools._option_names import check_option_names
from otel_tools._tool.decorator import tool
from otel_tools.errors import ConfigurationError

__all__ = ["instrument"]

F = TypeVar("F", bound=Callable[..., Any])


# mypy joins functions of different types to `object`: hence the second overload of each.
@overload
def instrument(tools: Mapping[str, F]) -> dict[str, F]: ...  # type: ignore[overload-overlap] # the narrower overload
@overload
def instrument(tools: Mapping[str, object]) -> dict[str, Callable[..., Any]]: ...  # type: ignore[overload-overlap] # a mapping is iterable, and is not a list
@overload
def instrument(tools: ModuleType) -> ModuleType: ...
@overload
def instrument(tools: Iterable[F]) -> list[F]: ...
@overload
def instrument(tools: Iterable[object]) -> list[Callable[..., Any]]: ...


@check_option_names
def instrument(tools: Any) -> Any:
    """Decorate every tool of a collection with `tool`; options that a tool already has stay.

    Args:
        tools: A mapping of names to functions, as a tool-call loop looks them up: the tools are named by the keys.
            An iterable of functions. Or a module: its public functions (those in ``__all__`` where it has one) that
            are defined in it are replaced in place.

    Returns:
        A new dictionary, a new list, or the module.

    Raises:
        ConfigurationError: An item is not a function, or has no usable name.
    """
    if isinstance(tools, ModuleType):
        # All are decorated before the first is replaced, so that an error leaves the module unchanged.
        for name, wrapper in [(name, _tool_of(name, each)) for name, each in _public_functions(tools).items()]:
            setattr(tools, name, wrapper)
        return tools
    if isinstance(tools, Mapping):
        return {name: tool(_function(function, name), name=name) for name, function in tools.items()}
    if isinstance(tools, Iterable) and not isinstance(tools, (str, bytes)):
        return [tool(_function(function, index)) for index, function in enumerate(tools)]
    raise ConfigurationError(
        f"instrument({tools!r}): a dictionary of names and functions, a list of functions or a module is needed; "
        "for one function there is tool(function)"
    )


def _function(value: Any, where: object) -> Any:
    if isinstance(value, type) or not callable(value):
        raise ConfigurationError(f"instrument(): {where!r} is {value!r}, which is not a function")
    return value


def _tool_of(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The tool of a module's function; a lambda takes its name in the module."""
    named: Callable[..., Any] = tool(function, name=name) if function.__name__ == "<lambda>" else tool(function)
    return named


def _public_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    names: Iterable[str] = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    return {
        name: function
        for name in names
        if inspect.isfunction(function := getattr(module, name, None)) and function.__module__ == module.__name__
    }
