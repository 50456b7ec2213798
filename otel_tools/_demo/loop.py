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
    """Let the model call functions until it answers in words.

    Args:
        client: where the model is.
        model: its name.
        messages: the conversation so far; the model's messages and the functions' results are added to it.
        tools: the functions' JSON schemas, as the model sees them.
        available_functions: the functions themselves, by the name that the model calls.

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
            except Exception as error:  # noqa: BLE001  (whatever went wrong: the model is told, and may try otherwise)
                result = {"error": f"{type(error).__name__}: {error}"}
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})

    raise RuntimeError(f"the model still asked for functions after {MAX_TURNS} turns")
