"""The tool-call loop of an ordinary application."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from openai import OpenAI

MAX_TURNS = 10


def run_conversation(
    client: OpenAI,
    model: str,
    messages: list[Any],
    tools: list[Any],
    available_functions: Mapping[str, Callable[..., Any]],
) -> str:
    """Call the functions that the model asks for, until it answers in words.

    Args:
        client: the client of the model's API.
        model: the model's name.
        messages: the conversation so far; the model's messages and the functions' results are appended.
        tools: the functions' JSON schemas, as sent to the model.
        available_functions: the functions by the name that the model calls.

    Returns:
        The model's answer.

    Raises:
        RuntimeError: the model still asked for functions after `MAX_TURNS` turns.
    """
    for _ in range(MAX_TURNS):
        response = client.chat.completions.create(model=model, messages=messages, tools=tools, parallel_tool_calls=True)
        message = response.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content or ""

        for call in message.tool_calls:
            if call.type != "function":
                continue
            try:
                result = available_functions[call.function.name](**json.loads(call.function.arguments))
            except Exception as error:  # noqa: BLE001  (any error goes to the model, which may try something else)
                result = {"error": f"{type(error).__name__}: {error}"}
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})

    raise RuntimeError(f"the model still asked for functions after {MAX_TURNS} turns")
