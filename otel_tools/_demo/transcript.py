"""Renders a conversation for a terminal: messages, function calls and their results."""

import json
from collections.abc import Sequence
from typing import Any

from openai.types.chat import ChatCompletionMessage
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


def transcript(messages: Sequence[Any]) -> RenderableType:
    """Render a conversation, each result below its call.

    Args:
        messages: the messages that the loop collected, the model's as the client returned them.
    """
    results = {each["tool_call_id"]: each["content"] for each in _dicts(messages) if each["role"] == "tool"}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for message in messages:
        if isinstance(message, ChatCompletionMessage):
            label = "model"
            if message.content:
                grid.add_row(label, Text(printable(message.content)))
                label = ""
            for call in message.tool_calls or ():
                if call.type == "function":
                    grid.add_row(label, Text(_call(call.function.name, call.function.arguments), "cyan"))
                    grid.add_row("", _result(results.get(call.id, "")))
                    label = ""
        elif message["role"] == "user":
            grid.add_row("user", Text(printable(message["content"])))
    return grid


def failed_calls(messages: Sequence[Any]) -> int:
    """The number of calls in a conversation whose result is an error."""
    return sum(_error(each["content"]) is not None for each in _dicts(messages) if each["role"] == "tool")


def printable(text: str) -> str:
    """The text without control characters: what a model or a tool wrote must not control the terminal."""
    return "".join(character for character in text if character.isprintable() or character == "\n")


def _dicts(messages: Sequence[Any]) -> list[dict[str, Any]]:
    return [message for message in messages if isinstance(message, dict)]


def _call(name: str, arguments: str) -> str:
    try:
        pairs = json.loads(arguments).items()
    except (ValueError, AttributeError):  # a model may write anything
        return printable(f"{name}({arguments})")
    return printable(f"{name}({', '.join(f'{key}={json.dumps(value)}' for key, value in pairs)})")


def _result(content: str) -> Text:
    error = _error(content)
    if error is not None:
        return Text(f"failed: {printable(error)}", "red")
    return Text(printable(content), "dim", no_wrap=True, overflow="ellipsis")


def _error(content: str) -> str | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return str(value["error"]) if isinstance(value, dict) and "error" in value else None
