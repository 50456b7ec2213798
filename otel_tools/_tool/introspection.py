"""What kind of function is it, what is it called, and what does it say of itself?"""

from __future__ import annotations

import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Kind", "checked_name", "kind_of", "speaker_of", "summary"]

Kind: TypeAlias = Literal["function", "coroutine", "generator", "async_generator"]

_LONGEST_NAME: Final = 128
_LONGEST_SUMMARY: Final = 1024


def speaker_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose name, docstring and annotations speak for a partial or a callable object."""
    function = _innermost(function)
    if inspect.isroutine(function) or hasattr(function, "__name__"):
        return function
    method = type(function).__call__
    return method if isinstance(method, types.FunctionType) else function


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def kind_of(function: Callable[..., Any]) -> Kind:
    """Which of the four kinds of function a call of it is."""
    for candidate in (function, speaker_of(function), type(_innermost(function)).__call__):
        if inspect.iscoroutinefunction(candidate):
            return "coroutine"
        if inspect.isgeneratorfunction(candidate):
            return "generator"
        if inspect.isasyncgenfunction(candidate):
            return "async_generator"
    return "function"


def checked_name(name: str | None, speaker: Callable[..., Any], function: Callable[..., Any]) -> str:
    """What the model calls a function: the name that was given, or its own.

    Args:
        name: What was given, if anything.
        speaker: The function that speaks for it.
        function: The function itself.

    Raises:
        ConfigurationError: It has no name that a model could call.
    """
    if name is None:
        name = getattr(speaker, "__name__", None)
        if name in {None, "__call__"}:
            name = type(_innermost(function)).__name__
        if name == "<lambda>":
            raise ConfigurationError(
                "a lambda has no name that a model could call: give one, tool(name='...')(lambda ...)"
            )
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME or " " in name:
        raise ConfigurationError(
            f"tool(name={name!r}): a name is what a model calls: 1 to {_LONGEST_NAME} printable characters, no spaces"
        )
    return name


def summary(doc: str | None) -> str | None:
    """The first paragraph of a docstring on one line."""
    paragraph = inspect.cleandoc(doc or "").partition("\n\n")[0]
    return " ".join(paragraph.split())[:_LONGEST_SUMMARY] or None
