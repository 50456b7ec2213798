"""The form of a tool in a request to OpenAI's Chat Completions or Responses API."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias

from otel_tools.errors import ConfigurationError

__all__ = ["Api", "check_description", "check_format", "check_tool_count", "tool_entry"]

Api: TypeAlias = Literal["chat", "responses"]
"""Chat Completions or Responses."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Names of functions that OpenAI accepts: https://platform.openai.com/docs/api-reference/chat/create"""

_MAX_DESCRIPTION_LENGTH: Final = 1024
"""Characters of a function's description: the same reference."""

_MAX_TOOLS: Final = 128
"""Tools of one request: the same reference."""


def check_format(subject: str, name: str, api: str) -> None:
    """Check that the API exists and takes the tool's name.

    Args:
        subject: The tool, with which the message begins.
        name: The name that the model calls.
        api: The API.

    Raises:
        ConfigurationError: The API is unknown, or does not accept the name.
    """
    if api not in {"chat", "responses"}:
        raise ConfigurationError(f"{subject}: schema(api={api!r}): 'chat' or 'responses' is needed")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{subject}: OpenAI does not take the name {name!r}: 1 to 64 of a to z, A to Z, 0 to 9, _ and - are needed"
            "; give it another one, as in @tool(name='get_weather')"
        )


def check_description(subject: str, description: str | None) -> None:
    """Check the length of a description.

    Raises:
        ConfigurationError: OpenAI does not take so long a one.
    """
    if description is not None and len(description) > _MAX_DESCRIPTION_LENGTH:
        raise ConfigurationError(
            f"{subject}: its description has {len(description):,} characters, and OpenAI takes "
            f"{_MAX_DESCRIPTION_LENGTH:,}; shorten the docstring, or give the model another text, as in "
            "@tool(description='...')"
        )


def check_tool_count(count: int) -> None:
    """Check the number of tools of one request.

    Raises:
        ConfigurationError: OpenAI does not take so many.
    """
    if count > _MAX_TOOLS:
        raise ConfigurationError(
            f"ToolSet of {count} tools: OpenAI takes {_MAX_TOOLS} in one request; offer a ToolSet of those that this "
            "request needs"
        )


def tool_entry(
    name: str, description: str | None, parameters: dict[str, Any], *, api: Api, strict: bool
) -> dict[str, Any]:
    """One entry of the ``tools`` of a request.

    Args:
        name: The name that the model calls.
        description: What the tool does; left out where it is empty.
        parameters: The JSON Schema of the arguments.
        api: The API whose form the entry has.
        strict: Whether the server forces the model to follow the schema.
    """
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = parameters
    if api == "responses":
        # The Responses API treats a schema without "strict" as strict.
        return {"type": "function", **function, "strict": strict}
    return {"type": "function", "function": {**function, "strict": True} if strict else function}
