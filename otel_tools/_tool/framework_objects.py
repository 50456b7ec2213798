"""Tool objects of frameworks (LangChain): finds their functions, and copies an object with other functions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["functions_in", "with_functions"]

_CLASSES: Final = ("StructuredTool", "Tool")
_FIELDS: Final = ("func", "coroutine")


def functions_in(given: Any) -> dict[str, Callable[..., Any]]:
    """The functions that a LangChain tool calls, by the name of their field; empty for any other object.

    Args:
        given: The object to decorate.

    Raises:
        ConfigurationError: It is a LangChain tool whose class implements the function.
    """
    # An application that has such an object has imported this module.
    langchain = sys.modules.get("langchain_core.tools")
    if langchain is None or not isinstance(given, langchain.BaseTool):
        return {}
    known = isinstance(given, tuple(getattr(langchain, name) for name in _CLASSES))
    found = {field: function for field in _FIELDS if known and (function := getattr(given, field)) is not None}
    if not found:
        kind = type(given).__name__
        raise ConfigurationError(f"tool({kind}(name={given.name!r})): decorate the methods _run and _arun of {kind}")
    return found


def with_functions(given: Any, functions: dict[str, Callable[..., Any]]) -> Any:
    """A copy of a tool object with other functions."""
    return given.model_copy(update=functions)
