"""The kind, the name and the docstring of a function, of a partial and of a callable object."""

from __future__ import annotations

import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FunctionKind", "checked_name", "described_function", "kind_of", "summary"]

FunctionKind: TypeAlias = Literal["function", "coroutine", "generator", "async_generator"]

_MAX_NAME_LENGTH: Final = 128
_MAX_SUMMARY_LENGTH: Final = 1024


def described_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that gives a partial or a callable object its name, docstring and annotations."""
    function = _innermost(function)
    if inspect.isroutine(function) or hasattr(function, "__name__"):
        return function
    method = type(function).__call__
    return method if isinstance(method, types.FunctionType) else function


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def kind_of(function: Callable[..., Any]) -> FunctionKind:
    """Whether it is a function, a coroutine function, a generator function or an async generator function."""
    for candidate in (function, described_function(function), type(_innermost(function)).__call__):
        if inspect.iscoroutinefunction(candidate):
            return "coroutine"
        if inspect.isgeneratorfunction(candidate):
            return "generator"
        if inspect.isasyncgenfunction(candidate):
            return "async_generator"
    return "function"


def checked_name(name: str | None, described: Callable[..., Any], function: Callable[..., Any]) -> str:
    """The name that the model calls: the given one, or the function's own.

    Args:
        name: The given name; None takes the function's own.
        described: The function with the name and the docstring, see `described_function`.
        function: The function itself.

    Raises:
        ConfigurationError: The name is empty, too long, or has spaces or control characters; or there is none.
    """
    if name is None:
        name = getattr(described, "__name__", None)
        if name in {None, "__call__"}:
            name = type(_innermost(function)).__name__
        if name == "<lambda>":
            raise ConfigurationError(
                "a lambda has no name that a model could call: give one, tool(name='...')(lambda ...)"
            )
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _MAX_NAME_LENGTH or " " in name:
        raise ConfigurationError(
            f"tool(name={name!r}): a name is what a model calls: 1 to {_MAX_NAME_LENGTH} printable characters, no "
            "spaces"
        )
    return name


def summary(doc: str | None) -> str | None:
    """The first paragraph of a docstring on one line."""
    paragraph = inspect.cleandoc(doc or "").partition("\n\n")[0]
    return " ".join(paragraph.split())[:_MAX_SUMMARY_LENGTH] or None
