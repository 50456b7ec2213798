"""How a conversation looks in a terminal: who said what, which functions were called, what came back."""

import json
from collections.abc import Sequence
from typing import Any

from openai.types.chat import ChatCompletionMessage
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


def transcript(messages: Sequence[Any]) -> RenderableType:
    """Show a conversation.

    Args:
        messages: what the loop has collected, the model's messages as the client returned them.
    """
    results = {one["tool_call_id"]: one["content"] for one in _dicts(messages) if one["role"] == "tool"}
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


def failures(messages: Sequence[Any]) -> int:
    """How many of the calls in a conversation were answered with an error."""
    return sum(_error(one["content"]) is not None for one in _dicts(messages) if one["role"] == "tool")


def printable(text: str) -> str:
    """Take control characters out of text that a model or a tool wrote: it must not steer the terminal."""
    return "".join(each for each in text if each.isprintable() or each == "\n")


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
