"""The ways that a response of the `openai` client takes to a user's own loop; each gives what that reads of calls."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from otel_tools._demo.script import FunctionCall

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

WITH_MODEL_SPANS = importlib.util.find_spec("opentelemetry.instrumentation") is not None
"""Whether OpenTelemetry's own instrumentation is installed, and so switched on by ours."""

Asked = tuple[str, str, str]
"""What a user's loop reads of a tool call: its id, the function's name, the arguments."""

PARAMETERS = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "unit": {"type": ["string", "null"]}},
    "required": ["location", "unit"],
    "additionalProperties": False,
}
NAMES = ("get_weather", "get_time")
CHAT: Any = {
    "model": "scripted",
    "messages": [{"role": "user", "content": "How is the weather?"}],
    "tools": [{"type": "function", "function": {"name": n, "strict": True, "parameters": PARAMETERS}} for n in NAMES],
}
RESPONSES: Any = {
    "model": "scripted",
    "input": "How is the weather?",
    "tools": [{"type": "function", "name": n, "strict": True, "parameters": PARAMETERS} for n in NAMES],
}
SEATTLE = FunctionCall("get_weather", {"location": "Seattle", "unit": "celsius"})
PARIS = FunctionCall("get_weather", {"unit": None, "location": 'Paris "été" \n'})
TIME = FunctionCall("get_time", {"location": "Seattle", "unit": None})
TURN = [SEATTLE, PARIS, SEATTLE, TIME]


def of_message(message: Any) -> list[Asked]:
    return [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]


def of_response(response: Any) -> list[Asked]:
    return [(item.call_id, item.name, item.arguments) for item in response.output]


def of_chunks(chunks: Any) -> list[Asked]:
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for delta in (chunk.choices[0].delta.tool_calls or ()) if chunk.choices else ():
            call = calls.setdefault(delta.index, ["", "", ""])
            call[0] += delta.id or ""
            call[1] += delta.function.name or ""
            call[2] += delta.function.arguments or ""
    return [(one, two, three) for one, two, three in calls.values()]


def of_events(events: Any) -> list[Asked]:
    done = [event.item for event in events if event.type == "response.output_item.done"]
    return [(item.call_id, item.name, item.arguments) for item in done]


def chat_create(client: OpenAI) -> list[Asked]:
    return of_message(client.chat.completions.create(**CHAT).choices[0].message)


def chat_stream(client: OpenAI) -> list[Asked]:
    with client.chat.completions.create(**CHAT, stream=True) as stream:
        return of_chunks(stream)


def chat_next(client: OpenAI) -> list[Asked]:
    stream = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    chunks = []
    while (chunk := next(stream, None)) is not None:
        chunks.append(chunk)
    return of_chunks(chunks)


def chat_helper(client: OpenAI) -> list[Asked]:
    with client.chat.completions.stream(**CHAT) as stream:
        return of_message(stream.get_final_completion().choices[0].message)


def chat_parse(client: OpenAI) -> list[Asked]:
    return of_message(client.chat.completions.parse(**CHAT).choices[0].message)


def chat_raw(client: OpenAI) -> list[Asked]:
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse() is raw.parse()
    return of_message(raw.parse().choices[0].message)


def chat_raw_stream(client: OpenAI) -> list[Asked]:
    return of_chunks(client.chat.completions.with_raw_response.create(**CHAT, stream=True).parse())


def chat_streaming_response(client: OpenAI) -> list[Asked]:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return of_message(response.parse().choices[0].message)


def responses_create(client: OpenAI) -> list[Asked]:
    return of_response(client.responses.create(**RESPONSES))


def responses_stream(client: OpenAI) -> list[Asked]:
    with client.responses.create(**RESPONSES, stream=True) as stream:
        return of_events(stream)


def responses_helper(client: OpenAI) -> list[Asked]:
    with client.responses.stream(**RESPONSES) as stream:
        return of_response(stream.get_final_response())


def responses_parse(client: OpenAI) -> list[Asked]:
    return of_response(client.responses.parse(**RESPONSES))


def responses_raw(client: OpenAI) -> list[Asked]:
    return of_response(client.responses.with_raw_response.create(**RESPONSES).parse())


async def async_chat_create(client: AsyncOpenAI) -> list[Asked]:
    return of_message((await client.chat.completions.create(**CHAT)).choices[0].message)


async def async_chat_stream(client: AsyncOpenAI) -> list[Asked]:
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        return of_chunks([chunk async for chunk in stream])


async def async_chat_helper(client: AsyncOpenAI) -> list[Asked]:
    async with client.chat.completions.stream(**CHAT) as stream:
        return of_message((await stream.get_final_completion()).choices[0].message)


async def async_chat_parse(client: AsyncOpenAI) -> list[Asked]:
    return of_message((await client.chat.completions.parse(**CHAT)).choices[0].message)


async def async_chat_raw(client: AsyncOpenAI) -> list[Asked]:
    return of_message((await client.chat.completions.with_raw_response.create(**CHAT)).parse().choices[0].message)


async def async_chat_streaming_response(client: AsyncOpenAI) -> list[Asked]:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return of_message((await response.parse()).choices[0].message)


async def async_responses_create(client: AsyncOpenAI) -> list[Asked]:
    return of_response(await client.responses.create(**RESPONSES))


async def async_responses_stream(client: AsyncOpenAI) -> list[Asked]:
    async with await client.responses.create(**RESPONSES, stream=True) as stream:
        return of_events([event async for event in stream])


async def async_responses_helper(client: AsyncOpenAI) -> list[Asked]:
    async with client.responses.stream(**RESPONSES) as stream:
        return of_response(await stream.get_final_response())


async def async_responses_parse(client: AsyncOpenAI) -> list[Asked]:
    return of_response(await client.responses.parse(**RESPONSES))


WAYS = [
    chat_create,
    chat_stream,
    chat_next,
    chat_helper,
    chat_parse,
    chat_raw,
    chat_raw_stream,
    chat_streaming_response,
    responses_create,
    responses_stream,
    responses_helper,
    responses_parse,
    responses_raw,
]
ASYNC_WAYS = [
    async_chat_create,
    async_chat_stream,
    async_chat_helper,
    async_chat_parse,
    async_chat_raw,
    async_chat_streaming_response,
    async_responses_create,
    async_responses_stream,
    async_responses_helper,
    async_responses_parse,
]
