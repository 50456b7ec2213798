"""`stats()`: exactly the numbers that are exported, with threads and tasks too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools import CallCounts, stats, tool
from otel_tools._telemetry import names
from otel_tools._telemetry.counters import RESULTS, ToolCounters
from tests.telemetry.prometheus import histogram_quantile

if TYPE_CHECKING:
    from otel_tools.testing import Captured


@tool
def work(fail: bool = False) -> None:
    """Work."""
    if fail:
        raise ValueError


def test_before_the_first_call_rates_and_durations_are_none(seen: Captured) -> None:
    numbers = work.tool.stats()

    assert numbers.calls == CallCounts()
    assert (numbers.active, numbers.success_rate, numbers.mean, numbers.p95) == (0, None, None, None)


def test_stats_are_frozen(seen: Captured) -> None:
    numbers = work.tool.stats()

    with pytest.raises(FrozenInstanceError):
        numbers.active = 3  # type: ignore[misc] # that is the point
    with pytest.raises(FrozenInstanceError):
        numbers.calls.ok = 3  # type: ignore[misc] # that is the point
    work()
    assert numbers.calls.ok == 0


def test_stats_are_json(seen: Captured) -> None:
    work()
    everything = {name: numbers.as_dict() for name, numbers in stats().items()}

    assert json.loads(json.dumps(everything)) == everything
    assert everything["work"]["calls"] == {**dict.fromkeys(RESULTS, 0), "ok": 1}


def test_stats_of_the_tool_and_of_all_tools_are_the_same(seen: Captured) -> None:
    work()

    assert stats()["work"] == work.tool.stats()


@pytest.mark.parametrize(
    ("endings", "rate"),
    [
        ({"ok": 3, "error": 1}, 0.75),
        ({"ok": 1, "cached": 1, "fallback": 1, "error": 1}, 0.75),
        ({"error": 2}, 0.0),
        ({"ok": 2, "invalid": 5, "cancelled": 5}, 1.0),
        ({"invalid": 5, "cancelled": 5}, None),
    ],
)
def test_the_success_rate_counts_neither_invalid_nor_cancelled_calls(
    endings: dict[Any, int], rate: float | None
) -> None:
    counters = ToolCounters()
    for result, times in endings.items():
        for _ in range(times):
            counters.active.append(None)
            counters.end(result, 1_000_000, 0.001)

    assert counters.stats().success_rate == rate
    assert counters.stats().calls.total == sum(endings.values())


def test_stats_are_the_numbers_that_are_exported(seen: Captured) -> None:
    for fail in (False, False, True):
        with contextlib.suppress(ValueError):
            work(fail)

    numbers = work.tool.stats()
    points = seen.points(names.DURATION.name)
    assert numbers.calls.ok == seen.value(names.CALLS.name, {names.TOOL_NAME: "work", names.OUTCOME: "ok"})
    assert numbers.calls.error == seen.value(names.CALLS.name, {names.TOOL_NAME: "work", names.OUTCOME: "error"})
    assert numbers.calls.total == sum(point.count for point in points)
    assert numbers.mean == pytest.approx(sum(point.sum for point in points) / 3)
    buckets = [sum(counts) for counts in zip(*(point.bucket_counts for point in points), strict=True)]
    longest = max(point.max for point in points)
    assert numbers.p95 == pytest.approx(min(histogram_quantile(0.95, names.DURATION_BUCKETS, buckets), longest))


@given(st.lists(st.integers(0, 200_000_000_000), min_size=1, max_size=60))
def test_p95_is_that_of_prometheus(durations: list[int]) -> None:
    counters = ToolCounters()
    for nanoseconds in durations:
        counters.active.append(None)
        counters.end("ok", nanoseconds, nanoseconds / 1e9)

    expected = histogram_quantile(0.95, names.DURATION_BUCKETS, counters.buckets)
    assert counters.stats().p95 == pytest.approx(min(expected, max(durations) / 1e9))


@pytest.mark.parametrize("bound", names.DURATION_BUCKETS)
def test_a_duration_on_a_bound_is_in_the_bucket_below(bound: float) -> None:
    counters = ToolCounters()
    counters.active.append(None)
    counters.end("ok", round(bound * 1e9), bound)

    assert counters.buckets[names.DURATION_BUCKETS.index(bound)] == 1


def test_a_million_calls_take_no_more_memory_than_one() -> None:
    def size(counters: ToolCounters) -> int:
        return sum(sys.getsizeof(part) for part in (counters, counters.calls, counters.buckets, counters.active))

    counters = ToolCounters()
    counters.active.append(None)
    counters.end("ok", 1, 1e-9)
    once = size(counters)
    for _ in range(100_000):
        counters.active.append(None)
        counters.end("ok", 1, 1e-9)

    assert size(counters) == once


def test_eight_threads_lose_no_call(seen: Captured) -> None:
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        for number in range(2000):
            with contextlib.suppress(ValueError):
                work(number % 4 == 0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    numbers = work.tool.stats()
    assert (numbers.calls.ok, numbers.calls.error, numbers.active) == (12_000, 4_000, 0)
    assert sum(point.count for point in seen.points(names.DURATION.name)) == 16_000
    assert len(seen.spans) == 16_000


async def test_a_thousand_tasks_lose_no_call(seen: Captured) -> None:
    @tool
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        if number % 4 == 0:
            raise ValueError
        return number

    results = await asyncio.gather(*(later(number) for number in range(1000)), return_exceptions=True)

    assert [result for result in results if isinstance(result, int)] == [n for n in range(1000) if n % 4]
    assert (later.tool.stats().calls.ok, later.tool.stats().calls.error) == (750, 250)
    assert later.tool.stats().active == 0


def test_tools_of_one_name_share_their_counters(seen: Captured) -> None:
    first, second = tool(name="shared")(len), tool(name="shared")(max)
    first([])

    assert first.tool.stats() == second.tool.stats() == stats()["shared"]
    assert second.tool.stats().calls.ok == 1
