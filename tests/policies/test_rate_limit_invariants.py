"""The invariants of a rate limit for any arrivals: never too many tokens, never too few, in the order of arrival."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_tools import RateLimit, tool
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke, Sleep
from otel_tools.stores import _gcra as gcra
from otel_tools.stores._gcra import Quota, Reservation, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Flow
    from otel_tools.testing import Captured

SECOND = 10**9


def inner(_call: Call) -> Flow:
    return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome


def never_too_many(granted: list[int], interval: Fraction | int, burst: int) -> bool:
    """Whether no window holds more than ``burst + window / interval`` of the grants, which are in order.

    That is ``j - i + 1 <= burst + (g[j] - g[i]) / interval`` for all i <= j, with what depends on i on one side.
    """
    latest: Any = None
    for index, at in enumerate(granted):
        spare = at - index * interval
        latest = spare if latest is None else max(latest, spare)
        if latest - (burst - 1) * interval > spare:
            return False
    return True


def simulate(limit: RateLimit, callers: list[tuple[int, int | None]]) -> list[tuple[int, int, int]]:
    """Let callers come on a clock of our own.

    Args:
        limit: The limit.
        callers: For each the nanoseconds after the one before, and its patience: after how many it is cancelled.

    Returns:
        For each that was granted: when it came, its number, and when it ran.
    """
    present = 0
    granted: list[tuple[int, int, int]] = []
    info = ToolInfo("work", simulate, asynchronous=False, generator=False, arguments=Arguments(simulate))
    flow_of = limit.policy(info)(inner)
    came: dict[int, int] = {}
    waiting: dict[int, Flow] = {}
    events: list[tuple[int, int, str]] = []
    arrival = 0
    for number, (gap, _) in enumerate(callers):
        arrival += gap
        heapq.heappush(events, (arrival, number, "comes"))
    real = clock.now
    clock.now = lambda: present / SECOND
    try:
        while events:
            present, number, what = heapq.heappop(events)
            if what == "comes":
                came[number] = present
                waiting[number] = flow_of(Call((), {}))
            elif number not in waiting:
                continue
            flow = waiting[number]
            if what == "leaves":
                del waiting[number]
                flow.close()
                continue
            try:
                step = flow.send(None)
            except StopIteration:
                del waiting[number]
                continue
            if isinstance(step, Sleep):
                heapq.heappush(events, (present + round(step.seconds * SECOND), number, "wakes"))
                patience = callers[number][1]
                if what == "comes" and patience is not None:
                    heapq.heappush(events, (present + patience, number, "leaves"))
            else:
                granted.append((came[number], number, present))
                del waiting[number]
                with pytest.raises(StopIteration):
                    flow.send(Outcome())
    finally:
        clock.now = real
    assert not waiting
    return granted


rates = st.one_of(st.integers(1, 50), st.floats(0.1, 50), st.sampled_from([1 / 3, 0.1, 7, 3]))
bursts = st.integers(1, 6)
gaps = st.one_of(st.just(0), st.integers(0, SECOND // 20), st.integers(0, 3 * SECOND))


@settings(deadline=None)
@given(
    rate=rates,
    per=st.sampled_from([1.0, 0.1, 3.0, 60.0]),
    burst=bursts,
    max_wait=st.one_of(st.none(), st.floats(0, 5)),
    callers=st.lists(st.tuples(gaps, st.one_of(st.none(), st.integers(0, 5 * SECOND))), max_size=60),
)
def test_over_any_window_no_more_than_the_burst_and_the_rate_are_granted(
    rate: float, per: float, burst: int, max_wait: float | None, callers: list[tuple[int, int | None]]
) -> None:
    granted = simulate(RateLimit(rate, per, burst, max_wait), callers)

    times = [ran for _, _, ran in granted]
    exact = Fraction(repr(float(per))) * SECOND / Fraction(repr(float(rate)))
    assert never_too_many(times, exact, burst)
    assert [number for _, number, _ in granted] == sorted(number for _, number, _ in granted), "not in turn"
    if max_wait is not None:
        assert all(ran - came <= max_wait * SECOND + 1 for came, _, ran in granted)


@settings(deadline=None)
@given(rate=st.integers(1, 50), burst=bursts, arrivals=st.lists(gaps, max_size=60))
def test_no_wait_is_longer_than_in_a_reference_token_bucket(rate: int, burst: int, arrivals: list[int]) -> None:
    granted = simulate(RateLimit(rate, burst=burst), [(gap, None) for gap in arrivals])

    interval = Quota.of(rate, 1, burst).interval
    level, filled, expected, arrival = Fraction(burst), Fraction(0), [], 0
    for gap in arrivals:
        arrival += gap
        at = max(Fraction(arrival), filled)
        level = min(Fraction(burst), level + (at - filled) / interval)
        if level < 1:
            at += (1 - level) * interval
            level = Fraction(1)
        level, filled = level - 1, at
        expected.append(at)
    assert [ran for _, _, ran in granted] == expected


@given(
    burst=bursts,
    waiters=st.integers(1, 30),
    cancelled=st.randoms(use_true_random=False),
    elapsed=st.integers(0, 10 * SECOND),
)
def test_after_all_waiters_are_cancelled_in_any_order_the_bucket_is_as_before(
    burst: int, waiters: int, cancelled: Any, elapsed: int
) -> None:
    quota = Quota.of(3, 1, burst)
    bucket, untouched = TokenBucket(quota, 0), TokenBucket(quota, 0)
    for _ in range(burst):
        bucket.reserve(0, None)
        untouched.reserve(0, None)
    waiting = [bucket.reserve(0, None) for _ in range(waiters)]
    cancelled.shuffle(waiting)
    for reservation in waiting:
        assert reservation.wait > 0
        bucket.cancel(reservation.at, elapsed)
    assert bucket.reserve(elapsed, None) == untouched.reserve(elapsed, None)


@given(st.data())
def test_places_given_back_never_let_two_have_the_same_token(data: st.DataObject) -> None:
    burst = data.draw(bursts)
    quota = Quota.of(10, 1, burst)
    bucket = TokenBucket(quota, 0)
    present, granted = 0, []
    waiting: list[Reservation] = []
    for _ in range(data.draw(st.integers(1, 80))):
        what = data.draw(st.sampled_from(["reserve", "reserve", "cancel", "pass"]))
        if what == "pass":
            present += data.draw(st.integers(0, SECOND // 5))
            granted += [reservation.at for reservation in waiting if reservation.at <= present]
            waiting = [reservation for reservation in waiting if reservation.at > present]
        elif what == "cancel" and waiting:
            bucket.cancel(waiting.pop(data.draw(st.integers(0, len(waiting) - 1))).at, present)
        elif what == "reserve":
            reservation = bucket.reserve(present, None)
            if reservation.wait:
                waiting.append(reservation)
            else:
                granted.append(present)
    granted += [reservation.at for reservation in waiting]
    assert never_too_many(sorted(granted), quota.interval, burst)


class Grants:
    """Records when each token became its caller's, as the bucket said, and when its caller ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[int] = []
        self.gaps: list[int] = []  # of each token that was waited for, to the token before it
        self.ran: list[float] = []
        reserve: Callable[..., Reservation] = TokenBucket.reserve

        # Both are asked under the lock of the limit, the clock first.
        def present() -> int:
            self.at.append(time.monotonic_ns())
            return self.at[-1]

        def recording(bucket: TokenBucket, present: int, max_wait: int | None) -> Reservation:
            reservation = reserve(bucket, present, max_wait)
            if reservation.wait:
                self.gaps.append(reservation.at - self.at[-2])
            self.at[-1] = reservation.at
            return reservation

        # The clock is ahead of the real time after a FakeClock of an earlier test, and then it is read another way.
        monkeypatch.setattr(clock, "now", time.monotonic)
        monkeypatch.setattr(gcra, "monotonic_ns", present)
        monkeypatch.setattr(TokenBucket, "reserve", recording)

    def check(self, limit: RateLimit, burst: int, calls: int) -> None:
        interval = limit.limits[0].buckets.quota.interval
        assert len(self.at) == len(self.ran) == calls
        assert self.at == sorted(self.at)
        assert never_too_many(self.at, interval, burst)
        for at, ran in zip(self.at, sorted(self.ran), strict=True):
            assert ran * SECOND >= at - 2_000, "somebody ran before the token was theirs"
        ideal = (calls - burst) * interval
        assert self.at[-1] - self.at[0] >= ideal
        # Where there is a line, no token is wasted, however slowly its callers come and run.
        assert max(self.gaps, default=0) <= interval


def test_64_threads_drain_at_the_rate(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, burst, calls = RateLimit(1500, burst=20), 20, 64 * 20
    grants = Grants(monkeypatch)

    @tool(rate_limit=limit)
    def work() -> None:
        grants.ran.append(time.monotonic())

    def run() -> None:
        for _ in range(calls // 64):
            work()

    threads = [threading.Thread(target=run) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    grants.check(limit, burst, calls)


async def test_1000_tasks_drain_at_the_rate(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, burst, calls = RateLimit(1000, burst=50), 50, 1000
    grants = Grants(monkeypatch)

    @tool(rate_limit=limit)
    async def work() -> None:
        grants.ran.append(time.monotonic())

    await asyncio.gather(*(work() for _ in range(calls)))

    grants.check(limit, burst, calls)
    assert grants.gaps, "nobody waited"
