"""Single flight: one call runs, the others get its result, and none waits for ever."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import Scope
from otel_tools._call.steps import Invoke, Wait
from otel_tools._policies.cache.single_flight import InFlightCall, InFlightCalls, Waiter, _graph, deliver
from otel_tools.errors import ToolTimeout
from tests.policies.cache_helpers import RecordingCall, inner, run_to_end, tool_info_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools._call.steps import Flow, Next


def work(key: Any) -> None:
    """Stands for the tool."""


def flow_of(cache: Cache, name: str = "work") -> Next:
    """As an async tool, whose waiters block nobody."""
    return cache.policy(tool_info_of(work, asynchronous=True, name=name))(inner)


class Driven:
    """One call, driven by hand in a context of its own, as a task would have."""

    def __init__(self, flow: Next, key: Any = 1, context: contextvars.Context | None = None) -> None:
        self.call = RecordingCall(key)
        self.context = context or contextvars.Context()
        self.flow: Flow = flow(self.call)
        self.step: Any = self.context.run(next, self.flow)

    @property
    def waits(self) -> bool:
        return isinstance(self.step, Wait)

    @property
    def runs(self) -> bool:
        return isinstance(self.step, Invoke)

    def go_on(self) -> None:
        """The wait is over."""
        assert self.step.future.done()
        self.step = self.context.run(self.flow.send, self.step.future.done())

    def end(self, answer: Any = True) -> Outcome:
        return self.context.run(run_to_end, self.flow, answer)

    def cancel(self) -> None:
        self.context.run(self.flow.close)

    def child(self) -> contextvars.Context:
        """The context of a task that this call's function starts."""
        return self.context.run(contextvars.copy_context)


@pytest.fixture
def cache() -> Iterator[Cache]:
    cache = Cache(ttl=60)
    yield cache
    assert len(cache._in_flight) == 0
    assert not _graph.busy


def test_calls_that_come_while_one_runs_get_a_copy_of_its_value(cache: Cache) -> None:
    flow = flow_of(cache)
    first, *others = [Driven(flow) for _ in range(4)]
    assert first.runs
    assert all(other.waits for other in others)

    value = [1]
    assert first.end(Outcome(value)).value is value

    got = [other.end() for other in others]
    assert [(outcome.value, outcome.result) for outcome in got] == [([1], "cached")] * 3
    assert len({id(outcome.value) for outcome in got}) == 3
    assert [other.call.answers for other in others] == [["coalesced"]] * 3


def test_another_key_does_not_wait(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second = Driven(flow, 1), Driven(flow, 2)
    assert second.runs
    first.end(Outcome(1))
    second.end(Outcome(2))


def test_waiters_get_the_same_failure_and_the_next_call_runs_again(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second = Driven(flow), Driven(flow)
    error = ConnectionError()
    failed = Outcome(None, error, "error", "odd")
    assert first.end(failed) is failed
    failed.error = None  # as a driver does

    got = second.end()
    assert (got.error, got.result, got.error_type, second.call.answers) == (error, "error", "odd", ["coalesced"])
    third = Driven(flow)
    assert third.runs
    third.end(Outcome(1))


def test_an_error_that_many_raise_does_not_grow(cache: Cache) -> None:
    flow = flow_of(cache)
    first, *others = [Driven(flow) for _ in range(20)]
    with pytest.raises(ConnectionError) as made:
        raise ConnectionError
    first.end(Outcome.of_error(made.value))
    for other in others:
        got = other.end().error
        with pytest.raises(ConnectionError) as caught:
            raise got  # type: ignore[misc] # there is one
        assert len(caught.traceback) <= 3


def test_a_value_that_counts_as_a_failure_is_shared_as_one(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second = Driven(flow), Driven(flow)
    first.end(Outcome({"error": 1}, None, "error", "tool_error"))
    got = second.end()
    assert (got.value, got.error, got.result, got.error_type) == ({"error": 1}, None, "error", "tool_error")


def test_each_call_computes_a_value_that_cannot_be_copied_for_itself(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second = Driven(flow), Driven(flow)
    first.end(Outcome(threading.Lock()))
    second.go_on()
    assert second.runs
    mine = threading.Lock()
    assert second.end(Outcome(mine)).value is mine
    assert second.call.answers == ["bypass"]


def test_after_a_cancelled_run_one_of_the_waiters_runs(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second, third = [Driven(flow) for _ in range(3)]
    first.cancel()
    second.go_on()
    third.go_on()
    assert second.runs
    assert third.waits
    second.end(Outcome(1))
    assert third.end().value == 1
    assert (first.call.answers, third.call.answers) == (["miss"], ["coalesced"])


def test_a_cancellation_that_comes_as_an_outcome_is_not_shared(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second = Driven(flow), Driven(flow)
    first.end(Outcome(None, asyncio.CancelledError(), "cancelled"))
    second.go_on()
    assert second.runs
    second.end(Outcome(1))


def test_a_waiter_that_is_cancelled_disturbs_no_other(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second, third = [Driven(flow) for _ in range(3)]
    second.cancel()
    assert second.call.answers == ["coalesced"]
    assert first.end(Outcome(1)).value == 1
    assert not second.step.future.done()
    assert third.end().value == 1


def test_a_stale_value_is_served_to_the_running_call_and_its_waiters(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(ttl=10, stale_if_error=60)
    flow = flow_of(cache)
    Driven(flow).end(Outcome([1]))
    then = clock.now() + 20
    monkeypatch.setattr(clock, "now", lambda: then)
    first, second = Driven(flow), Driven(flow)
    assert second.waits
    for driven, answer in ((first, Outcome.of_error(ConnectionError())), (second, True)):
        got = driven.end(answer)
        assert (got.value, got.result, driven.call.answers) == ([1], "fallback", ["stale"])
        assert len(driven.call.recoveries) == 1


def test_no_call_waits_past_its_deadline(cache: Cache) -> None:
    flow = flow_of(cache)
    first = Driven(flow)
    late = RecordingCall(1)
    late.scope = Scope(late, 0.0, None)
    running = flow(late)
    step = next(running)
    assert isinstance(step, Wait)
    assert step.timeout == 0.0
    got = run_to_end(running, answer=False)
    assert isinstance(got.error, ToolTimeout)
    assert got.error.tool == "work"
    assert late.answers == ["coalesced"]
    assert first.end(Outcome(1)).value == 1


class TestNobodyWaitsForEver:
    def test_a_tool_that_calls_itself(self, cache: Cache) -> None:
        flow = flow_of(cache)
        outer = Driven(flow)
        within = Driven(flow, context=outer.child())
        assert within.runs
        assert within.end(Outcome(1)).value == 1
        assert outer.end(Outcome(2)).value == 2

    def test_after_the_call_is_over_its_children_wait_like_others(self, cache: Cache) -> None:
        flow = flow_of(cache)
        outer = Driven(flow)
        child = outer.child()
        outer.end(Outcome(1))
        cache.clear()
        again = Driven(flow)
        assert Driven(flow, context=child).waits
        again.end(Outcome(1))

    def test_two_tools_that_call_each_other(self, cache: Cache) -> None:
        ours, theirs = flow_of(cache, "ours"), flow_of(Cache(ttl=60), "theirs")
        a, b = Driven(ours), Driven(theirs)
        a_within = Driven(theirs, context=a.child())
        b_within = Driven(ours, context=b.child())
        assert a_within.waits
        assert b_within.runs
        b_within.end(Outcome(1))
        b.end(Outcome(2))
        assert a_within.end().value == 2
        a.end(Outcome(3))

    @pytest.mark.parametrize("length", [3, 5])
    def test_a_ring_of_tools(self, cache: Cache, length: int) -> None:
        flows = [flow_of(cache, str(number)) for number in range(length)]
        calls = [Driven(flow) for flow in flows]
        within = [Driven(flows[(number + 1) % length], context=call.child()) for number, call in enumerate(calls)]
        assert [each.waits for each in within] == [True] * (length - 1) + [False]
        within[-1].end(Outcome(0))
        for call, waiting in reversed(list(zip(calls, [*within[:-1], None], strict=True))):
            if waiting is not None:
                assert waiting.end().result == "cached"
            call.end(Outcome(1))

    def test_a_waiter_that_left_is_no_part_of_the_ring(self, cache: Cache) -> None:
        ours, theirs = flow_of(cache, "ours"), flow_of(cache, "theirs")
        a, b = Driven(ours), Driven(theirs)
        Driven(theirs, context=a.child()).cancel()
        within = Driven(ours, context=b.child())
        assert within.waits
        a.end(Outcome(1))
        within.end()
        b.end(Outcome(1))

    def test_a_blocking_call_in_the_thread_or_the_loop_of_the_running_call(self, cache: Cache) -> None:
        calls = InFlightCalls()
        in_flight = calls.join("key", blocking=True)
        assert calls.join("key", blocking=True) is None
        assert isinstance(calls.join("key", blocking=False), Waiter)

        async def in_a_loop() -> Any:
            return calls.join("key", blocking=True)

        with ThreadPoolExecutor(1) as pool:
            assert isinstance(pool.submit(calls.join, "key", blocking=True).result(), Waiter)
            assert pool.submit(asyncio.run, in_a_loop()).result() is None
        calls.end("key", in_flight)  # type: ignore[arg-type] # an in-flight call

    def test_a_call_made_in_the_middle_of_a_change(self, cache: Cache) -> None:
        calls = InFlightCalls()
        in_flight = calls.join("key", blocking=False)
        with _graph.changing():
            assert calls.join("key", blocking=False) is None
        calls.end("key", in_flight)  # type: ignore[arg-type] # an in-flight call


def test_a_call_that_finds_another_as_it_ends_runs_itself() -> None:
    calls = InFlightCalls()
    first = calls.join("key", blocking=False)
    assert isinstance(first, InFlightCall)

    class Late(dict[Any, Any]):
        def setdefault(self, key: Any, default: Any = None) -> Any:
            found = super().setdefault(key, default)
            if found is first and isinstance(found, InFlightCall):
                calls.end(key, found)
            return found

    calls._by_key = Late(calls._by_key)
    second = calls.join("key", blocking=False)
    assert isinstance(second, InFlightCall)
    assert second is not first
    calls.end("key", second)
    assert len(calls) == 0


def test_threads_that_join_at_once_run_one_by_one_and_are_all_served() -> None:
    calls = InFlightCalls()
    under_way: list[InFlightCall] = []
    together: list[int] = []

    def come_and_go() -> None:
        for _ in range(300):
            joined = calls.join("key", blocking=False)
            if isinstance(joined, Waiter):
                joined.future.result(timeout=30)
                joined.leave()
            elif joined is not None:
                under_way.append(joined)
                together.append(len(under_way))
                under_way.remove(joined)
                deliver(calls.end("key", joined), None)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(come_and_go) for _ in range(8)]:
                each.result()
    finally:
        sys.setswitchinterval(before)
    assert max(together) == 1
    assert len(calls) == 0


def test_a_call_that_the_garbage_collector_closes_in_another_context_is_ended(cache: Cache) -> None:
    driven = Driven(flow_of(cache))
    driven.flow.close()
    assert len(cache._in_flight) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork")
def test_a_forked_child_waits_for_no_call_of_the_parent(cache: Cache) -> None:
    flow = flow_of(cache)
    first, second = Driven(flow), Driven(flow)
    pid = os.fork()
    if pid == 0:
        done = 1
        try:
            own = Driven(flow)
            assert own.runs
            assert first.end(Outcome(1)).value == 1
            assert own.end(Outcome(2)).value == 2
            second.cancel()
            done = 0
        finally:
            os._exit(done)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    first.end(Outcome(1))
    assert second.end().value == 1
