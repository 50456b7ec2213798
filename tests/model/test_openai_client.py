"""`instrument_openai`: whatever way a response takes to the user's own loop, the spans of the tools carry its ids."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient
from opentelemetry import trace

import otel_tools
from otel_tools._demo.script import FunctionCall
from otel_tools._model.call_ids.openai_client import instrument_openai, uninstrument_openai
from otel_tools._telemetry.instruments import instruments
from tests.model.response_readers import (
    ASYNC_WAYS,
    CHAT,
    RESPONSES,
    SEATTLE,
    TURN,
    WAYS,
    WITH_MODEL_SPANS,
    async_chat_create,
    async_chat_stream,
    async_chat_streaming_response,
    chat_create,
    chat_stream,
    of_message,
    of_response,
    responses_create,
    responses_stream,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from otel_tools.testing import Captured
    from tests.model.response_readers import Asked


@otel_tools.tool
def get_weather(location: str, unit: str | None = "celsius") -> str:
    return f"20 {unit} in {location}"


@otel_tools.tool
async def get_time(location: str, unit: str | None = None) -> str:
    return f"noon in {location}"


AVAILABLE: dict[str, Callable[..., Any]] = {"get_weather": get_weather, "get_time": get_time}


async def work(asked: list[Asked]) -> None:
    """The user's loop over what the model asked for."""
    for _, name, arguments in asked:
        result = AVAILABLE[name](**json.loads(arguments))
        if asyncio.iscoroutine(result):
            await result


def ids(seen: Captured) -> list[Any]:
    return [(span.attributes or {}).get("gen_ai.tool.call.id") for span in seen.spans if span.name in SPANS]


SPANS = ("execute_tool get_weather", "execute_tool get_time")

NOT_WITH_MODEL_SPANS = {async_chat_streaming_response}
"""OpenTelemetry's instrumentation 1.3b0 leaves a coroutine of the client's unawaited."""


@pytest.fixture
def instrumented() -> Iterator[None]:
    instrument_openai()
    yield
    uninstrument_openai()


@pytest.fixture
def client(model: Any) -> Iterator[OpenAI]:
    with model(TURN) as (base_url, _), OpenAI(base_url=base_url, api_key="none") as client:
        yield client


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("way", WAYS)
async def test_the_ids_of_a_response_reach_the_spans(
    way: Callable[[OpenAI], list[Asked]], client: OpenAI, seen: Captured
) -> None:
    asked = way(client)
    await work(asked)

    assert ids(seen) == [call_id for call_id, _, _ in asked]
    assert len(set(ids(seen))) == len(TURN)


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("way", [way for way in ASYNC_WAYS if way not in NOT_WITH_MODEL_SPANS or not WITH_MODEL_SPANS])
async def test_the_ids_of_an_awaited_response_reach_the_spans(
    way: Callable[[AsyncOpenAI], Awaitable[list[Asked]]], model: Any, seen: Captured
) -> None:
    with model(TURN) as (base_url, _):
        async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
            asked = await way(client)
    await work(asked)

    assert ids(seen) == [call_id for call_id, _, _ in asked]
    assert len(set(ids(seen))) == len(TURN)


@pytest.mark.usefixtures("instrumented")
async def test_a_response_from_a_task_beside_this_one_is_found_by_the_trace(model: Any, seen: Captured) -> None:
    with model(TURN) as (base_url, _):
        async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
            with otel_tools.agent("one"):
                asked = await asyncio.create_task(async_chat_create(client))
                await work(asked)

    assert ids(seen) == [call_id for call_id, _, _ in asked]


@pytest.mark.usefixtures("instrumented")
async def test_parallel_conversations_have_their_own_ids(model: Any, seen: Captured) -> None:
    async def converse(client: AsyncOpenAI, number: int) -> list[str]:
        with otel_tools.agent(f"agent {number}"):
            asked = await async_chat_stream(client)
            await asyncio.sleep(0.01 * (number % 3))
            await work(asked)
        return [call_id for call_id, _, _ in asked]

    with model(TURN) as (base_url, _):
        async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
            asked = await asyncio.gather(*(converse(client, number) for number in range(12)))

    got: dict[Any, list[Any]] = {}
    for span in seen.spans:
        if span.name in SPANS:
            attributes = span.attributes or {}
            got.setdefault(attributes["gen_ai.agent.name"], []).append(attributes.get("gen_ai.tool.call.id"))
    assert got == {f"agent {number}": each for number, each in enumerate(asked)}


@pytest.mark.usefixtures("instrumented")
async def test_a_call_that_was_answered_without_the_tool_is_not_pending(model: Any, seen: Captured) -> None:
    with model([SEATTLE], [SEATTLE], "done") as (base_url, _), OpenAI(base_url=base_url, api_key="none") as client:
        first = client.chat.completions.create(**CHAT).choices[0].message
        (denied,) = of_message(first)
        messages = [
            *CHAT["messages"],
            first,
            {"role": "tool", "tool_call_id": denied[0], "content": "the user does not allow it"},
        ]
        second = of_message(client.chat.completions.create(**CHAT | {"messages": messages}).choices[0].message)
        await work(second)

    assert ids(seen) == [second[0][0]]


@pytest.mark.usefixtures("instrumented")
async def test_an_output_that_continues_a_response_answers_its_call(model: Any, seen: Captured) -> None:
    with model([SEATTLE], [SEATTLE], "done") as (base_url, _), OpenAI(base_url=base_url, api_key="none") as client:
        first = client.responses.create(**RESPONSES)
        output = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "not allowed"}
        second = client.responses.create(**RESPONSES | {"previous_response_id": first.id, "input": [output]})
        await work(of_response(second))

    assert ids(seen) == [second.output[0].call_id]


@pytest.mark.usefixtures("instrumented")
async def test_a_response_that_is_fetched_later_brings_its_calls(client: OpenAI, seen: Captured) -> None:
    uninstrument_openai()
    given = client.responses.create(**RESPONSES)
    instrument_openai()
    client.responses.retrieve(given.id)
    fetched = client.responses.retrieve(given.id)

    await work(of_response(fetched))
    await work(of_response(fetched))

    wanted = [call_id for call_id, _, _ in of_response(given)]
    assert ids(seen) == [*wanted, *(None for _ in wanted)]


@pytest.mark.usefixtures("instrumented")
async def test_a_call_can_be_made_while_the_stream_goes_on(client: OpenAI, seen: Captured) -> None:
    call_ids, begun = [], None
    with client.responses.create(**RESPONSES, stream=True) as stream:
        for event in stream:
            if event.type == "response.output_item.added":
                begun = event.item
            elif event.type == "response.function_call_arguments.done":
                assert begun is not None
                await work([(begun.call_id, begun.name, event.arguments)])
                call_ids.append(begun.call_id)

    assert ids(seen) == call_ids
    assert len(call_ids) == len(TURN)


@pytest.mark.usefixtures("instrumented")
async def test_a_call_that_no_model_asked_for_has_no_id(client: OpenAI, seen: Captured) -> None:
    chat_create(client)
    get_weather("Rome")
    get_weather(location="Seattle", unit="kelvin")

    assert ids(seen) == [None, None]


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("arguments", ["{", "[]", "", "null", '{"location": ', "\ud800"])
async def test_arguments_that_are_no_json_have_no_effect(arguments: str, model: Any, seen: Captured) -> None:
    turn = [FunctionCall("get_weather", {}, text=arguments), SEATTLE]
    with model(turn) as (base_url, _), OpenAI(base_url=base_url, api_key="none") as client:
        for way in (chat_create, chat_stream, responses_create, responses_stream):
            broken, *asked = way(client)
            assert broken[2] == arguments
            await work(asked)
            assert ids(seen)[-1] == asked[0][0]


@pytest.mark.usefixtures("instrumented")
async def test_a_stream_that_is_read_in_part_gives_the_ids_that_were_read(client: OpenAI, seen: Captured) -> None:
    with client.responses.create(**RESPONSES, stream=True) as stream:
        item: Any = next(event.item for event in stream if event.type == "response.output_item.done")
    await work([(item.call_id, item.name, item.arguments), ("never read", SEATTLE.name, SEATTLE.arguments_text())])

    assert ids(seen) == [item.call_id, None]


async def test_streams_give_what_they_gave_before(model: Any, seen: Captured) -> None:
    fixed = [FunctionCall(call.name, call.arguments, call_id=f"call_{number}") for number, call in enumerate(TURN)]

    def read(client: OpenAI) -> list[Any]:
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            assert isinstance(stream, openai.Stream)
            chunks = [chunk.to_dict() for chunk in stream]
            assert next(stream, None) is None
        return [{**chunk, "id": "", "created": 0} for chunk in chunks]

    with model(fixed) as (base_url, _), OpenAI(base_url=base_url, api_key="none") as client:
        before = read(client)
        instrument_openai()
        try:
            assert read(client) == before
        finally:
            uninstrument_openai()


@pytest.mark.usefixtures("instrumented")
def test_errors_of_the_client_are_raised_unchanged(model: Any) -> None:
    with model("done") as (base_url, _), OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.chat.completions.create(**CHAT | {"model": "gpt-4.1"})
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**CHAT | {"messages": [{"role": "tool", "tool_call_id": "x"}]})
        with pytest.raises(TypeError):
            client.chat.completions.create(model="scripted")  # type: ignore[call-overload] # what the client refuses


def test_instrumenting_twice_wraps_once_and_is_undone() -> None:
    before = SyncAPIClient.request, AsyncAPIClient.request
    instrument_openai()
    once = SyncAPIClient.request, AsyncAPIClient.request
    instrument_openai()
    twice = SyncAPIClient.request, AsyncAPIClient.request
    uninstrument_openai()
    uninstrument_openai()

    assert once == twice
    assert once[0] is not before[0]
    assert (SyncAPIClient.request, AsyncAPIClient.request) == before


async def test_after_uninstrument_nothing_is_remembered(client: OpenAI, seen: Captured) -> None:
    instrument_openai()
    asked = chat_create(client)
    uninstrument_openai()
    await work(asked)
    await work(chat_create(client))

    assert set(ids(seen)) == {None}


async def test_uninstrumented_under_another_wrapper_it_does_nothing_and_can_be_instrumented_again(
    client: OpenAI, seen: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SyncAPIClient.request
    instrument_openai()
    ours: Any = SyncAPIClient.request

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(SyncAPIClient, "request", theirs)
        uninstrument_openai()
        await work(chat_create(client))
        instrument_openai()
        asked = chat_create(client)
        await work(asked)
    uninstrument_openai()

    assert ids(seen) == [None] * len(TURN) + [call_id for call_id, _, _ in asked]
    assert SyncAPIClient.request is original


@pytest.mark.skipif(WITH_MODEL_SPANS, reason="the model has a span of its own: see test_openai_model_spans.py")
@pytest.mark.usefixtures("instrumented")
async def test_a_span_around_the_models_call_is_linked_to(client: OpenAI, seen: Captured) -> None:
    with instruments.tracer.start_as_current_span("chat scripted", kind=trace.SpanKind.CLIENT) as span:
        asked = chat_stream(client)
    await work(asked)

    tools = [each for each in seen.spans if each.name in SPANS]
    assert [link.context for each in tools for link in each.links] == [span.get_span_context()] * len(TURN)
    assert ids(seen) == [call_id for call_id, _, _ in asked]
