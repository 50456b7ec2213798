"""Several limits at once, and calls that weigh more than one: a call that does not run takes nothing from a limit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_tools import ConfigurationError, RateLimit, RateLimited, Retry, tool
from otel_tools._call.clock import clock
from otel_tools._call.steps import Invoke, Sleep
from otel_tools.stores._gcra import AT_ONCE, Quota, TokenBucket, nanoseconds
from otel_tools.testing import FakeClock
from tests.policies.rate_limit_helpers import RecordingCall, Time, ask, flow_of, kept
from tests.policies.test_rate_limit_invariants import never_too_many

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour

SECOND = 10**9


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


def limited(both: Flavour, limit: Any, name: str = "limited") -> Any:
    """A tool that returns the time."""
    return tool(name=name, rate_limit=limit)(both.function(lambda **_: None))


def free_tokens(limit: RateLimit, **options: Any) -> int:
    """Takes all tokens that are there."""
    taken = 0
    while limit.acquire(blocking=False, **options):
        taken += 1
    return taken


@pytest.mark.parametrize("form", ["list", "tuple", "RateLimit"])
def test_a_call_is_under_each_of_several_limits(seen: Captured, both: Flavour, form: str) -> None:
    limits: Any = [RateLimit(10, max_wait=0), RateLimit(25, per=3600, max_wait=0)]
    decorated = limited(
        both,
        name=f"{both.name}_{form}",
        limit={"list": limits, "tuple": tuple(limits), "RateLimit": RateLimit(limits)}[form],
    )
    ran: list[int] = []
    with FakeClock() as fake:
        for _ in range(4):
            ran.append(0)
            for _ in range(12):
                with contextlib.suppress(RateLimited):
                    both.call(decorated)
                    ran[-1] += 1
            fake.advance(1)
    assert ran == [10, 10, 5, 0]
    counts = decorated.tool.stats().rate_limit
    assert (counts.acquired, counts.rejected, counts.queued) == (25, 23, 0)


def test_a_refused_call_takes_nothing_from_the_other_limits(both: Flavour) -> None:
    with FakeClock():
        fast, slow = RateLimit(10), RateLimit(1, per=60, max_wait=0)
        decorated = limited(both, [fast, slow])
        both.call(decorated)
        for _ in range(20):
            with pytest.raises(RateLimited, match="1 per 60 s") as refused:
                both.call(decorated)
            assert refused.value.retry_after == 60
        assert free_tokens(fast) == 9


def test_a_call_that_waits_takes_nothing_from_the_other_limits(at: Time) -> None:
    fast, slow = RateLimit(10), RateLimit(1, per=60)
    both_limits, calls = RateLimit([fast, slow]), [RecordingCall() for _ in range(4)]
    flows = [flow_of(both_limits, call) for call in calls]
    assert isinstance(next(flows[0]), Invoke)
    assert [next(flow) for flow in flows[1:]] == [Sleep(60), Sleep(120), Sleep(180)]
    assert free_tokens(fast) == 9, "three calls wait, and none of their tokens is gone"
    flows[3].close()
    # The place of the last one is free again.
    assert ask(slow) == 180
    at.now += 60
    assert isinstance(next(flows[1]), Invoke)
    assert free_tokens(fast) == 9, "its tokens are taken when it begins"
    assert [call.told for call in calls] == [
        [("acquired", None)],
        [("queued",), ("acquired", 60)],
        [("queued",)],
        [("queued",), ("cancelled", 0)],
    ]


def test_a_call_keeps_what_it_waited_for_while_it_waits_for_another_limit(at: Time) -> None:
    first, second = RateLimit(1, per=10), RateLimit(1, per=25)
    call = RecordingCall()
    assert ask(first) == 0
    flow = flow_of(RateLimit([first, second]), call)
    assert next(flow) == Sleep(10)
    assert ask(second) == 0, "meanwhile the second limit is another call's"
    at.now += 10
    assert next(flow) == Sleep(15)
    assert ask(first) == 10, "the token that it waited for is its own"
    at.now += 15
    assert isinstance(next(flow), Invoke)
    assert call.told == [("queued",), ("acquired", 25)]


def test_a_call_that_cannot_wait_for_the_second_limit_gives_the_first_back(at: Time) -> None:
    first, second = RateLimit(1, per=10), RateLimit(1, per=1000)
    call = RecordingCall()
    assert ask(first) == 0
    flow = flow_of(RateLimit([first, second], max_wait=20), call)
    assert next(flow) == Sleep(10)
    assert ask(second) == 0
    at.now += 10
    with pytest.raises(StopIteration) as stop:
        next(flow)
    assert stop.value.value.error.retry_after == 990
    assert ask(first) == 0, "its token was given back"
    assert call.told == [("queued",), ("rejected", 10)]


def test_max_wait_is_for_all_waits_together_and_the_shortest_counts(at: Time) -> None:
    first, second = RateLimit(1, per=10, max_wait=50), RateLimit(1, per=40, max_wait=34)
    assert RateLimit([first, second], max_wait=60).max_wait == 34
    assert ask(first) == 0
    flow = flow_of(RateLimit([first, second], max_wait=60), RecordingCall())
    assert next(flow) == Sleep(10)
    assert ask(second) == 0
    at.now += 10
    with pytest.raises(StopIteration):
        next(flow)


@given(st.permutations(range(5)), st.permutations([3, 1, 7, 0.5, 2]))
def test_heavy_calls_that_are_cancelled_give_back_what_they_reserved(order: list[int], costs: list[float]) -> None:
    bucket, quota = TokenBucket(Quota.of(10, 10, 10), 0), Quota.of(10, 10, 10)
    assert bucket.reserve(0, 0, quota.for_cost(10)) is AT_ONCE
    quotas = [quota.for_cost(cost) for cost in costs]
    reserved = [bucket.reserve(0, None, each) for each in quotas]
    waits = [reservation.wait / SECOND for reservation in reserved]
    assert waits == pytest.approx([sum(costs[: index + 1]) for index in range(5)])
    for index in order:
        bucket.cancel(reserved[index].at, 0, quotas[index])
    assert bucket.reserve(0, None).wait == SECOND


def test_one_limit_of_a_list_may_be_shared_and_have_a_key(both: Flavour) -> None:
    with FakeClock():
        shared = RateLimit(3, per=60, max_wait=0)
        users = [
            tool(name=name, rate_limit=[shared, RateLimit(2, per=60, max_wait=0, key=lambda args: args["user"])])(
                both.function(lambda user: user)
            )
            for name in ("one", "two")
        ]
        assert both.call(users[0], "ann") == both.call(users[0], "ann") == "ann"
        with pytest.raises(RateLimited, match="2 per 60"):
            both.call(users[0], "ann")
        assert both.call(users[1], "ann") == "ann"
        with pytest.raises(RateLimited, match="3 per 60"):
            both.call(users[0], "bob")


def test_many_threads_never_take_from_one_limit_alone() -> None:
    many, few = RateLimit(1000, per=10_000), RateLimit(100, per=10_000)
    pair, turned = RateLimit([many, few], max_wait=0), RateLimit([few, many], max_wait=0)
    taken: list[bool] = []

    def run(limit: RateLimit) -> None:
        taken.extend(limit.acquire() for _ in range(50))

    threads = [threading.Thread(target=run, args=(limit,)) for limit in (pair, turned) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 100
    assert free_tokens(many) == 900


@settings(deadline=None, max_examples=60)
@given(
    quotas=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([1, 7, 60]), st.integers(1, 4)), min_size=1, max_size=3
    ),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=30),
    costs=st.lists(st.integers(0, 3), min_size=30, max_size=30),
)
def test_every_limit_is_kept_for_any_arrivals_and_costs(
    quotas: list[tuple[int, int, int]], gaps: list[float], costs: list[int]
) -> None:
    with FakeClock() as fake:
        limits = [RateLimit(rate, per, burst + 2) for rate, per, burst in quotas]
        every = RateLimit(limits)
        start, granted = fake.now(), []
        for gap, cost in zip(gaps, costs, strict=False):
            fake.advance(gap)
            assert every.acquire(cost=cost)
            granted += [nanoseconds(fake.now() - start)] * cost
    for rate, per, burst in quotas:
        # A clock of floats tells times of day to within a microsecond.
        interval = per * SECOND / rate - 2_000
        assert never_too_many(granted, int(interval), burst + 2)


def test_a_call_weighs_what_its_arguments_say(seen: Captured, both: Flavour) -> None:
    with FakeClock() as fake:
        limit = RateLimit(100, per=10, max_wait=0, cost=lambda args: len(args["rows"]))
        insert = tool(name=f"insert_{both.name}", rate_limit=limit)(both.function(lambda rows: len(rows) + 0))
        assert both.call(insert, [0] * 60) == 60
        assert both.call(insert, []) == 0
        with pytest.raises(RateLimited) as refused:
            both.call(insert, [0] * 50)
        assert refused.value.retry_after == pytest.approx(1, abs=1e-3)
        assert both.call(insert, [0] * 40) == 40
        assert both.call(insert, []) == 0, "nothing costs nothing"
        fake.advance(1)
        assert both.call(insert, [0] * 10) == 10
        with pytest.raises(RateLimited, match=r"101 tokens.*burst of 100") as never:
            both.call(insert, [0] * 101)
        assert never.value.retry_after is None
        counts = insert.tool.stats().rate_limit
        assert (counts.acquired, counts.rejected) == (5, 2)


def test_a_call_above_the_burst_is_not_tried_again(both: Flavour) -> None:
    limit = RateLimit(5, cost=lambda args: args["size"])
    heavy = tool(name=f"heavy_{both.name}", rate_limit=limit, retry=Retry(attempts=3, initial=0))(
        both.function(lambda size: size)
    )
    with pytest.raises(RateLimited, match="burst of 5"):
        both.call(heavy, 6)
    assert heavy.tool.stats().rate_limit.rejected == 1


def test_fractions_and_constants_are_costs(both: Flavour) -> None:
    with FakeClock():
        half = limited(both, RateLimit(1, per=60, max_wait=0, cost=0.5))
        both.call(half)
        both.call(half)
        with pytest.raises(RateLimited):
            both.call(half)
        free = limited(both, RateLimit(1, per=60, max_wait=0, cost=0), "free")
        for _ in range(3):
            both.call(free)


@pytest.mark.parametrize("cost", [-1, float("nan"), "5", None, True, 1 / 3 - 1], ids=str)
def test_a_cost_that_is_no_number_counts_as_one_and_is_logged(
    both: Flavour, cost: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeClock():
        odd = limited(both, RateLimit(2, per=60, max_wait=0, cost=lambda _: cost))
        both.call(odd)
        both.call(odd)
        with pytest.raises(RateLimited):
            both.call(odd)
    assert "rate limit cost of tool 'limited' failed; the call takes one token" in caplog.text


async def test_by_hand_waits_as_long_as_it_was_told() -> None:
    with FakeClock() as fake:
        limit = RateLimit(1, per=10, max_wait=15)
        start = fake.now()
        assert limit.acquire(blocking=False)
        assert not limit.acquire(blocking=False)
        assert not limit.acquire(timeout=9.9)
        assert fake.now() == start
        assert await limit.aacquire(timeout=10)
        assert fake.now() - start == pytest.approx(10)
        assert await limit.aacquire()
        assert not await limit.aacquire(blocking=False)
        assert limit.acquire(timeout=1000)
        with pytest.raises(RateLimited, match="burst"):
            limit.acquire(cost=2)


def test_by_hand_and_by_calls_is_one_limit(both: Flavour) -> None:
    with FakeClock():
        limit = RateLimit(3, per=60, max_wait=0, key=lambda args: args["user"])
        decorated = tool(name=f"shared_{both.name}", rate_limit=limit)(both.function(lambda user: user))
        both.call(decorated, "ann")
        assert limit.acquire(key="ann", cost=2)
        with pytest.raises(RateLimited):
            both.call(decorated, "ann")
        assert both.call(decorated, "bob") == "bob"
        assert free_tokens(limit) == 3, "without a key: the common bucket"
        counts = decorated.tool.stats().rate_limit
        assert (counts.acquired, counts.rejected) == (2, 1), "what is taken by hand is in no tool's numbers"


def test_by_hand_inside_a_tool_the_wait_ends_with_the_tools_time(both: Flavour) -> None:
    limit = RateLimit(1, per=3600)
    assert limit.acquire()
    got: list[bool] = []
    decorated = tool(name="inside", timeout=30)(both.function(lambda: got.append(limit.acquire())))
    both.call(decorated)
    assert got == [False], "refused at once"


class _Limits:
    """A store of your own, which keeps limits one by one."""

    on_error: Any = "local"

    def reserve(self, *_: Any) -> Any: ...

    async def areserve(self, *_: Any) -> Any: ...


_LIMIT, _STORE, _ANY = RateLimit(1), _Limits(), cast("Any", RateLimit)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: RateLimit([]), "at least one"),
        (lambda: RateLimit([RateLimit(1)], per=60), "per=60"),
        (lambda: RateLimit([RateLimit(1)], key=lambda _: 1), "key="),
        (lambda: RateLimit([RateLimit(1)], cost=2), "cost=2"),
        (lambda: RateLimit([RateLimit(1)], max_wait=-1), "max_wait=-1"),
        (lambda: _ANY([RateLimit(1), 10]), "rate="),
        (lambda: RateLimit([_LIMIT, _LIMIT]), "twice"),
        (lambda: RateLimit([_LIMIT, RateLimit([RateLimit(3), _LIMIT])]), "twice"),
        (lambda: RateLimit([RateLimit(1), RateLimit(1, store=_Limits())]), "same store"),
        (lambda: RateLimit([RateLimit(1, store=_STORE), RateLimit(2, store=_STORE)]), "reserve_all"),
        (lambda: RateLimit(5, cost=6), "burst=5"),
        (lambda: RateLimit(5, cost=-1), "cost=-1"),
        (lambda: _ANY(5, cost="2"), "cost='2'"),
        (lambda: _ANY(5, cost=asyncio.sleep), "cost="),
        (lambda: RateLimit(5).acquire(timeout=-1), "timeout=-1"),
        (lambda: RateLimit(5).acquire(blocking=False, timeout=3), "timeout=3"),
        (lambda: RateLimit(5).acquire(cost=-1), "cost=-1"),
        (lambda: RateLimit(5, store=_Limits()).acquire(), "name"),
        (lambda: tool(name="x", rate_limit=[RateLimit(1), cast("Any", 5)])(lambda: 1), "rate_limit="),
        (lambda: tool(name="x", rate_limit=[])(lambda: 1), "rate_limit="),
    ],
)
def test_what_cannot_work_is_refused(make: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make()
    assert complaint in str(error.value)
