"""Tool objects of frameworks: decorates the functions of LangChain's, and refuses those of other frameworks."""

from __future__ import annotations

import inspect
import sys
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["functions_in", "refuse_framework_object", "with_functions"]

_CLASSES: Final = ("StructuredTool", "Tool")
_FIELDS: Final = ("func", "coroutine")

_PACKAGES: Final = frozenset(
    {
        # Agents.
        "ag2",
        "agno",
        "autogen",
        "autogen_core",
        "crewai",
        "dspy",
        "fastmcp",
        "google.adk",
        "griptape",
        "haystack",
        "langchain",
        "langchain_core",
        "langgraph",
        "llama_index",
        "mcp",
        "pydantic_ai",
        "qwen_agent",
        "semantic_kernel",
        "smolagents",
        "strands",
        # Tasks and commands.
        "celery",
        "click",
        "dagster",
        "dramatiq",
        "huey",
        "prefect",
        "ray",
        "rq",
        "taskiq",
        "temporalio",
    }
)
"""Packages whose decorators return an object in the place of a function; no name that an application's own may have."""

_SCHEMA_ATTRIBUTES: Final = ("args_schema", "input_schema", "inputSchema", "params_json_schema", "tool_spec")
"""What an object has that describes itself to a model."""


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


def refuse_framework_object(given: Any) -> None:
    """Refuse an object that a framework's decorator made of a function: a plain function cannot take its place.

    Raises:
        ConfigurationError: It is such an object.
    """
    if isinstance(given, (type, FunctionType, BuiltinFunctionType, MethodType)):
        return
    packages = [_package_of(each) for each in type(given).__mro__]
    if _PACKAGES.isdisjoint(packages) and not _describes_itself(given):
        return
    names = (_attribute(given, name) for name in ("name", "tool_name", "__name__"))
    name = next((f" {name!r}" for name in names if isinstance(name, str)), "")
    raise ConfigurationError(
        f"tool(): {type(given).__name__}{name} of {packages[0]} is no function: put @tool directly on the function, "
        "below the framework's decorator"
    )


def _package_of(each: type[Any]) -> str:
    return "google.adk" if each.__module__.startswith("google.adk.") else each.__module__.partition(".")[0]


def _describes_itself(given: Any) -> bool:
    # Statically, since a mock has every attribute.
    return any(inspect.getattr_static(given, name, None) is not None for name in _SCHEMA_ATTRIBUTES)


def _attribute(given: Any, name: str) -> Any:
    try:
        return getattr(given, name, None)
    except Exception:  # noqa: BLE001 - a property of the framework's
        return None


def with_functions(given: Any, functions: dict[str, Callable[..., Any]]) -> Any:
    """A copy of a tool object with other functions."""
    return given.model_copy(update=functions)
