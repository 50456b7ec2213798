"""`concurrent.futures` and asyncio's own threads: one span for each call, and under whose it stands."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import TYPE_CHECKING

from otel_tools import agent
from tests.interop import weather as w

if TYPE_CHECKING:
    from otel_tools.testing import Captured

PLACES = [w.Place(city=f"City {number}") for number in range(20)]
FORECASTS = [w.bare(place, days=2) for place in PLACES]


def in_task(place: w.Place) -> w.Forecast:
    """An async tool on a loop of the thread's own."""

    async def main() -> w.Forecast:
        return await w.weather_async(place, days=2)

    return asyncio.run(main())


def test_a_context_that_is_carried_along_brings_the_parent(seen: Captured) -> None:
    with agent("travel"), ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(copy_context().run, w.weather, place, days=2) for place in PLACES]
        assert [future.result() for future in futures] == FORECASTS
        futures = [pool.submit(copy_context().run, in_task, place) for place in PLACES]
        assert sorted(future.result().place.city for future in as_completed(futures)) == sorted(
            place.city for place in PLACES
        )
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")] * 40


def test_a_call_without_it_is_a_root_as_any_span_is_there(seen: Captured) -> None:
    with agent("travel"), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(w.weather, PLACES, ["celsius"] * 20, [2] * 20)) == FORECASTS
    calls = [span for span in seen.spans if span.name == "execute_tool weather"]
    assert [call.parent for call in calls] == [None] * 20
    assert len({call.context.trace_id for call in calls}) == 20


def test_a_failure_comes_out_of_its_future(seen: Captured) -> None:
    failure = ValueError("no such city")
    w.outages.append(failure)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(w.weather, PLACES[0]).exception() is failure
    assert dict(seen.span("weather").attributes or {})["error.type"] == "ValueError"


def test_equal_calls_at_once_run_once(seen: Captured) -> None:
    w.outages.append(ConnectionError())
    with agent("travel"), ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(copy_context().run, w.weather, PLACES[0], days=2) for _ in range(20)]
        assert [future.result() for future in futures] == FORECASTS[:1] * 20
    assert len(w.runs) == 1
    policies = w.policies_seen(w.tool_spans(seen))
    assert policies.count((1, "miss")) == 1
    assert len(policies) == 20


async def test_threads_of_asyncio_carry_the_context_themselves(seen: Captured) -> None:
    with agent("travel"):
        results = await asyncio.gather(*(asyncio.to_thread(w.weather, place, days=2) for place in PLACES))
        results += await asyncio.gather(*(w.weather_async(place, days=2) for place in PLACES))
    assert results == FORECASTS * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")] * 40
