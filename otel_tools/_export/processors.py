"""The SDK's processors and exporter interfaces around a `Outlet`: losses counted, the end bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools._export.delivery import Outlet

__all__ = [
    "INSTANCE_ID",
    "BoundedLogProcessor",
    "BoundedSpanProcessor",
    "LogDelivery",
    "MetricDelivery",
    "SpanDelivery",
]

INSTANCE_ID: Final = "service.instance.id"


class SpanDelivery(SpanExporter):
    """A span exporter around another."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver or count as dropped."""
        delivered = self._outlet.send(spans, len(spans), waited=len(spans))
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """As the SDK asks."""
        self._outlet.stop()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True


class LogDelivery(LogRecordExporter):
    """A log record exporter around another."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Deliver or count as dropped."""
        delivered = self._outlet.send(batch, len(batch), waited=len(batch))
        return LogRecordExportResult.SUCCESS if delivered else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """As the SDK asks."""
        self._outlet.stop()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True


class MetricDelivery(MetricExporter):
    """A metric exporter around another.

    Attributes:
        ours_elsewhere: True in the child of a fork, where our metrics leave by a provider of the child's own and
            this one would report the parent's numbers for them.
    """

    def __init__(self, outlet: Outlet) -> None:
        made = outlet.exporter
        super().__init__(made._preferred_temporality, made._preferred_aggregation)  # noqa: SLF001 - the SDK's contract
        self._outlet = outlet
        self.ours_elsewhere = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Deliver or count as dropped."""
        if self.ours_elsewhere:
            metrics_data = _without_ours(metrics_data)
        count = _points_in(metrics_data)
        if not count:
            return MetricExportResult.SUCCESS
        delivered = self._outlet.send(metrics_data, count)
        return MetricExportResult.SUCCESS if delivered else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """As the SDK asks."""
        self._outlet.stop()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        return True


class BoundedSpanProcessor(BatchSpanProcessor):
    """The SDK's batch processor with its losses counted and its end bounded.

    Attributes:
        outlet: Where spans go.
        exit_timeout: Seconds that `shutdown` may take.
    """

    def __init__(self, outlet: Outlet, resource: Resource) -> None:
        self.outlet = outlet
        self._most: int = self._default_max_queue_size()  # type: ignore[no-untyped-call] # reads OTEL_*
        self.exit_timeout = 30.0
        self._own = resource.attributes.get(INSTANCE_ID)
        self._parents: frozenset[object] = frozenset()
        super().__init__(SpanDelivery(outlet), max_queue_size=self._most)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if self._parents and span.resource.attributes.get(INSTANCE_ID) in self._parents:
            return
        if span.context is not None and span.context.trace_flags.sampled and self.outlet.accept(self._most):
            super().on_end(span)

    def after_fork(self, resource: Resource) -> None:
        """In the child: a span that was open when the process forked is the parent's to report, whoever ends it here.

        Args:
            resource: The child's own, by which the child's spans are told from those.
        """
        own = resource.attributes.get(INSTANCE_ID)
        self._parents = (self._parents | {self._own}) - {own}
        self._own = own

    def shutdown(self) -> None:
        """Send what is queued, for `exit_timeout` seconds at most."""
        self.outlet.close()
        self._batch_processor.shutdown(timeout_millis=int(self.exit_timeout * 1000))


class BoundedLogProcessor(BatchLogRecordProcessor):
    """As `BoundedSpanProcessor`, for log records."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._most: int = self._default_max_queue_size()  # type: ignore[no-untyped-call] # reads OTEL_*
        self.exit_timeout = 30.0
        super().__init__(LogDelivery(outlet), max_queue_size=self._most)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a record."""
        if self.outlet.accept(self._most):
            super().on_emit(log_record)

    def shutdown(self) -> None:
        """Send what is queued, for `exit_timeout` seconds at most."""
        self.outlet.close()
        self._batch_processor.shutdown(timeout_millis=int(self.exit_timeout * 1000))


def _without_ours(data: MetricsData) -> MetricsData:
    return MetricsData(
        [
            ResourceMetrics(
                resource.resource,
                [
                    ScopeMetrics(s.scope, s.metrics, s.schema_url)
                    for s in resource.scope_metrics
                    if s.scope.name != names.SCOPE
                ],
                resource.schema_url,
            )
            for resource in data.resource_metrics
        ]
    )


def _points_in(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
