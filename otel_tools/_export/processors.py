"""The SDK's span processor and exporters around a `SignalDelivery`: losses are counted, the end is bounded."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_tools._export import sdk_private
from otel_tools._export.metric_preferences import aggregation_preference, temporality_preference
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools._export.delivery import SignalDelivery

__all__ = [
    "INSTANCE_ID",
    "BoundedSpanProcessor",
    "CountingMetricExporter",
    "CountingSpanExporter",
    "max_queue_size",
]

logger = logging.getLogger("otel_tools")

INSTANCE_ID: Final = "service.instance.id"

_DEFAULT_QUEUE_SIZE: Final = "2048"


class CountingSpanExporter(SpanExporter):
    """Exports spans through a `SignalDelivery`."""

    def __init__(self, delivery: SignalDelivery) -> None:
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans, or count them as dropped."""
        delivered = self._delivery.send(spans, len(spans), accepted=len(spans))
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """End the exporter."""
        self._delivery.shut_down_exporter()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: no span waits here."""
        return True


class CountingMetricExporter(MetricExporter):
    """Exports metrics through a `SignalDelivery`.

    Attributes:
        excludes_own_metrics: Whether otel_tools' metrics are left out. True in a forked process, where they are
            exported by a provider of the child's own, and this exporter would send the parent's numbers.
    """

    def __init__(self, delivery: SignalDelivery, *, console: bool = False) -> None:
        if console:
            super().__init__()
        else:
            super().__init__(temporality_preference(), aggregation_preference())
        self._delivery = delivery
        self.excludes_own_metrics = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export the metrics, or count their points as dropped."""
        if self.excludes_own_metrics:
            metrics_data = _without_own_metrics(metrics_data)
        count = _count_points(metrics_data)
        if not count:
            return MetricExportResult.SUCCESS
        delivered = self._delivery.send(metrics_data, count)
        return MetricExportResult.SUCCESS if delivered else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """End the exporter."""
        self._delivery.shut_down_exporter()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: no metric waits here."""
        return True


class BoundedSpanProcessor(BatchSpanProcessor):
    """The SDK's batch processor, with losses counted and the time of its end bounded.

    Attributes:
        delivery: Where spans are exported.
        exit_timeout: Seconds that `shutdown` may take.
    """

    def __init__(self, delivery: SignalDelivery, resource: Resource) -> None:
        self.delivery = delivery
        self._accept = delivery.counts.accept
        self.exit_timeout = 30.0
        self._max_queue_size = max_queue_size(OTEL_BSP_MAX_QUEUE_SIZE)
        self._instance_id = resource.attributes.get(INSTANCE_ID)
        self._parent_instance_ids: frozenset[object] = frozenset()
        super().__init__(CountingSpanExporter(delivery), max_queue_size=self._max_queue_size)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if self._parent_instance_ids and span.resource.attributes.get(INSTANCE_ID) in self._parent_instance_ids:
            return
        if span.context is not None and span.context.trace_flags.sampled and self._accept(self._max_queue_size):
            super().on_end(span)

    def after_fork(self, resource: Resource) -> None:
        """In a forked process: skip spans that were open at the fork, whoever ends them. The parent exports them.

        Args:
            resource: The child's own. Its instance id tells the child's spans from the parent's.
        """
        instance_id = resource.attributes.get(INSTANCE_ID)
        self._parent_instance_ids = (self._parent_instance_ids | {self._instance_id}) - {instance_id}
        self._instance_id = instance_id

    def shutdown(self) -> None:
        """Export what is queued, for `exit_timeout` seconds at most."""
        self.delivery.counts.close()
        sdk_private.shut_down_batch_processor(
            self, super().shutdown, self.delivery.shut_down_exporter, self.exit_timeout
        )


def max_queue_size(variable: str) -> int:
    """How many items a batch processor may hold: the value of the variable, or the specification's default of 2048.

    Args:
        variable: ``OTEL_BSP_MAX_QUEUE_SIZE`` or ``OTEL_BLRP_MAX_QUEUE_SIZE``.
    """
    value = os.environ.get(variable, "").strip() or _DEFAULT_QUEUE_SIZE
    try:
        return int(value)
    except ValueError:
        logger.warning("%s=%s: a whole number is needed; %s is used", variable, value, _DEFAULT_QUEUE_SIZE)
        return int(_DEFAULT_QUEUE_SIZE)


def _without_own_metrics(data: MetricsData) -> MetricsData:
    return MetricsData(
        [
            ResourceMetrics(
                resource.resource,
                [
                    ScopeMetrics(scope.scope, scope.metrics, scope.schema_url)
                    for scope in resource.scope_metrics
                    if scope.scope.name != names.SCOPE
                ],
                resource.schema_url,
            )
            for resource in data.resource_metrics
        ]
    )


def _count_points(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
