"""openai-agents: `function_tool` over ours, in runs against a model over HTTP, by both of OpenAI's APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    ToolCallOutputItem,
    function_tool,
)
from openai import AsyncOpenAI

from otel_tools import agent
from otel_tools._demo.script import FunctionCall
from tests.interop import weather as w

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured

QUIET = RunConfig(tracing_disabled=True)
"""Its own traces would go to OpenAI."""

API = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}


@pytest.mark.parametrize(("bare", "decorated"), w.PAIRS)
@pytest.mark.parametrize("strict", [True, False])
def test_the_model_is_told_the_same(bare: Any, decorated: Any, *, strict: bool) -> None:
    ours, theirs = function_tool(decorated, strict_mode=strict), function_tool(bare, strict_mode=strict)
    assert ours.name == theirs.name == bare.__name__
    assert ours.description == theirs.description == "Forecast the weather."
    assert ours.params_json_schema == theirs.params_json_schema


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("api", API)
async def test_a_run(model: Callable[..., Any], seen: Captured, api: str, *, streamed: bool) -> None:
    turns = (
        [FunctionCall("weather", w.ARGUMENTS)],
        [FunctionCall("weather", w.ARGUMENTS)],
        [FunctionCall("weather_async", w.ARGUMENTS)],
        "done",
    )
    w.outages.append(ConnectionError())
    with model(*turns) as (url, play):
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            traveller = Agent(
                name="traveller",
                model=API[api]("scripted", client),
                tools=[function_tool(w.weather), function_tool(w.weather_async)],
            )
            with agent("travel"):
                if streamed:
                    result: Any = Runner.run_streamed(traveller, "How is the weather?", run_config=QUIET)
                    async for _ in result.stream_events():
                        pass
                else:
                    result = await Runner.run(traveller, "How is the weather?", run_config=QUIET)
    assert result.final_output == "done"
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert outputs == [w.bare(w.EXPECTED.place, days=2)] * 3
    assert [one.result for one in play.told[-1]] == [str(w.EXPECTED)] * 3
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit"), (0, "miss")]


async def test_calls_at_once(model: Callable[..., Any], seen: Captured) -> None:
    cities = [f"City {n}" for n in range(6)]
    asked = [
        FunctionCall(("weather", "weather_async")[n % 2], {"place": {"city": city}}) for n, city in enumerate(cities)
    ]
    with model(asked, "done") as (url, play):
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            traveller = Agent(
                name="traveller",
                model=OpenAIChatCompletionsModel("scripted", client),
                tools=[function_tool(w.weather), function_tool(w.weather_async)],
            )
            with agent("travel"):
                await Runner.run(traveller, "How is the weather?", run_config=QUIET)
    assert len(play.told[-1]) == 6
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")] * 6


async def test_a_failure_is_told_to_the_model_as_without_us(model: Callable[..., Any], seen: Captured) -> None:
    told = []
    for function in (w.weather, w.bare):
        w.outages.append(ValueError("no such city"))
        with model([FunctionCall(function.__name__, w.ARGUMENTS)], "done") as (url, play):
            async with AsyncOpenAI(base_url=url, api_key="none") as client:
                traveller = Agent(
                    name="traveller",
                    model=OpenAIChatCompletionsModel("scripted", client),
                    tools=[function_tool(function)],
                )
                await Runner.run(traveller, "How is the weather?", run_config=QUIET)
        told.append(play.told[-1][0].result)
    assert told[0] == told[1]
    assert dict(seen.span("weather").attributes or {})["error.type"] == "ValueError"
