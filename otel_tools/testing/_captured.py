"""What the tools of a block sent, in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


class Captured:
    """What was sent so far; it can be read inside the block and after it.

    Attributes:
        events: What the policies did, one by one, in the order in which they did it.
    """

    def __init__(
        self, spans: InMemorySpanExporter, metrics: InMemoryMetricReader, logs: InMemoryLogRecordExporter
    ) -> None:
        self._spans = spans
        self._metrics = metrics
        self._logs = logs
        self._at_the_end: MetricsData | None = None
        self.events: list[PolicyEvent] = []

    def end(self) -> None:
        """Keep the metrics as they are now; `capture` does so when its block ends."""
        self._at_the_end = self._metrics.get_metrics_data()

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All spans that ended, in the order in which they did."""
        report_pending()
        return self._spans.get_finished_spans()

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        """All log records."""
        return self._logs.get_finished_logs()

    def span(self, tool: str) -> ReadableSpan:
        """The one span of a tool.

        Raises:
            AssertionError: There is none, or more than one.
        """
        found = [span for span in self.spans if span.name == f"{EXECUTE_TOOL} {tool}"]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} spans of {tool!r} among {[span.name for span in self.spans]}")
        return found[0]

    @property
    def metrics(self) -> list[Metric]:
        """All metrics as the SDK would export them now, or did at the end of the block."""
        data = self._at_the_end or self._metrics.get_metrics_data()
        return [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def points(self, metric: str) -> list[Any]:
        """The data points of a metric; empty where there is none."""
        return [point for each in self.metrics if each.name == metric for point in each.data.data_points]

    def value(self, metric: str, attributes: Mapping[str, Any]) -> Any:
        """The value of the point with exactly these attributes: a number, or the count of a histogram.

        Raises:
            AssertionError: There is no such point.
        """
        points = self.points(metric)
        for point in points:
            if dict(point.attributes) == dict(attributes):
                return getattr(point, "value", getattr(point, "count", None))
        raise AssertionError(f"no point {dict(attributes)} of {metric!r} among {[dict(p.attributes) for p in points]}")


@contextmanager
def capture() -> Iterator[Captured]:
    """Keep the spans, metrics and log events of the tools called in the block in memory, instead of sending them.

    The numbers of all tools start at zero in the block and are what they were after it. Not for use by two threads
    at once: where telemetry goes is one setting of the process.
    """
    # A user's program does not need the SDK for `import otel_tools.testing`, only for this.
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
    before = (
        instruments.tracer,
        instruments.duration,
        instruments.time_in_queue,
        instruments.logger_provider,
        instruments.policy_listener,
    )
    report_pending()
    with zeroed_counters():
        bind_providers(tracer_provider, meter_provider, logger_provider)
        instruments.policy_listener = seen.events.append
        try:
            yield seen
        finally:
            seen.end()
            (
                instruments.tracer,
                instruments.duration,
                instruments.time_in_queue,
                instruments.logger_provider,
                instruments.policy_listener,
            ) = before
