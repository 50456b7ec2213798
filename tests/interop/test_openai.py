"""The `openai` client over HTTP: a chat loop of one's own, the helper for streams, the runner of the Responses API."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, TypeAdapter

from otel_tools import Cache, Retry, agent, tool
from otel_tools._demo.script import FunctionCall
from tests.interop import weather as w

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._demo.script import CompletedCall
    from otel_tools.testing import Captured

AVAILABLE: dict[str, Callable[..., Any]] = {"weather": w.weather, "weather_async": w.weather_async}
ASKED = [[FunctionCall("weather", w.ARGUMENTS)], [FunctionCall("weather", w.ARGUMENTS)], "done"]
ASKED_ASYNC = [[FunctionCall("weather_async", w.ARGUMENTS)], [FunctionCall("weather_async", w.ARGUMENTS)], "done"]
STREAM = pytest.param(
    True,
    marks=pytest.mark.skipif(openai.__version__ == "2.0.0", reason="its helper for streams takes strict tools alone"),
)
ONE_RETRIED_ONE_CACHED = [(1, "miss"), (0, "hit")]


def definition(function: Any, *, flat: bool = False) -> Any:
    """What people write, or have pydantic write, for the model."""
    parameters = TypeAdapter(function).json_schema()
    said = {"name": function.__name__, "description": inspect.getdoc(function), "parameters": parameters}
    return {"type": "function", **said} if flat else {"type": "function", "function": said}


CHAT: Any = {"model": "scripted", "tools": [definition(each) for each in AVAILABLE.values()]}
QUESTION = {"role": "user", "content": "How is the weather?"}
RESPONSES: Any = {"model": "scripted", "input": "How is the weather?"}


def returned(done: list[CompletedCall]) -> list[w.Forecast]:
    """What the model was told that its calls returned."""
    return [w.Forecast.model_validate(one.result) for one in done]


@pytest.mark.parametrize(("bare", "decorated"), w.PAIRS)
def test_the_model_is_told_the_same(bare: Any, decorated: Any) -> None:
    assert definition(decorated) == definition(bare)


@pytest.mark.parametrize("stream", [False, STREAM])
def test_a_loop(model: Callable[..., Any], seen: Captured, *, stream: bool) -> None:
    w.outages.append(ConnectionError())
    messages: list[Any] = [QUESTION]
    with model(*ASKED) as (url, play), OpenAI(base_url=url, api_key="none") as client, agent("travel"):
        while True:
            if stream:
                with client.chat.completions.stream(messages=messages, **CHAT) as events:
                    message: Any = events.get_final_completion().choices[0].message
            else:
                message = client.chat.completions.create(messages=messages, **CHAT).choices[0].message
            if not message.tool_calls:
                break
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for call in message.tool_calls:
                result = AVAILABLE[call.function.name](**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result.model_dump_json()})
    assert message.content == "done"
    assert returned(play.told[-1]) == [w.bare(w.EXPECTED.place, days=2)] * 2
    assert w.policies_seen(w.tool_spans(seen)) == ONE_RETRIED_ONE_CACHED


@pytest.mark.parametrize("stream", [False, STREAM])
async def test_an_async_loop(model: Callable[..., Any], seen: Captured, *, stream: bool) -> None:
    w.outages.append(ConnectionError())
    messages: list[Any] = [QUESTION]
    with model(*ASKED_ASYNC) as (url, play), agent("travel"):
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            while True:
                if stream:
                    async with client.chat.completions.stream(messages=messages, **CHAT) as events:
                        message: Any = (await events.get_final_completion()).choices[0].message
                else:
                    message = (await client.chat.completions.create(messages=messages, **CHAT)).choices[0].message
                if not message.tool_calls:
                    break
                messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
                for call in message.tool_calls:
                    result = await AVAILABLE[call.function.name](**json.loads(call.function.arguments))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": result.model_dump_json()})
    assert message.content == "done"
    assert returned(play.told[-1]) == [await w.bare_async(w.EXPECTED.place, days=2)] * 2
    assert w.policies_seen(w.tool_spans(seen)) == ONE_RETRIED_ONE_CACHED


def runner() -> Any:
    """What has `ResponsesToolRunner`; the client of openai 3.x."""
    return pytest.importorskip("openai.lib.responses_tool_runner", reason="openai has no ResponsesToolRunner")


def as_text(arguments: dict[str, Any]) -> str:
    return str(w.weather(**arguments).model_dump_json())


async def as_text_async(arguments: dict[str, Any]) -> str:
    return str((await w.weather_async(**arguments)).model_dump_json())


WAYS = [{}, {"stream": True}, {"stream": True, "eager": True, "max_concurrent_calls": 4}]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_tool_runner(model: Callable[..., Any], seen: Captured, way: dict[str, Any]) -> None:
    w.outages.append(ConnectionError())
    function = runner().RegisteredFunction(definition(w.weather, flat=True), as_text, independent=True)
    with model(*ASKED) as (url, play), OpenAI(base_url=url, api_key="none") as client, agent("travel"):
        response = runner().ResponsesToolRunner(functions=[function]).run(client, RESPONSES, max_steps=5, **way)
    assert response.output_text == "done"
    assert returned(play.told[-1]) == [w.EXPECTED] * 2
    assert w.policies_seen(w.tool_spans(seen)) == ONE_RETRIED_ONE_CACHED


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_an_async_tool_runner(model: Callable[..., Any], seen: Captured, way: dict[str, Any]) -> None:
    w.outages.append(ConnectionError())
    function = runner().AsyncRegisteredFunction(definition(w.weather_async, flat=True), as_text_async, independent=True)
    with model(*ASKED_ASYNC) as (url, play), agent("travel"):
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            running = runner().AsyncResponsesToolRunner(functions=[function])
            response = await running.run(client, RESPONSES, max_steps=5, **way)
    assert response.output_text == "done"
    assert returned(play.told[-1]) == [w.EXPECTED] * 2
    assert w.policies_seen(w.tool_spans(seen)) == ONE_RETRIED_ONE_CACHED


class Request(BaseModel):
    """Forecast the weather."""

    place: w.Place
    days: int


POLICIES: Any = {"retry": Retry(attempts=2), "cache": Cache(ttl=60), "validate": True}


def test_a_tool_that_is_itself_the_executor_of_a_tool_runner(model: Callable[..., Any], seen: Captured) -> None:
    @tool(**POLICIES)
    def forecast(request: Request) -> str:
        return str(w.bare(request.place, days=request.days).model_dump_json())

    if not hasattr(openai, "pydantic_responses_function_tool"):
        pytest.skip("this release of openai has no such helper")
    defined = openai.pydantic_responses_function_tool(Request, name="forecast")
    told = []
    for execute in (forecast, forecast.tool.function):
        function = runner().RegisteredFunction.from_tool(defined, execute=execute)
        with (
            model([FunctionCall("forecast", {"place": {"city": "Oslo"}, "days": 2})], "done") as (url, play),
            OpenAI(base_url=url, api_key="none") as client,
        ):
            runner().ResponsesToolRunner(functions=[function]).run(client, RESPONSES, max_steps=5)
        told.append(returned(play.told[-1]))
    assert told == [[w.EXPECTED]] * 2
    assert len([span for span in seen.spans if span.name == "execute_tool forecast"]) == 1
