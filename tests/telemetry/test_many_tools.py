"""A thousand tools keep all their series, although the SDK's default limit is 2,000."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_tools import Objective, tool
from otel_tools._export.meter_provider import _VIEWS
from otel_tools._telemetry import counters, names
from otel_tools._telemetry.counters import zeroed_counters
from otel_tools._telemetry.instruments import bind_providers, instruments
from otel_tools.testing import capture


def work(number: int) -> int:
    return 1 // number


@pytest.fixture(autouse=True)
def _no_other_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools of these tests are gone after them: every look at the metrics would go on to see them."""
    monkeypatch.setattr(counters, "_by_name", {})
    # Nor is there anything to say of what other tests could not deliver.
    monkeypatch.setattr("otel_tools._telemetry.instruments.dropped", {})


def test_a_thousand_tools_keep_every_series() -> None:
    tools = [tool(name=f"tool_{number}", objective=Objective(success=0.99))(work) for number in range(1000)]
    reader = InMemoryMetricReader()
    before = instruments.tracer, instruments.duration, instruments.logger_provider
    with zeroed_counters():
        bind_providers(meter_provider=MeterProvider([reader], views=_VIEWS, shutdown_on_exit=False))
        try:
            for each in tools:
                for number in (1, 0):
                    try:
                        each(number)
                    except ZeroDivisionError:
                        continue
            data = reader.get_metrics_data()
        finally:
            instruments.tracer, instruments.duration, instruments.logger_provider = before

    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    series = {
        metric.name: [dict(point.attributes or {}) for point in metric.data.data_points] for metric in scope.metrics
    }
    assert {name: len(attributes) for name, attributes in series.items()} == {
        names.DURATION.name: 2000,
        names.CALLS.name: 2000,
        names.ACTIVE.name: 1000,
        names.OBJECTIVE.name: 1000,
    }
    assert not [each for attributes in series.values() for each in attributes if "otel.metric.overflow" in each]


def test_capture_keeps_every_series_too() -> None:
    with capture() as seen:
        for number in range(3000):
            tool(name=f"tool_{number}")(work)
        assert len(seen.points(names.CALLS.name)) == 6000
