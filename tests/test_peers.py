"""Where other decorators that trace functions were found to break, row by row; none of it breaks here."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from otel_tools import tool
from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import CAP
from tests.cpu import cpu_ratio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.testing import Captured


def forecast(city: str, day: int = 0) -> str:
    """Tell the weather of a day."""
    return f"{city}: {day}"


@tool
def countdown(n: int) -> Generator[int, Any, str]:
    """Count down, more slowly than not at all."""
    while n:
        time.sleep(0.002)
        n -= (yield n) or 1
    return "lift-off"


@tool
async def countdown_later(n: int) -> AsyncGenerator[int, Any]:
    """Count down."""
    while n:
        await asyncio.sleep(0.002)
        n -= (yield n) or 1


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_signature_name_and_wrapped_are_kept() -> None:
    decorated: Any = tool(forecast)

    assert inspect.signature(decorated) == inspect.signature(forecast)
    assert decorated.__name__ == "forecast"
    assert decorated.__wrapped__ is forecast


def test_the_docstring_is_kept() -> None:
    assert tool(forecast).__doc__ == "Tell the weather of a day."


def test_it_works_without_parentheses(seen: Captured) -> None:
    @tool
    def bare() -> int:
        return 1

    assert bare() == 1
    assert seen.span("bare").name == "execute_tool bare"


def test_the_span_of_a_generator_is_that_of_its_iteration(seen: Captured) -> None:
    assert list(countdown(3)) == [3, 2, 1]

    assert seconds(seen.span("countdown")) >= 0.006


def test_a_generator_function_is_still_one() -> None:
    assert inspect.isgeneratorfunction(countdown)


async def test_the_span_of_an_async_generator_is_that_of_its_iteration(seen: Captured) -> None:
    assert [item async for item in countdown_later(3)] == [3, 2, 1]

    assert seconds(seen.span("countdown_later")) >= 0.005


def test_an_async_generator_function_is_still_one() -> None:
    assert inspect.isasyncgenfunction(countdown_later)


def test_the_consumer_of_a_generator_is_not_inside_its_span(seen: Captured) -> None:
    for _ in countdown(2):
        assert not trace.get_current_span().get_span_context().is_valid


def test_send_reaches_the_generator(seen: Captured) -> None:
    generator = countdown(10)

    assert next(generator) == 10
    assert generator.send(7) == 3


def test_an_early_close_ends_the_span_and_is_no_failure(seen: Captured) -> None:
    generator = countdown(3)
    next(generator)
    generator.close()

    span = seen.span("countdown")
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert attributes(span)["otel_tools.outcome"] == "cancelled"


async def test_a_cancelled_tool_has_not_failed_is_counted_and_no_longer_active(seen: Captured) -> None:
    @tool
    async def sleep() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(sleep())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    span = seen.span("sleep")
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert sleep.tool.stats().calls.cancelled == 1
    assert seen.value(names.ACTIVE.name, {names.TOOL_NAME: "sleep"}) == 0


def test_an_exception_is_an_event_of_the_span(seen: Captured) -> None:
    with pytest.raises(ZeroDivisionError):
        tool(name="divide")(lambda: 1 // 0)()

    assert [event.name for event in seen.span("divide").events] == ["exception"]


class _Station:
    @tool
    def plain(self, city: str) -> str:
        return forecast(city)

    @classmethod
    @tool
    def under_class(cls, city: str) -> str:
        return forecast(city)

    @staticmethod
    @tool
    def under_static(city: str) -> str:
        return forecast(city)

    @tool
    @classmethod
    def over_class(cls, city: str) -> str:
        return forecast(city)

    def __call__(self, city: str) -> str:
        return forecast(city)


@pytest.mark.parametrize("name", ["plain", "under_class", "under_static"])
def test_methods_and_decorators_under_classmethod_and_staticmethod_work(seen: Captured, name: str) -> None:
    assert getattr(_Station(), name)("Oslo") == "Oslo: 0"
    assert seen.span(name).name == f"execute_tool {name}"


def test_a_decorator_outside_classmethod_works(seen: Captured) -> None:
    assert _Station.over_class("Oslo") == "Oslo: 0"
    assert seen.span("over_class").name == "execute_tool over_class"


@pytest.mark.parametrize(
    ("function", "name"), [(_Station(), "_Station"), (functools.partial(forecast, day=3), "forecast")]
)
def test_callable_objects_and_partials_work(seen: Captured, function: Callable[[str], str], name: str) -> None:
    assert tool(function)("Oslo") == function("Oslo")
    assert seen.span(name).name == f"execute_tool {name}"


class _Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


@pytest.mark.usefixtures("recorded")
def test_an_argument_that_cannot_be_shown_breaks_nothing(seen: Captured) -> None:
    argument = _Unshowable()

    assert tool(name="same")(lambda value: value)(argument) is argument
    assert json.loads(attributes(seen.span("same"))[names.TOOL_CALL_ARGUMENTS]) == {
        "value": f"<{__name__}._Unshowable>"
    }


@pytest.mark.usefixtures("recorded")
def test_an_api_key_is_hidden_by_default(seen: Captured) -> None:
    tool(name="call")(lambda url, api_key: url or api_key)("https://example.com", api_key="sk-123")

    assert "sk-123" not in str(attributes(seen.span("call")))


@pytest.mark.usefixtures("recorded")
def test_an_argument_of_5_mb_is_cut_and_costs_little(seen: Captured) -> None:
    big = tool(name="big")(len)

    assert cpu_ratio(lambda: big("x" * 5_000_000), runs=1) < 4
    assert len(attributes(seen.span("big"))[names.TOOL_CALL_ARGUMENTS]) <= CAP
