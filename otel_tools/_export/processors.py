"""The SDK's processors and exporter interfaces around a `Outlet`: losses counted, the end bounded."""

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
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools._export.delivery import Outlet

__all__ = [
    "INSTANCE_ID",
    "BoundedSpanProcessor",
    "MetricDelivery",
    "SpanDelivery",
    "max_queue_size",
]

logger = logging.getLogger("otel_tools")


INSTANCE_ID: Final = "service.instance.id"

_DEFAULT_QUEUE_SIZE: Final = "2048"


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


class MetricDelivery(MetricExporter):
    """A metric exporter around another.

    Attributes:
        ours_elsewhere: True in the child of a fork, where our metrics leave by a provider of the child's own and
            this one would report the parent's numbers for them.
    """

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(*sdk_private.metric_preferences(outlet.exporter))
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
        self._max_queue_size = max_queue_size(OTEL_BSP_MAX_QUEUE_SIZE)
        self.exit_timeout = 30.0
        self._own = resource.attributes.get(INSTANCE_ID)
        self._parents: frozenset[object] = frozenset()
        super().__init__(SpanDelivery(outlet), max_queue_size=self._max_queue_size)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if self._parents and span.resource.attributes.get(INSTANCE_ID) in self._parents:
            return
        if span.context is not None and span.context.trace_flags.sampled and self.outlet.accept(self._max_queue_size):
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
        sdk_private.shut_down_batch_processor(self, super().shutdown, self.outlet.stop, self.exit_timeout)


def max_queue_size(variable: str) -> int:
    """How many items a batch processor may hold: the value of the variable, or the specification's default of 2048.

    Args:
        variable: ``OTEL_BSP_MAX_QUEUE_SIZE`` or ``OTEL_BLRP_MAX_QUEUE_SIZE``.
    """
    value = os.environ.get(variable, _DEFAULT_QUEUE_SIZE)
    try:
        return int(value)
    except ValueError:
        logger.warning("%s=%s: a whole number is needed; %s is used", variable, value, _DEFAULT_QUEUE_SIZE)
        return int(_DEFAULT_QUEUE_SIZE)


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
