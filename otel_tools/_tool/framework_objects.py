"""Tools that are objects of a framework: the functions in them are decorated, and the object stays of its kind."""

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
    """The functions that a tool of LangChain calls, by the name of its field; empty where it is none.

    Args:
        given: What is to be decorated.

    Raises:
        ConfigurationError: It is one whose class is its function.
    """
    # Whoever has such an object has loaded this.
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
    """A copy of the object that calls other functions."""
    return given.model_copy(update=functions)
