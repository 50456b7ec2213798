"""The conversation as the terminal shows it."""

import io
import json
from typing import Any

from openai.types.chat import ChatCompletionMessage
from rich.console import Console

from otel_tools._demo.transcript import failed_calls, transcript


def model(content: str | None = None, **calls: str) -> ChatCompletionMessage:
    """A message of the model; `calls` are its tool calls, arguments by function name."""
    tool_calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in calls.items()
    ]
    message = {"role": "assistant", "content": content, "tool_calls": tool_calls or None}
    return ChatCompletionMessage.model_validate(message)


def tool(name: str, content: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": name, "content": content}


def rendered(messages: list[Any]) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=80, highlight=False).print(transcript(messages))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_each_result_is_below_its_call() -> None:
    messages = [
        {"role": "user", "content": "why?"},
        model(f='{"a": 1, "b": "x"}', g="{}"),
        tool("g", '{"error": "LookupError: no g"}'),
        tool("f", json.dumps({"value": "y" * 100})),
        model("because"),
    ]
    assert rendered(messages) == [
        "user   why?",
        'model  f(a=1, b="x")',
        '       {"value": "' + "y" * 61 + "…",
        "       g()",
        "       failed: LookupError: no g",
        "model  because",
    ]
    assert failed_calls(messages) == 1


def test_text_of_a_model_or_tool_cannot_control_the_terminal_or_the_markup() -> None:
    messages = [
        model("\x1b]0;title\x07[red]one\ntwo[/red]", f="no \x1bjson", g="[1]"),
        tool("f", "\x1b[2Jplain text"),
        tool("g", "[]"),
    ]
    assert rendered(messages) == [
        "model  ]0;title[red]one",
        "       two[/red]",
        "       f(no json)",
        "       [2Jplain text",
        "       g([1])",
        "       []",
    ]
    assert failed_calls(messages) == 0
