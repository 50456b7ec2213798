"""pydantic-ai: our tools as they are, as its `Tool`, and under its decorator, in runs against a model over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, Tool
from pydantic_ai.messages import ModelRequest, ToolReturnPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from otel_tools import agent
from otel_tools._demo.script import FunctionCall
from tests.interop import weather as w

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured

API: dict[str, Any] = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}


def as_they_are(name: Any) -> Any:
    return Agent(name, tools=[w.weather, w.weather_async])


def as_its_tool(name: Any) -> Any:
    return Agent(name, tools=[Tool(w.weather), Tool(w.weather_async)])


def by_its_decorator(name: Any) -> Any:
    made: Any = Agent(name)
    made.tool_plain(w.weather)
    made.tool_plain(w.weather_async)
    return made


@pytest.mark.parametrize(("bare", "decorated"), w.PAIRS)
def test_the_model_is_told_the_same(bare: Any, decorated: Any) -> None:
    assert Tool(decorated).tool_def == Tool(bare).tool_def


@pytest.mark.parametrize("made", [as_they_are, as_its_tool, by_its_decorator])
@pytest.mark.parametrize("api", API)
async def test_a_run(model: Callable[..., Any], seen: Captured, api: str, made: Callable[..., Any]) -> None:
    turns = (
        [FunctionCall("weather", w.ARGUMENTS)],
        [FunctionCall("weather", w.ARGUMENTS)],
        [FunctionCall("weather_async", w.ARGUMENTS)],
        "done",
    )
    w.outages.append(ConnectionError())
    with model(*turns) as (url, play):
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            traveller = made(API[api]("scripted", provider=OpenAIProvider(openai_client=client)))
            with agent("travel"):
                result = await traveller.run("How is the weather?")
    assert result.output == "done"
    parts = [part for message in result.all_messages() if isinstance(message, ModelRequest) for part in message.parts]
    returned = [part.content for part in parts if isinstance(part, ToolReturnPart)]
    assert returned == [w.bare(w.EXPECTED.place, days=2)] * 3
    assert [one.result for one in play.told[-1]] == [w.EXPECTED.model_dump()] * 3
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit"), (0, "miss")]


async def test_calls_at_once(model: Callable[..., Any], seen: Captured) -> None:
    asked = [FunctionCall(("weather", "weather_async")[n % 2], {"place": {"city": f"City {n}"}}) for n in range(6)]
    with model(asked, "done") as (url, play):
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            traveller = as_they_are(OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client)))
            with agent("travel"):
                await traveller.run("How is the weather?")
    assert len(play.told[-1]) == 6
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")] * 6


async def test_a_failure_is_raised_as_without_us(model: Callable[..., Any], seen: Captured) -> None:
    for function in (w.weather, w.bare):
        w.outages.append(ValueError("no such city"))
        with model([FunctionCall(function.__name__, w.ARGUMENTS)], "done") as (url, _):
            async with AsyncOpenAI(base_url=url, api_key="none") as client:
                chat = OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client))
                with pytest.raises(ValueError, match="no such city"):
                    await Agent(chat, tools=[function]).run("How is the weather?")
    assert dict(seen.span("weather").attributes or {})["error.type"] == "ValueError"
