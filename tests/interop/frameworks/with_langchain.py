"""langchain-core: its decorator above ours and below it, and `StructuredTool`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import tool as langchain_tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from otel_tools import ConfigurationError, agent, tool
from tests.interop import weather as w

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured


def structured(function: Any) -> Any:
    """The tool as the class makes it."""
    kind = "coroutine" if asyncio.iscoroutinefunction(function) else "func"
    return StructuredTool.from_function(**{kind: function})


above = pytest.mark.parametrize("above", [langchain_tool, structured])


@above
@pytest.mark.parametrize(("bare", "decorated"), w.PAIRS)
def test_the_model_is_told_the_same(above: Callable[..., Any], bare: Any, decorated: Any) -> None:
    assert convert_to_openai_tool(above(decorated)) == convert_to_openai_tool(above(bare))
    assert above(decorated).args == above(bare).args
    assert above(decorated).get_output_jsonschema() == above(bare).get_output_jsonschema()


@above
def test_a_sync_tool_is_called(above: Callable[..., Any], seen: Captured) -> None:
    made = above(w.weather)
    w.outages.append(ConnectionError())
    with agent("travel"):
        results = [made.invoke(w.ARGUMENTS), made.invoke(w.ARGUMENTS)]
    assert results == [above(w.bare).invoke(w.ARGUMENTS)] * 2 == [w.EXPECTED] * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit")]


@above
async def test_an_async_tool_is_called(above: Callable[..., Any], seen: Captured) -> None:
    made = above(w.weather_async)
    w.outages.append(ConnectionError())
    with agent("travel"):
        results = [await made.ainvoke(w.ARGUMENTS), await made.ainvoke(w.ARGUMENTS)]
    assert results == [await above(w.bare_async).ainvoke(w.ARGUMENTS)] * 2 == [w.EXPECTED] * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit")]


async def test_a_sync_tool_is_called_on_the_thread_that_langchain_takes_for_it(seen: Captured) -> None:
    made = langchain_tool(w.weather)
    cities = ["Oslo", "Rome", "Lima"]
    with agent("travel"):
        results = await made.abatch([{"place": {"city": city}} for city in cities])
    assert [result.place.city for result in results] == cities
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")] * 3


def test_what_a_model_asks_for_is_answered_under_its_id(seen: Captured) -> None:
    call = {"type": "tool_call", "id": "call_1", "name": "weather", "args": w.ARGUMENTS}
    with agent("travel"):
        answer = langchain_tool(w.weather).invoke(call)
    assert isinstance(answer, ToolMessage)
    assert answer.tool_call_id == "call_1"
    assert answer.content == langchain_tool(w.bare).invoke(call).content
    assert len(w.tool_spans(seen)) == 1


def test_a_failure_is_handled_as_without_us(seen: Captured) -> None:
    w.outages.extend([ValueError("no such city")] * 2)
    for function in (w.weather, w.bare):
        with agent("travel"), pytest.raises(ValueError, match="no such city"):
            langchain_tool(function).invoke(w.ARGUMENTS)
    [span] = [span for span in seen.spans if span.name.startswith("execute_tool")]
    assert dict(span.attributes or {})["error.type"] == "ValueError"


@pytest.mark.parametrize("ours_above", [tool, tool(**w.POLICIES)], ids=["bare", "with options"])
@pytest.mark.parametrize("function", [w.bare, w.bare_async])
def test_ours_above_its_decorator_keeps_the_object(ours_above: Any, function: Any) -> None:
    theirs = langchain_tool(function)
    ours = ours_above(theirs)
    assert type(ours) is StructuredTool
    assert ours is not theirs
    assert convert_to_openai_tool(ours) == convert_to_openai_tool(theirs)
    assert ours.args_schema is theirs.args_schema


def test_a_tool_with_its_decorator_below_ours(seen: Captured) -> None:
    ours = tool(langchain_tool(w.bare), **w.POLICIES)
    w.outages.append(ConnectionError())
    with agent("travel"):
        results = [ours.invoke(w.ARGUMENTS), ours.invoke(w.ARGUMENTS)]
    assert results == [w.EXPECTED] * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit")]


async def test_an_async_tool_with_its_decorator_below_ours(seen: Captured) -> None:
    ours = tool(langchain_tool(w.bare_async), **w.POLICIES)
    w.outages.append(ConnectionError())
    with agent("travel"):
        results = [await ours.ainvoke(w.ARGUMENTS), await ours.ainvoke(w.ARGUMENTS)]
    assert results == [w.EXPECTED] * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit")]


async def test_a_tool_that_is_both_sync_and_async_has_one_name(seen: Captured) -> None:
    theirs = StructuredTool.from_function(w.bare, w.bare_async, name="forecast", description="Look ahead.")
    ours = tool(theirs)
    with agent("travel"):
        assert ours.invoke(w.ARGUMENTS) == await ours.ainvoke(w.ARGUMENTS) == w.EXPECTED
    calls = w.tool_spans(seen)
    assert [call.name for call in calls] == ["execute_tool forecast"] * 2
    assert {dict(call.attributes or {})["gen_ai.tool.description"] for call in calls} == {"Look ahead."}


def test_a_tool_between_two_of_ours_has_one_span(seen: Captured) -> None:
    with agent("travel"):
        assert tool(langchain_tool(w.weather), timeout=20).invoke(w.ARGUMENTS) == w.EXPECTED
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")]


def test_a_tool_that_is_a_class_says_what_to_decorate() -> None:
    forecast: Any = type("Forecast", (BaseTool,), {"__module__": __name__, "_run": lambda _, city: city})
    with pytest.raises(ConfigurationError, match="_run"):
        tool(forecast(name="forecast", description="Look ahead."))
