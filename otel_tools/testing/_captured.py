"""Captures the telemetry of the tools called in a block, in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_tools._option_names import check_option_names
from otel_tools._telemetry.counters import zeroed_counters
from otel_tools._telemetry.deferred import report_pending
from otel_tools._telemetry.instruments import bind_providers, instruments
from otel_tools._telemetry.names import EXECUTE_TOOL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric, MetricsData
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from otel_tools._telemetry.policy_metrics import PolicyEvent

__all__ = ["Captured", "capture"]

_REPLACED: Final = ("tracer", "duration", "time_in_queue", "logger_provider", "policy_listener")
"""The attributes of `instruments` that a block replaces."""


class Captured:
    """The telemetry captured so far. It can be read inside the block and after it.

    Attributes:
        events: One event for each thing that a policy did, in order of time.
    """

    def __init__(
        self, spans: InMemorySpanExporter, metrics: InMemoryMetricReader, logs: InMemoryLogRecordExporter
    ) -> None:
        self._spans = spans
        self._metrics = metrics
        self._logs = logs
        self._final_metrics: MetricsData | None = None
        self.events: list[PolicyEvent] = []

    def end(self) -> None:
        """Keep the metrics as they are now. `capture` calls this when its block ends."""
        self._final_metrics = self._metrics.get_metrics_data()

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All ended spans, in the order in which they ended."""
        report_pending()
        return self._spans.get_finished_spans()

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        """All log records."""
        return self._logs.get_finished_logs()

    def span(self, tool: str) -> ReadableSpan:
        """Return the only span of a tool.

        Raises:
            AssertionError: The tool has no span, or more than one.
        """
        matching = [span for span in self.spans if span.name == f"{EXECUTE_TOOL} {tool}"]
        if len(matching) != 1:
            raise AssertionError(f"{len(matching)} spans of {tool!r} among {[span.name for span in self.spans]}")
        return matching[0]

    @property
    def metrics(self) -> list[Metric]:
        """All metrics as the SDK exports them: inside the block as of now, after it as of its end."""
        data = self._final_metrics or self._metrics.get_metrics_data()
        return [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def points(self, metric: str) -> list[Any]:
        """Return the data points of a metric; an empty list if there is no such metric."""
        return [point for found in self.metrics if found.name == metric for point in found.data.data_points]

    def value(self, metric: str, attributes: Mapping[str, Any]) -> Any:
        """Return the value of the point with exactly these attributes: a number, or the count of a histogram.

        Raises:
            AssertionError: There is no such point.
        """
        points = self.points(metric)
        for point in points:
            if dict(point.attributes) == dict(attributes):
                return getattr(point, "value", getattr(point, "count", None))
        raise AssertionError(f"no point {dict(attributes)} of {metric!r} among {[dict(p.attributes) for p in points]}")


@check_option_names
@contextmanager
def capture() -> Iterator[Captured]:
    """Keep the spans, metrics and log events of the tools called in the block in memory, instead of sending them.

    The counts of all tools start at zero in the block, and have their former values again after it. Two threads cannot
    use this at once: the providers of telemetry are one setting of the process.
    """
    # `import otel_tools.testing` must work without the SDK; only this function needs it.
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415 - above
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - above
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415 - above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - above
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415 - above
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415 - above

    from otel_tools._export.meter_provider import VIEWS  # noqa: PLC0415 - above

    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # the SDK's own

    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    meter_provider = MeterProvider([reader], shutdown_on_exit=False, views=VIEWS)
    logger_provider = LoggerProvider(shutdown_on_exit=False)
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    seen = Captured(spans, reader, logs)
    replaced = {name: getattr(instruments, name) for name in _REPLACED}
    report_pending()
    with zeroed_counters():
        bind_providers(tracer_provider, meter_provider, logger_provider)
        instruments.policy_listener = seen.events.append
        try:
            yield seen
        finally:
            seen.end()
            for name, instrument in replaced.items():
                setattr(instruments, name, instrument)
