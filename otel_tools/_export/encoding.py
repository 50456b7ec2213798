"""Makes OTLP requests of batches; an item that cannot be encoded is left out alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from otel_tools._export import sdk_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["Encoded", "Encoder"]


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """A request.

    Attributes:
        message: The request; None where no item could be encoded.
        lost: How many items could not be encoded.
        reason: Why the first of them could not.
    """

    message: Message | None
    lost: int = 0
    reason: str = ""


class Encoder:
    """Encodes the batches of one signal.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
    """

    def __init__(self, signal: TelemetrySignal) -> None:
        self._signal = signal
        self._clean, self._encode = _functions(signal)

    def encode(self, batch: Any) -> Encoded:
        """Encode a batch: spans, log records or ``MetricsData``."""
        try:
            return Encoded(self._encode(self._clean(batch)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other items are sent
            kept, lost = self._without_unencodable(batch)
            reason = f"{lost} of {self._signal} cannot be encoded: {error}"
            return Encoded(self._encode(self._clean(kept)) if kept else None, lost, reason)

    def _without_unencodable(self, batch: Any) -> tuple[Any, int]:
        if self._signal != "metrics":
            kept = [item for item in batch if self._fits([item])]
            return kept, len(batch) - len(kept)
        lost = 0
        resources = []
        for resource in batch.resource_metrics:
            scopes = []
            for scope in resource.scope_metrics:
                metrics = []
                for metric in scope.metrics:
                    points = [
                        point
                        for point in metric.data.data_points
                        if self._fits(_alone(batch, resource, scope, metric, point))
                    ]
                    lost += len(metric.data.data_points) - len(points)
                    if points:
                        metrics.append(_with(metric, data=_with(metric.data, data_points=points)))
                scopes.append(_with(scope, metrics=metrics))
            resources.append(_with(resource, scope_metrics=scopes))
        return _with(batch, resource_metrics=resources), lost

    def _fits(self, batch: Any) -> bool:
        try:
            self._encode(self._clean(batch))
        except Exception:  # noqa: BLE001 - this is what is asked
            return False
        return True


def _alone(batch: Any, resource: Any, scope: Any, metric: Any, point: Any) -> Any:
    """The metrics data with one point."""
    metric = _with(metric, data=_with(metric.data, data_points=[point]))
    return _with(batch, resource_metrics=[_with(resource, scope_metrics=[_with(scope, metrics=[metric])])])


def _with(instance: Any, **changes: Any) -> Any:
    return dataclasses.replace(instance, **changes)


def _functions(signal: TelemetrySignal) -> tuple[Callable[[Any], Any], Callable[[Any], Message]]:
    # Only what is used is imported: configure() should not take longer than it must.
    from otel_tools._export import cleaning  # noqa: PLC0415 - imports the SDK

    if signal == "traces":
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415 - as above

        return cleaning.clean_spans, encode_spans
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics  # noqa: PLC0415 - as above

        return cleaning.clean_metrics, encode_metrics
    return cleaning.clean_logs, sdk_private.otlp_log_encoder()
