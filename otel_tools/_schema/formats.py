"""The form in which an API takes a tool: OpenAI's Chat Completions and Responses."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias

from otel_tools.errors import ConfigurationError

__all__ = ["Api", "check_format", "formatted"]

Api: TypeAlias = Literal["chat", "responses"]
"""Chat Completions or Responses."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""The name of a function, in the reference of OpenAI's API."""


def check_format(named: str, name: str, api: str) -> None:
    """Check that the API exists and takes the tool's name.

    Args:
        named: The tool, as it is called in the message.
        name: The name that the model calls.
        api: The API.

    Raises:
        ConfigurationError: There is no such API, or it does not take the name.
    """
    if api not in {"chat", "responses"}:
        raise ConfigurationError(f"{named}: schema(api={api!r}): 'chat' or 'responses' is needed")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{named}: OpenAI does not take the name {name!r}: 1 to 64 of a to z, A to Z, 0 to 9, _ and - are needed; "
            "give it another one, as in @tool(name='get_weather')"
        )


def formatted(
    name: str, description: str | None, parameters: dict[str, Any], *, api: Api, strict: bool
) -> dict[str, Any]:
    """One of the ``tools`` of a request.

    Args:
        name: The name that the model calls.
        description: What the tool does; left out where it is empty.
        parameters: The JSON Schema of the arguments.
        api: Whose form it has.
        strict: Whether the server holds the model to the schema.
    """
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = parameters
    if api == "responses":
        # Responses takes a schema without "strict" as strict.
        return {"type": "function", **function, "strict": strict}
    return {"type": "function", "function": {**function, "strict": True} if strict else function}
