"""What policies do is on the spans of the call and its attempts, and in the metrics."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from otel_tools import Cache, CircuitBreaker, Concurrency, RateLimit, RateLimited, Retry, tool
from otel_tools._telemetry import names
from otel_tools._telemetry.instruments import instruments
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def attempts_of(seen: Captured, name: str) -> list[ReadableSpan]:
    return sorted(
        (span for span in seen.spans if span.name == f"attempt {name}"), key=lambda span: span.start_time or 0
    )


def test_a_call_with_one_attempt_has_no_attempt_span(seen: Captured, both: Flavour) -> None:
    def fail() -> None:
        raise LookupError

    decorated = tool(name="once", retry=Retry())(both.function(fail))
    with pytest.raises(LookupError):
        both.call(decorated)
    both.call(tool(name="fine", retry=Retry())(both.function(lambda: 1)))

    assert [span.name for span in seen.spans] == ["execute_tool once", "execute_tool fine"]
    assert names.RETRY_COUNT not in dict(seen.span("once").attributes or {})


def test_each_attempt_has_a_child_span_with_its_own_times_and_error(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="flaky", retry=Retry(attempts=3, initial=0))(both.function(lambda: 1))
    with faults(decorated, sequence=[ConnectionError("refused"), TimeoutError("late")]):
        both.call(decorated)

    call = seen.span("flaky")
    spans = attempts_of(seen, "flaky")
    assert call.context is not None
    assert [span.parent.span_id for span in spans if span.parent] == [call.context.span_id] * 3
    assert [dict(span.attributes or {}) for span in spans] == [
        {names.OWN_TOOL_NAME: "flaky", names.ERROR_TYPE: "ConnectionError"},
        {names.OWN_TOOL_NAME: "flaky", names.ERROR_TYPE: "TimeoutError"},
        {names.OWN_TOOL_NAME: "flaky"},
    ]
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert [len(span.events) for span in spans] == [1, 1, 0]
    times = [time for span in spans for time in (span.start_time, span.end_time)]
    assert times == sorted(times, key=lambda time: time or 0)
    assert (call.start_time or 0) <= (times[0] or 0)
    assert (times[-1] or 0) <= (call.end_time or 0)

    # A call whose last attempt succeeded has not failed.
    assert (call.status.status_code, call.events) == (StatusCode.UNSET, ())
    assert dict(call.attributes or {})[names.RETRY_COUNT] == 2
    for error_type in ("ConnectionError", "TimeoutError"):
        assert seen.value(names.RETRIES.name, {names.TOOL_NAME: "flaky", names.ERROR_TYPE: error_type}) == 1
    assert decorated.tool.stats().retries == 2


def test_spans_made_in_an_attempt_are_children_of_its_span(seen: Captured, both: Flavour) -> None:
    tracer = instruments.tracer
    ids: list[int] = []

    def work() -> int:
        with tracer.start_as_current_span("GET"):
            pass
        ids.append(trace.get_current_span().get_span_context().span_id)
        if len(ids) < 3:
            raise ConnectionError
        return 1

    both.call(tool(name="nested", retry=Retry(initial=0))(both.function(work)))

    call, attempts = seen.span("nested"), attempts_of(seen, "nested")
    assert call.context is not None
    assert ids == [call.context.span_id, *(span.context.span_id for span in attempts[1:] if span.context)]
    assert [span.parent.span_id for span in seen.spans if span.name == "GET" and span.parent] == ids
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_the_span_of_a_cancelled_attempt_is_ended(seen: Captured) -> None:
    async def main() -> None:
        attempts = iter([ConnectionError, None])
        second = asyncio.Event()

        @tool(name="left", retry=Retry(initial=0))
        async def left() -> None:
            if error := next(attempts):
                raise error
            second.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(left())
        await second.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    first, second = attempts_of(seen, "left")
    assert dict(first.attributes or {})[names.ERROR_TYPE] == "ConnectionError"
    assert dict(second.attributes or {}) == {names.OWN_TOOL_NAME: "left", names.OUTCOME: "cancelled"}
    assert second.status.status_code is StatusCode.UNSET
    assert dict(seen.span("left").attributes or {})[names.OUTCOME] == "cancelled"
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_the_error_that_a_fallback_replaces_is_on_the_span_redacted(seen: Captured, both: Flavour) -> None:
    def fail() -> None:
        raise LookupError("no such key: sk-proj-abcdefghijklmnopqrstuvwxyz0123456789")

    decorated = tool(name="replaced", fallback=both.function(lambda: "other"))(both.function(fail))
    assert both.call(decorated) == "other"

    span = seen.span("replaced")
    assert span.status.status_code is StatusCode.UNSET
    attributes = dict(span.attributes or {})
    assert (attributes[names.OUTCOME], attributes.get(names.ERROR_TYPE)) == ("fallback", None)
    (event,) = span.events
    assert dict(event.attributes or {})[names.EXCEPTION_TYPE] == "LookupError"
    assert "abcdefghij" not in str(dict(event.attributes or {}))
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "replaced", names.OUTCOME: "fallback"}) == 1


def test_series_start_at_zero_for_the_policies_that_a_tool_has(seen: Captured) -> None:
    @tool(
        fallback=lambda: 1,
        cache=Cache(ttl=1),
        rate_limit=RateLimit(1),
        concurrency=Concurrency(1),
        circuit_breaker=CircuitBreaker(),
        timeout=1,
    )
    def guarded() -> int:
        return 1

    @tool
    def plain() -> int:
        return 1

    me = {names.TOOL_NAME: "guarded"}
    for outcome in ("ok", "error", "fallback"):
        assert seen.value(names.CALLS.name, {**me, names.OUTCOME: outcome}) == 0
    for result in ("hit", "miss"):
        assert seen.value(names.CACHE_REQUESTS.name, {**me, names.CACHE_RESULT: result}) == 0
    for policy in ("rate_limit", "concurrency"):
        for result in ("acquired", "rejected"):
            point = {**me, names.THROTTLING_POLICY: policy, names.THROTTLING_RESULT: result}
            assert seen.value(names.THROTTLING_REQUESTS.name, point) == 0
        assert seen.value(names.THROTTLING_QUEUED.name, {**me, names.THROTTLING_POLICY: policy}) == 0
    assert seen.value(names.CIRCUIT_STATE.name, me) == 0
    assert seen.value(names.ABANDONED.name, me) == 0

    of_plain = [
        metric.name
        for metric in seen.metrics
        for point in metric.data.data_points
        if dict(point.attributes or {}).get(names.TOOL_NAME) == "plain"
    ]
    assert sorted(set(of_plain)) == [names.ACTIVE.name, names.CALLS.name]


def test_each_tool_of_a_circuit_breaker_reports_its_state(seen: Captured) -> None:
    breaker = CircuitBreaker(failures=1, cooldown=30)
    one, other = (tool(name=name, circuit_breaker=breaker)(lambda: 1) for name in ("one", "other"))

    with FakeClock() as clock:
        for state in (0, 2, 1):
            assert [seen.value(names.CIRCUIT_STATE.name, {names.TOOL_NAME: name}) for name in ("one", "other")] == [
                state
            ] * 2
            if state == 0:
                with faults(one, error=ConnectionError), pytest.raises(ConnectionError):
                    one()
                assert other.tool.stats().circuit == "open"
            else:
                clock.advance(30)
    assert seen.value(names.CIRCUIT_STATE.name, {names.TOOL_NAME: "one"}) in {1, 2}


def test_only_waits_and_refusals_have_a_time_in_queue(seen: Captured, both: Flavour) -> None:
    decorated: Any = tool(name="limited", rate_limit=RateLimit(1, per=10))(both.function(lambda: 1))

    with FakeClock():
        both.call(decorated)
        assert seen.points(names.THROTTLING_TIME.name) == []
        both.call(decorated)
        limit = RateLimit(1, per=60, max_wait=0)
        with decorated.tool.override(rate_limit=limit):
            both.call(decorated)
            with pytest.raises(RateLimited):
                both.call(decorated)

    waits = {p.attributes[names.THROTTLING_RESULT]: p for p in seen.points(names.THROTTLING_TIME.name)}
    assert (waits["acquired"].count, waits["acquired"].sum) == (1, pytest.approx(10))
    assert (waits["rejected"].count, waits["rejected"].sum) == (1, 0)
    second = [span for span in seen.spans if span.name == "execute_tool limited"][1]
    assert dict(second.attributes or {})[names.THROTTLING_WAIT] == pytest.approx(10)


def test_a_listener_that_raises_fails_no_call(seen: Captured, both: Flavour) -> None:
    def broken(_event: object) -> None:
        raise RuntimeError

    instruments.policy_listener = broken
    decorated = tool(name="heard", cache=Cache(ttl=1), retry=Retry(), fallback=both.function(lambda: 2))(
        both.function(lambda: 1)
    )
    assert both.call(decorated) == 1


def test_events_list_the_actions_of_the_policies_in_order(seen: Captured) -> None:
    errors = iter([ConnectionError()])

    @tool(cache=Cache(ttl=60), retry=Retry(initial=0), concurrency=Concurrency(1))
    def logged() -> int:
        for error in errors:
            raise error
        return 1

    logged()
    logged()

    events = [(event.name, dict(event.values)) for event in seen.events if event.tool == "logged"]
    assert events == [
        ("attempt_began", {"number": 1}),
        ("throttled", {"policy": "concurrency", "result": "acquired", "waited": None}),
        ("attempt_ended", {"outcome": "error", "error_type": "ConnectionError", "retry_in": 0.0}),
        ("retried", {"error_type": "ConnectionError"}),
        ("attempt_began", {"number": 2}),
        ("throttled", {"policy": "concurrency", "result": "acquired", "waited": None}),
        ("attempt_ended", {"outcome": "ok", "error_type": None, "retry_in": None}),
        ("cache_answered", {"result": "miss"}),
        ("cache_answered", {"result": "hit"}),
    ]


def test_the_number_of_retry_series_is_bounded(seen: Captured) -> None:
    errors = iter([type(f"Error{number}", (Exception,), {})() for number in range(300)])

    @tool(retry=Retry(attempts=301, on=Exception, initial=0))
    def fail_often() -> None:
        for error in errors:
            raise error

    fail_often()

    assert len(seen.points(names.RETRIES.name)) == 101
    assert seen.value(names.RETRIES.name, {names.TOOL_NAME: "fail_often", names.ERROR_TYPE: "_OTHER"}) == 200
    assert fail_often.tool.stats().retries == 300


def test_threads_lose_no_count_of_a_policy(seen: Captured) -> None:
    decorated = tool(name="counted", cache=Cache(ttl=60), rate_limit=RateLimit(10**9), concurrency=Concurrency(4))(
        lambda number: number
    )

    def many() -> None:
        for number in range(500):
            decorated(number)

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    stats = decorated.tool.stats()
    assert stats.calls.ok + stats.calls.cached == 4000
    assert stats.cache.hit + stats.cache.miss + stats.cache.coalesced == 4000
    assert stats.calls.ok == stats.cache.miss == stats.rate_limit.acquired == stats.concurrency.acquired == 500
    assert stats.active == stats.concurrency.queued == 0


async def test_an_attempt_that_never_began_is_not_a_retry(seen: Captured) -> None:
    @tool(retry=Retry(initial=60, max=60, jitter=None))
    async def patient() -> None:
        raise ConnectionError

    task = asyncio.create_task(patient())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert patient.tool.stats().retries == 0
    assert names.RETRY_COUNT not in dict(seen.span("patient").attributes or {})
    assert [span.name for span in seen.spans] == ["attempt patient", "execute_tool patient"]
