"""A thousand tools keep all their series, although the SDK's default limit is 2,000."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from otel_tools import Objective, tool
from otel_tools._telemetry import counters, names

if TYPE_CHECKING:
    from otel_tools.testing import Captured


def work(number: int) -> int:
    return 1 // number


@pytest.fixture(autouse=True)
def _no_other_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the tools of these tests after them: every later reading of the metrics would report them."""
    monkeypatch.setattr(counters, "_by_name", {})
    # Other tests may have left items that could not be delivered.
    monkeypatch.setattr("otel_tools._telemetry.instruments.dropped", {})


def test_a_thousand_tools_keep_every_series(seen: Captured) -> None:
    tools = [tool(name=f"tool_{number}", objective=Objective(success=0.99))(work) for number in range(1000)]
    for decorated in tools:
        for number in (1, 0):
            with contextlib.suppress(ZeroDivisionError):
                decorated(number)

    series = {
        metric.name: [dict(point.attributes or {}) for point in metric.data.data_points] for metric in seen.metrics
    }
    assert {name: len(attributes) for name, attributes in series.items()} == {
        names.DURATION.name: 2000,
        names.CALLS.name: 2000,
        names.ACTIVE.name: 1000,
        names.OBJECTIVE.name: 1000,
    }
    assert not [point for attributes in series.values() for point in attributes if "otel.metric.overflow" in point]


def test_three_thousand_tools_keep_every_series(seen: Captured) -> None:
    for number in range(3000):
        tool(name=f"tool_{number}")(work)

    assert len(seen.points(names.CALLS.name)) == 6000
