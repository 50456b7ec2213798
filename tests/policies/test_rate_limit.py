"""`RateLimit`: which attempts wait, which are refused, which bucket each counts against; and the reports of it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import RateLimit, tool
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import Scope
from otel_tools._call.steps import Invoke, Perform, Sleep
from otel_tools._telemetry import names
from otel_tools.errors import ConfigurationError, RateLimited
from otel_tools.stores import _gcra
from tests.policies.rate_limit_helpers import RecordingCall, Time, ask, flow_of, kept, work

if TYPE_CHECKING:
    from otel_tools._call.steps import Flow
    from otel_tools.stores._protocols import OnError
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Time:
    told = Time()
    monkeypatch.setattr(clock, "now", lambda: told.now)
    return told


@pytest.fixture(autouse=True)
def _let_go() -> Any:
    yield
    for flow in reversed(kept):
        flow.close()
    kept.clear()


def test_a_burst_begins_at_once_and_the_rest_one_by_one(at: Time) -> None:
    limit = RateLimit(4, per=2)
    assert [ask(limit) for _ in range(7)] == [0, 0, 0, 0, 0.5, 1.0, 1.5]
    at.now += 1.5
    assert ask(limit) == 0.5


@pytest.mark.parametrize(
    ("limit", "burst"),
    [
        (RateLimit(3), 3),
        (RateLimit(2.9), 2),
        (RateLimit(0.5), 1),
        (RateLimit(60, per=60), 60),
        (RateLimit(3, burst=1), 1),
        (RateLimit(1, burst=5), 5),
    ],
)
def test_the_burst_is_the_rate_unless_it_is_given(at: Time, limit: RateLimit, burst: int) -> None:
    waits = [ask(limit) for _ in range(burst + 1)]
    assert waits[:-1] == [0.0] * burst
    assert isinstance(waits[-1], float)
    assert waits[-1] == pytest.approx(limit.limits[0].buckets.quota.interval / 1e9)


def test_a_pause_fills_the_bucket_up_to_the_burst_and_no_further(at: Time) -> None:
    limit = RateLimit(10, burst=2)
    assert [ask(limit) for _ in range(3)] == [0, 0, 0.1]
    at.now += 1000
    assert [ask(limit) for _ in range(3)] == [0, 0, 0.1]


def test_a_call_that_would_wait_too_long_takes_no_token_and_learns_when_one_is_free(at: Time) -> None:
    limit = RateLimit(1, per=10, max_wait=15)
    assert [ask(limit) for _ in range(2)] == [0, 10]
    for _ in range(3):
        refused = ask(limit)
        assert isinstance(refused, RateLimited)
        assert refused.retry_after == 20
        assert refused.tool == "work"
        assert (
            str(refused)
            == "tool 'work' was not started: its rate limit of 1 per 10 s is used up; try again in 20.000 s"
        )
    at.now += 5
    assert ask(limit) == 15


def test_max_wait_0_never_waits_and_retry_after_is_long_enough(at: Time) -> None:
    limit = RateLimit(7, burst=1, max_wait=0)
    for _ in range(50):
        assert ask(limit) == 0
        refused = ask(limit)
        assert isinstance(refused, RateLimited)
        assert refused.retry_after is not None
        at.now += refused.retry_after


@pytest.mark.parametrize(("left", "max_wait", "waits"), [(1.5, None, True), (0.5, None, False), (1.5, 0.5, False)])
def test_no_wait_begins_that_would_end_after_the_deadline(
    at: Time, left: float, max_wait: float | None, waits: bool
) -> None:
    limit = RateLimit(1, max_wait=max_wait)
    assert ask(limit) == 0
    call = RecordingCall()
    call.scope = Scope(call, at.now + left, None)
    flow = flow_of(limit, call)
    if waits:
        assert next(flow) == Sleep(1.0)
        flow.close()
    else:
        with pytest.raises(StopIteration) as stop:
            next(flow)
        assert isinstance(stop.value.value.error, RateLimited)


def test_a_token_that_is_there_is_given_even_when_the_deadline_has_passed(at: Time) -> None:
    call = RecordingCall()
    call.scope = Scope(call, at.now - 1, None)
    assert isinstance(next(flow_of(RateLimit(1), call)), Invoke)


def test_each_end_is_reported_to_the_call(at: Time) -> None:
    limit = RateLimit(1, max_wait=1)
    first, second, third = RecordingCall(), RecordingCall(), RecordingCall()
    next(flow_of(limit, first))
    assert first.told == [("acquired", None)]

    waiting = flow_of(limit, second)
    assert next(waiting) == Sleep(1.0)
    assert second.told == [("queued",)]
    at.now += 1
    assert isinstance(waiting.send(None), Invoke)
    assert second.told == [("queued",), ("acquired", 1.0)]

    at.now -= 0.5
    with pytest.raises(StopIteration):
        next(flow_of(limit, third))
    assert third.told == [("rejected", None)]


def test_a_cancelled_waiter_gives_its_place_back(at: Time) -> None:
    limit = RateLimit(1)
    assert ask(limit) == 0
    call = RecordingCall()
    waiting = flow_of(limit, call)
    next(waiting)
    at.now += 0.25
    waiting.close()
    assert call.told == [("queued",), ("cancelled", 0.25)]
    assert ask(limit) == 0.75


def test_a_cancelled_waiter_changes_nothing_for_those_behind_it(at: Time) -> None:
    limit = RateLimit(1)
    assert ask(limit) == 0
    first, second = flow_of(limit, RecordingCall()), flow_of(limit, RecordingCall())
    assert [next(first), next(second)] == [Sleep(1.0), Sleep(2.0)]
    first.close()
    assert ask(limit) == 3


@pytest.mark.parametrize("backwards", [False, True])
def test_waiters_that_are_cancelled_together_give_all_their_places_back(at: Time, backwards: bool) -> None:
    limit = RateLimit(1)
    assert ask(limit) == 0
    waiting = [flow_of(limit, RecordingCall()) for _ in range(100)]
    assert [next(flow) for flow in waiting] == [Sleep(n) for n in range(1, 101)]
    for flow in reversed(waiting) if backwards else waiting:
        flow.close()
    assert ask(limit) == 1


def test_a_waiter_woken_too_early_sleeps_on_and_one_woken_late_delays_no_other(at: Time) -> None:
    limit = RateLimit(1)
    assert ask(limit) == 0
    early, late = flow_of(limit, RecordingCall()), flow_of(limit, RecordingCall())
    next(early)
    next(late)
    at.now += 0.75
    assert early.send(None) == Sleep(0.25)
    at.now += 0.25
    assert isinstance(early.send(None), Invoke)
    assert ask(limit) == 2
    at.now += 1.5
    assert isinstance(late.send(None), Invoke)
    assert ask(limit) == 1.5


def test_each_key_has_a_bucket_of_its_own(at: Time) -> None:
    limit = RateLimit(1, key=lambda args: args["user"])
    assert [ask(limit, user) for user in ("ann", "bob", "ann", "bob")] == [0, 0, 1, 1]
    assert ask(limit) == 2, "a default argument is one too"
    assert ask(limit, user="eve") == 0


def test_arguments_that_do_not_fit_are_the_functions_own_to_refuse(at: Time, caplog: pytest.LogCaptureFixture) -> None:
    limit = RateLimit(1, key=lambda args: args["user"])
    assert [ask(limit, 1, 2, 3), ask(limit, "ann")] == [0, 0]
    assert caplog.records == []


@pytest.mark.parametrize("args", [({"no": "hash"},)])
def test_a_call_whose_key_fails_counts_against_the_common_bucket(
    at: Time, caplog: pytest.LogCaptureFixture, args: tuple[Any, ...]
) -> None:
    limit = RateLimit(1, key=lambda args: args["user"])
    assert [ask(limit, *args), ask(limit, *args), ask(limit, "ann")] == [0, 1, 0]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert (
        caplog.records[0].getMessage()
        == "rate limit key of tool 'work' failed; the call counts against the common limit"
    )
    assert caplog.records[0].exc_info is not None


def test_keys_whose_buckets_are_full_again_are_removed(at: Time) -> None:
    limit = RateLimit(1, key=lambda args: args["user"])
    for number in range(10_000):
        ask(limit, f"user {number}")
        at.now += 0.1
    assert len(limit.limits[0].buckets) <= 25


def test_beyond_the_bound_the_fullest_buckets_are_removed(at: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gcra, "MAX_KEYS", 50)
    limit = RateLimit(1, per=60, burst=10, max_wait=0, key=lambda args: args["user"])
    for _ in range(10):
        ask(limit, "greedy")
    for number in range(1000):
        ask(limit, f"user {number}")
        at.now += 0.001
        assert len(limit.limits[0].buckets) <= 50
    assert isinstance(ask(limit, "greedy"), RateLimited)


def test_tools_with_the_same_object_are_limited_together(seen: Captured, both: Flavour) -> None:
    limit = RateLimit(2, per=60, max_wait=0)
    tools = [tool(name=f"tool_{n}", rate_limit=limit)(both.function(lambda: 1)) for n in range(3)]
    both.call(tools[0])
    both.call(tools[1])
    for each in tools:
        with pytest.raises(RateLimited):
            both.call(each)
    assert both.call(tool(name="other", rate_limit=RateLimit(2, per=60, max_wait=0))(both.function(lambda: 1))) == 1


def test_waits_and_refusals_are_in_the_metrics(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="limited", rate_limit=RateLimit(1, per=0.05, max_wait=0.06))(both.function(lambda: 1))
    assert both.call(decorated) == 1
    assert both.call(decorated) == 1

    def value(result: str, metric: str = names.THROTTLING_REQUESTS.name) -> Any:
        return seen.value(
            metric,
            {names.TOOL_NAME: "limited", names.THROTTLING_POLICY: "rate_limit", names.THROTTLING_RESULT: result},
        )

    assert value("acquired") == 2
    assert value("rejected") == 0
    assert value("acquired", names.THROTTLING_TIME.name) == 1
    counts = decorated.tool.stats().rate_limit
    assert (counts.acquired, counts.rejected, counts.cancelled, counts.queued) == (2, 0, 0, 0)


async def test_a_cancelled_task_gives_its_place_back_and_is_counted(seen: Captured) -> None:
    limit = RateLimit(1, per=60)

    @tool(rate_limit=limit)
    async def limited() -> int:
        return 1

    assert await limited() == 1
    tasks = [asyncio.create_task(limited()) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert limited.tool.stats().rate_limit.queued == 20
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    counts = limited.tool.stats().rate_limit
    assert (counts.acquired, counts.cancelled, counts.queued) == (1, 20, 0)
    assert limit.limits[0].buckets.reserve(None).wait <= 60e9


def test_a_waiting_call_that_is_dropped_gives_its_place_back(at: Time) -> None:
    limit = RateLimit(1)
    assert ask(limit) == 0
    waiting = flow_of(limit, RecordingCall())
    next(waiting)
    del waiting
    gc.collect()
    assert ask(limit) == 1


class FakeStore:
    """A store that answers what a test says."""

    def __init__(self, on_error: OnError = "local") -> None:
        self.on_error = on_error
        self.asked: list[tuple[Any, ...]] = []

    def reserve(self, name: str, quota: Any, max_wait: int | None) -> Any:
        self.asked.append((name, quota, max_wait))

    async def areserve(self, name: str, quota: Any, max_wait: int | None) -> Any:
        self.reserve(name, quota, max_wait)


def store_step(flow: Flow) -> Perform:
    step = next(flow)
    assert isinstance(step, Perform)
    step.blocking()
    return step


def test_a_store_gets_the_name_the_quota_and_max_wait(at: Time) -> None:
    shelf = FakeStore()
    limit = RateLimit(10, burst=3, max_wait=1.5, store=shelf, name="first")
    for tool_name in ("first", "second"):
        info = ToolInfo(tool_name, work, asynchronous=False, generator=False, arguments=Arguments(work))
        flow = limit.policy(info)(lambda _: iter(()))(RecordingCall())  # type: ignore[arg-type,return-value] # not come to
        asyncio.run(store_step(flow).awaiting())  # type: ignore[arg-type] # a coroutine
    assert shelf.asked == [("first", (100_000_000, 200_000_000), 1_500_000_000)] * 4


def test_a_reservation_of_a_store_is_waited_for_and_given_back_by_its_own_methods(at: Time) -> None:
    given_back: list[bool] = []
    call = RecordingCall()
    flow = flow_of(RateLimit(10, store=FakeStore()), call)
    store_step(flow)
    reservation = _gcra.Reservation(
        granted=True, wait=2 * 10**9, at=_gcra.now() + 2 * 10**9, cancel=lambda: given_back.append(True)
    )
    assert flow.send(Outcome(reservation)) == Sleep(2.0)
    flow.close()
    assert given_back == [True]
    assert call.told == [("queued",), ("cancelled", 0)]


def test_a_store_that_fails_makes_the_limit_local_or_fails_the_call(at: Time) -> None:
    local, strict = RecordingCall(), RecordingCall()
    flow = flow_of(RateLimit(10, store=FakeStore()), local)
    store_step(flow)
    failure = Outcome.of_error(OSError())
    assert isinstance(flow.send(failure), Invoke)
    assert local.told == [("store failed", "reserve"), ("acquired", None)]

    flow = flow_of(RateLimit(10, store=FakeStore("raise")), strict)
    store_step(flow)
    with pytest.raises(StopIteration) as stop:
        flow.send(failure)
    assert stop.value.value is failure
    assert strict.told == [("store failed", "reserve")]


def test_in_a_store_a_key_is_a_digest_and_the_common_limit_where_it_cannot_be_shown(
    at: Time, caplog: pytest.LogCaptureFixture
) -> None:
    class Secretive:
        def __repr__(self) -> str:
            raise RuntimeError

    shelf = FakeStore()
    limit = RateLimit(10, key=lambda args: args["user"], store=shelf)
    for user in ("ann", "ann", "bob", Secretive(), "\ud800"):
        store_step(flow_of(limit, RecordingCall(user)))
    ann, again, bob, common, odd = (name for name, _, _ in shelf.asked)
    assert ann == again
    assert len({ann, bob, common, odd}) == 4
    assert "ann" not in ann
    assert common == "work"
    assert len(caplog.records) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_a_free_lock_no_queue_and_the_tokens_that_were_left() -> None:
    limit = RateLimit(1, per=1000, burst=3, key=lambda args: args["user"])
    assert ask(limit, "bob") == 0
    waiting = [flow_of(limit, RecordingCall("ann")) for _ in range(10)]
    for flow in waiting:
        next(flow)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with limit.limits[0].buckets._lock:
            held.set()
            free.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = [ask(limit, "ann"), ask(limit, "bob")]
            for flow in waiting:
                flow.close()
            os.write(writing, json.dumps([*before, ask(limit, "ann")]).encode())
        finally:
            os._exit(0)
    free.set()
    thread.join()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        ann, bob, next_ann = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert ann == pytest.approx(1000, abs=10)
    assert bob == 0
    assert next_ann == pytest.approx(2000, abs=10)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"rate": 0}, "rate=0"),
        ({"rate": -1}, "rate=-1"),
        ({"rate": True}, "rate=True"),
        ({"rate": "60"}, "rate='60'"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"rate": float("inf")}, "rate=inf"),
        ({"rate": 10**400}, "rate=1000"),
        ({"rate": 1, "per": 0}, "per=0"),
        ({"rate": 1, "per": float("inf")}, "per=inf"),
        ({"rate": 1, "per": 1e9}, "between one token a year"),
        ({"rate": 1e10}, "a billion a second"),
        ({"rate": 1, "burst": 0}, "burst=0"),
        ({"rate": 1, "burst": 1.5}, "burst=1.5"),
        ({"rate": 1, "burst": True}, "burst=True"),
        ({"rate": 1, "max_wait": -1}, "max_wait=-1"),
        ({"rate": 1, "max_wait": float("inf")}, "max_wait=inf"),
        ({"rate": 1, "max_wait": False}, "max_wait=False"),
        ({"rate": 1, "key": "user"}, "key='user'"),
        ({"rate": 1, "key": asyncio.sleep}, "a plain function"),
        ({"rate": 1, "store": {}}, "store={}"),
        ({"rate": 1, "name": ""}, "name=''"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match="RateLimit") as error:
        RateLimit(**options)
    assert complaint in str(error.value)
    assert "need" in str(error.value)


def test_a_rate_is_exactly_the_number_that_was_given() -> None:
    assert _gcra.Quota.of(10, 0.1, 1).interval == 10_000_000
    assert _gcra.Quota.of(0.1, 1, 1).interval == 10_000_000_000
    assert _gcra.Quota.of(3, 1, 2) == (333_333_334, 333_333_334)


def test_a_generator_takes_its_token_when_it_begins(seen: Captured) -> None:
    @tool(rate_limit=RateLimit(1, per=60, max_wait=0))
    def numbers() -> Any:
        yield 1
        yield 2

    assert list(numbers()) == [1, 2]
    with pytest.raises(RateLimited):
        list(numbers())


def test_without_a_wait_the_policy_returns_the_inner_flow() -> None:
    flow = flow_of(RateLimit(1), RecordingCall())
    next(flow)
    outcome = Outcome(5)
    with pytest.raises(StopIteration) as stop:
        flow.send(outcome)
    assert stop.value.value is outcome


def test_sync_calls_really_wait(seen: Captured) -> None:
    decorated = tool(name="waits", rate_limit=RateLimit(50, burst=1))(lambda: 1)
    began = time.monotonic()
    for _ in range(6):
        decorated()
    assert time.monotonic() - began >= 0.1


def test_a_limit_in_a_store_that_tools_share_needs_a_name() -> None:
    class Store:
        on_error = "local"

        def reserve(self, name: str, quota: Any, max_wait: int | None) -> Any: ...

        async def areserve(self, name: str, quota: Any, max_wait: int | None) -> Any: ...

    store: Any = Store()
    unnamed, named = RateLimit(60, per=60, store=store), RateLimit(60, per=60, store=store, name="search")
    tool(name="first", rate_limit=unnamed)(lambda: 1)
    tool(name="first", rate_limit=unnamed)(lambda: 1)
    with pytest.raises(ConfigurationError, match=r"tool 'second': .* shared with tool 'first' .*name='my-limit'"):
        tool(name="second", rate_limit=unnamed)(lambda: 1)
    for name in ("first", "second"):
        tool(name=name, rate_limit=named)(lambda: 1)
    without_store = RateLimit(60)
    for name in ("first", "second"):
        tool(name=name, rate_limit=without_store)(lambda: 1)
