"""The exported data points: which series exist, with which attributes and values."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import agent, stats, tool
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def work(ending: str = "ok") -> str:
    """Work, or not."""
    if ending == "error":
        raise ValueError(ending)
    if ending == "cancelled":
        raise KeyboardInterrupt
    return ending


def series(seen: Captured, metric: str, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
    """What a metric says of a tool: its value, or the count of a histogram, by its other attributes."""
    return {
        frozenset((key, value) for key, value in point.attributes.items() if key != names.TOOL_NAME): getattr(
            point, "value", getattr(point, "count", None)
        )
        for point in seen.points(metric)
        if point.attributes[names.TOOL_NAME] == name
    }


def outcomes(seen: Captured, name: str) -> dict[str, int]:
    return {dict(key)[names.OUTCOME]: value for key, value in series(seen, names.CALLS.name, name).items()}


def test_ok_and_error_are_zero_before_the_first_call(seen: Captured) -> None:
    tool(name="fresh")(work)

    assert outcomes(seen, "fresh") == {"ok": 0, "error": 0}
    assert series(seen, names.ACTIVE.name, "fresh") == {frozenset(): 0}
    assert series(seen, names.DURATION.name, "fresh") == {}
    assert stats()["fresh"].calls.total == 0


def test_calls_are_counted_by_outcome(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="counted")(both.function(work))
    for ending in ("ok", "ok", "error", "cancelled"):
        with contextlib.suppress(ValueError, KeyboardInterrupt):
            both.call(decorated, ending)

    assert outcomes(seen, "counted") == {"ok": 2, "error": 1, "cancelled": 1}
    assert series(seen, names.ACTIVE.name, "counted") == {frozenset(): 0}


def test_durations_carry_type_error_and_agent_and_nothing_else(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="timed", description="Not on metrics.")(both.function(work))
    both.call(decorated)
    with agent("travel-agent", conversation_id="c1"):
        both.call(decorated)
        with pytest.raises(ValueError, match="error"):
            both.call(decorated, "error")
    with pytest.raises(ValueError, match="error"):
        both.call(decorated, "error")
    with pytest.raises(KeyboardInterrupt):
        both.call(decorated, "cancelled")

    kind = (names.TOOL_TYPE, "function")
    mine = (names.AGENT_NAME, "travel-agent")
    assert series(seen, names.DURATION.name, "timed") == {
        # One that was cancelled is among them.
        frozenset({kind}): 2,
        frozenset({kind, mine}): 1,
        frozenset({kind, mine, (names.ERROR_TYPE, "ValueError")}): 1,
        frozenset({kind, (names.ERROR_TYPE, "ValueError")}): 1,
    }


def test_the_histogram_has_the_buckets_of_the_conventions(seen: Captured) -> None:
    tool(name="bucketed")(work)()

    (point,) = seen.points(names.DURATION.name)
    assert tuple(point.explicit_bounds) == names.DURATION_BUCKETS
    assert sum(point.bucket_counts) == 1


def test_span_and_metric_have_the_same_duration(seen: Captured, both: Flavour) -> None:
    both.call(tool(name="same")(both.function(work)))

    span = seen.span("same")
    (point,) = seen.points(names.DURATION.name)
    assert span.end_time is not None
    assert span.start_time is not None
    assert point.sum == (span.end_time - span.start_time) / 1e9


def test_exemplars_lead_to_the_trace_of_their_call(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="led")(both.function(work))
    both.call(decorated)
    with pytest.raises(ValueError, match="error"):
        both.call(decorated, "error")

    points = {names.ERROR_TYPE in point.attributes: point for point in seen.points(names.DURATION.name)}
    for span in seen.spans:
        (exemplar,) = points[names.ERROR_TYPE in (span.attributes or {})].exemplars
        assert (exemplar.trace_id, exemplar.span_id) == (span.context.trace_id, span.context.span_id)


async def test_running_calls_are_active(seen: Captured) -> None:
    gate = asyncio.Event()

    @tool
    async def waiting() -> None:
        await gate.wait()

    tasks = [asyncio.create_task(waiting()) for _ in range(3)]
    await asyncio.sleep(0)

    assert series(seen, names.ACTIVE.name, "waiting") == {frozenset(): 3}
    assert waiting.tool.stats().active == 3

    gate.set()
    await asyncio.gather(*tasks)

    assert series(seen, names.ACTIVE.name, "waiting") == {frozenset(): 0}


def test_each_nested_call_of_a_tool_is_active(seen: Captured) -> None:
    depths: list[int] = []

    @tool
    def deep(n: int) -> None:
        depths.append(deep.tool.stats().active)
        if n:
            deep(n - 1)

    deep(3)

    assert depths == [1, 2, 3, 4]
    assert deep.tool.stats().active == 0
    assert outcomes(seen, "deep")["ok"] == 4
