"""`timeout`: a caller waits no longer, whatever the function does; and what the function can read of its time."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

from otel_tools import (
    ConcurrencyLimited,
    ConfigurationError,
    Retry,
    ToolTimeout,
    agent,
    cancelled,
    remaining,
    tool,
)
from otel_tools._call.clock import clock
from otel_tools._call.threads import MAX_ABANDONED
from otel_tools._telemetry import names
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@pytest.mark.parametrize("seconds", [0, -1, True, "5", float("nan"), float("inf"), [1]])
def test_a_timeout_that_cannot_work_is_refused_at_decoration(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tool 'len': timeout=.*a positive number of seconds is needed"):
        tool(timeout=seconds)(len)


def test_a_call_in_time_passes_untouched(seen: Captured, both: Flavour) -> None:
    result, error = object(), LookupError("no")

    def work(value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    decorated = tool(timeout=60)(both.function(work))
    assert both.call(decorated, result) is result
    with pytest.raises(LookupError) as raised:
        both.call(decorated, error)
    assert raised.value is error


def test_a_call_that_takes_longer_is_a_failure_of_the_tool_and_a_timeout_error(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="slow", timeout=2)(both.function(lambda: 1))

    with FakeClock() as clock, faults(decorated, latency=5), pytest.raises(TimeoutError) as raised:
        both.call(decorated)

    assert isinstance(raised.value, ToolTimeout)
    assert str(raised.value) == "tool 'slow' took longer than 2 s"
    assert (raised.value.tool, raised.value.timeout) == ("slow", 2)
    assert clock.elapsed >= 2
    attributes = dict(seen.span("slow").attributes or {})
    assert (attributes["otel_tools.outcome"], attributes["error.type"]) == ("error", "timeout")
    (event,) = seen.span("slow").events
    assert dict(event.attributes or {})["exception.type"] == "otel_tools.errors.ToolTimeout"


def test_it_works_by_the_real_clock_too(seen: Captured, both: Flavour) -> None:
    go = threading.Event()

    async def long() -> None:
        await asyncio.sleep(60)

    decorated: Any = tool(name="long", timeout=0.05)(long if both.name == "async" else lambda: go.wait(60))
    began = time.monotonic()
    with pytest.raises(ToolTimeout):
        both.call(decorated)
    assert 0.05 <= time.monotonic() - began < 30
    go.set()


def test_the_functions_own_timeout_error_is_its_own(seen: Captured, both: Flavour) -> None:
    own = TimeoutError("the database's")

    def fail() -> None:
        raise own

    with pytest.raises(TimeoutError) as raised:
        both.call(tool(name="own", timeout=60)(both.function(fail)))

    assert raised.value is own
    assert dict(seen.span("own").attributes or {})["error.type"] == "TimeoutError"


async def test_a_coroutine_that_turns_its_cancellation_into_an_error_timed_out(seen: Captured) -> None:
    @tool(timeout=0.01)
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("interrupted") from None

    with pytest.raises(ToolTimeout):
        await stubborn()


async def test_a_coroutine_that_ends_all_the_same_has_its_result(seen: Captured) -> None:
    @tool(timeout=0.01)
    async def saves() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "what there was"
        return ""

    assert await saves() == "what there was"


async def test_the_callers_own_cancellation_is_no_timeout(seen: Captured) -> None:
    @tool(timeout=60)
    async def long() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(long())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dict(seen.span("long").attributes or {})["otel_tools.outcome"] == "cancelled"


async def test_a_timeout_of_the_callers_own_is_theirs(seen: Captured) -> None:
    @tool(timeout=60)
    async def long() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0.01):
            await long()
    assert not isinstance(raised.value, ToolTimeout)
    assert dict(seen.span("long").attributes or {})["otel_tools.outcome"] == "cancelled"


def test_an_awaitable_of_a_sync_function_has_the_timeout_too(seen: Captured) -> None:
    async def long() -> None:
        await asyncio.sleep(60)

    decorated: Any = tool(name="returns", timeout=0.02)(lambda: long())  # noqa: PLW0108 - no coroutine function

    async def main() -> None:
        await decorated()

    with pytest.raises(ToolTimeout):
        asyncio.run(main())


def test_the_function_sees_the_callers_span_and_context_variables(seen: Captured, both: Flavour) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("caller")

    @tool
    def inner() -> str:
        return variable.get()

    with agent("traveller"):
        assert both.call(tool(name="outer", timeout=60)(both.function(lambda: inner()))) == "caller"  # noqa: PLW0108 - no tool

    outer, within = seen.span("outer"), seen.span("inner")
    assert within.parent is not None
    assert outer.context is not None
    assert within.parent.span_id == outer.context.span_id
    assert dict(within.attributes or {})[names.AGENT_NAME] == "traveller"
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_function_that_runs_on_is_counted_until_it_ends_and_too_many_are_refused(seen: Captured) -> None:
    go = threading.Event()
    decorated: Any = tool(name="stuck", timeout=0.001)(lambda: go.wait(60))
    for _ in range(MAX_ABANDONED):
        with pytest.raises(ToolTimeout):
            decorated()

    assert seen.value(names.ABANDONED.name, {names.TOOL_NAME: "stuck"}) == MAX_ABANDONED
    with pytest.raises(ConcurrencyLimited, match="tool 'stuck': not started, since too many"):
        decorated()

    go.set()
    for _ in range(12_000):
        if decorated.tool.stats().abandoned == 0:
            break
        time.sleep(0.005)
    assert decorated.tool.stats().abandoned == 0
    assert seen.value(names.ABANDONED.name, {names.TOOL_NAME: "stuck"}) == 0


def test_a_tool_can_read_its_remaining_time_and_whether_it_was_given_up(seen: Captured) -> None:
    left: list[float | None] = []
    stopped = threading.Event()

    def patient() -> None:
        left.append(remaining())
        while not cancelled():
            time.sleep(0.001)
        left.append(remaining())
        stopped.set()

    with pytest.raises(ToolTimeout):
        tool(timeout=0.5)(patient)()

    assert stopped.wait(60), "the loop ended by itself"
    assert left[0] is not None
    assert 0 < left[0] <= 0.5
    assert left[1] == 0.0
    assert remaining() is None
    assert not cancelled()


def test_the_remaining_time_is_that_of_the_earliest_nested_limit(both: Flavour) -> None:
    with FakeClock():
        inner = tool(name="inner", timeout=50)(both.function(remaining))
        innermost = tool(name="innermost", timeout=5)(both.function(remaining))
        if both.name == "sync":
            outer: Any = tool(name="outer", timeout=10)(lambda which: which())
        else:

            async def call(which: Any) -> Any:
                return await which()

            outer = tool(name="outer", timeout=10)(call)

        assert both.call(outer, inner) == pytest.approx(10)
        assert both.call(outer, innermost) == pytest.approx(5)


def test_without_a_timeout_the_remaining_time_is_that_of_the_deadline(both: Flavour) -> None:
    with FakeClock():
        assert both.call(tool(name="bounded", retry=Retry(deadline=7))(both.function(remaining))) == pytest.approx(7)
        both_limits = tool(name="both", timeout=3, retry=Retry(deadline=7))(both.function(remaining))
        assert both.call(both_limits) == pytest.approx(3)
        assert both.call(tool(name="none")(both.function(remaining))) is None


def test_an_attempt_gets_no_more_than_the_deadline_leaves(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="late", timeout=5, retry=Retry(attempts=3, initial=0, deadline=8))(both.function(lambda: 1))

    with FakeClock() as clock, faults(decorated, latency=6) as injected, pytest.raises(ToolTimeout) as raised:
        both.call(decorated)

    assert injected.attempts == 2
    assert raised.value.timeout == pytest.approx(3)
    assert "which its deadline left of its timeout of 5 s" in str(raised.value)
    assert clock.elapsed >= 8


def test_ctrl_c_in_a_waiting_caller_gives_the_function_up(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def interrupted(*_: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "wait", interrupted)
    decorated: Any = tool(name="interrupted", timeout=60)(lambda: go.wait(60))
    with pytest.raises(KeyboardInterrupt):
        decorated()
    assert decorated.tool.stats().abandoned == 1
    assert dict(seen.span("interrupted").attributes or {})["otel_tools.outcome"] == "cancelled"
    go.set()
