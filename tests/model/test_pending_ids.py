"""Ids of calls whose arguments a loop or a framework has changed, that are at hand, or whose answer was discarded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI
from opentelemetry import trace

import otel_tools
from otel_tools._demo.script import FunctionCall
from otel_tools._model.call_ids.openai_client import instrument_openai, uninstrument_openai
from otel_tools._model.call_ids.pending_calls import RequestedCall, RequestOrigin, clear, remember
from otel_tools._telemetry.instruments import instruments
from tests.cpu import cpu_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools.testing import Captured


@dataclass
class Context:
    """As the frameworks pass it to tools."""

    tool_call_id: str | None = None
    deps: object = None


@otel_tools.tool
def first(conn: object, location: str = "here", days: int = 1) -> str:
    """Takes what the application adds before its arguments."""
    return location


@otel_tools.tool
def last(location: str, days: int = 1, *, user_id: str = "", conn: object = None) -> str:
    """Takes what the application adds after its arguments."""
    return location


SCHEMA = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "days": {"type": "integer"}},
}
TOOLS: Any = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("first", "last")]


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    instrument_openai()
    yield
    uninstrument_openai()
    clear()


def ids(seen: Captured) -> list[Any]:
    spans = [span for span in seen.spans if span.name.startswith("execute_tool")]
    return [(span.attributes or {}).get("gen_ai.tool.call.id") for span in spans]


def ask(base_url: str, content: str = "?") -> list[str]:
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": content}], tools=TOOLS
        )
    return [call.id for call in answer.choices[0].message.tool_calls or ()]


CHANGES: dict[str, Callable[[str], Any]] = {
    "a connection first": lambda city: first(object(), location=city),
    "a connection by name": lambda city: first(conn=object(), location=city),
    "a user": lambda city: last(city, user_id="u1"),
    "a user and a default": lambda city: last(city, 1, user_id="u1"),
    "a connection last": lambda city: last(location=city, conn={"json": "too"}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("traced", [True, False], ids=["in a trace", "without a trace"])
def test_arguments_that_the_model_was_not_offered_do_not_count(
    change: str, model: Any, seen: Captured, *, traced: bool
) -> None:
    name = "first" if "first" in change or "by name" in change else "last"
    calls = [FunctionCall(name, {"location": city}) for city in ("Oslo", "Rome", "Lima")]
    with model(calls) as (base_url, _), otel_tools.agent("a") if traced else trace.use_span(trace.INVALID_SPAN):
        expected = ask(base_url)
        for city in ("Lima", "Oslo", "Rome"):
            CHANGES[change](city)

    assert ids(seen) == [expected[2], expected[0], expected[1]]


def test_the_only_pending_call_of_the_trace_is_taken_whatever_its_arguments_became(model: Any, seen: Captured) -> None:
    with model([FunctionCall("last", {"location": "Oslo", "days": "2"})]) as (base_url, _), otel_tools.agent("a"):
        (expected,) = ask(base_url)
        last("OSLO", 2)
        last("OSLO", 2)

    assert ids(seen) == [expected, None]


def test_a_tool_that_another_tool_calls_does_not_take_the_only_pending_call(model: Any, seen: Captured) -> None:
    @otel_tools.tool
    def outer() -> str:
        return last("elsewhere")

    with model([FunctionCall("last", {"location": "Oslo"})]) as (base_url, _), otel_tools.agent("a"):
        (expected,) = ask(base_url)
        outer()
        last("Oslo")

    assert ids(seen) == [None, None, expected]


def test_an_id_on_an_argument_is_taken(model: Any, seen: Captured) -> None:
    with model([FunctionCall("first", {"location": "Oslo"}) for _ in range(2)]) as (base_url, _):
        one, two = ask(base_url)
        first(Context(two), "Oslo")
        first(Context(None), "Oslo")
        first(Context("not from here"), "Oslo")

    assert ids(seen) == [two, one, "not from here"]


def test_the_id_on_the_current_span_is_taken(model: Any, seen: Captured) -> None:
    attributes = {"gen_ai.tool.name": "last", "gen_ai.tool.call.id": "of the framework"}
    with model([FunctionCall("first", {"location": "Oslo"})]) as (base_url, _):
        ask(base_url)
        with instruments.tracer.start_as_current_span("running tool", attributes=attributes):
            last("Rome")
            first(object(), "Rome")

    assert ids(seen)[-2:] == ["of the framework", None]


def test_a_turn_that_is_asked_again_has_the_ids_of_its_new_answer(model: Any, seen: Captured) -> None:
    with model([FunctionCall("last", {"location": "Oslo"})]) as (base_url, _), otel_tools.agent("a"):
        discarded, kept, other = (ask(base_url, content) for content in ("?", "?", "another conversation"))
        for _ in range(3):
            last("Oslo")

    assert ids(seen) == [*kept, *other, None]
    assert discarded != kept


def cost(pending: int) -> float:
    clear()
    with otel_tools.agent("a"):
        origin = RequestOrigin(trace.get_current_span().get_span_context().trace_id)
        remember([RequestedCall("seed", "first", "{}")], origin)
        for number in range(0, pending, 100):
            calls = [
                RequestedCall(f"c{each}", "last", f'{{"location":"city {each}"}}')
                for each in range(number, number + 100)
            ]
            remember(calls, origin)

        def call() -> None:
            for _ in range(300):
                last("Oslo", 2)

        return cpu_ratio(call)


def test_unmatched_calls_do_not_make_calls_dearer(seen: Captured) -> None:
    assert cost(100_000) < 3 * cost(0)
