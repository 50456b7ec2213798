"""What a collector answers to an export: delivered, rejected in part, try again, or not taken at all.

Source: https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["Answer", "ResponseReader", "as_answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one export.

    Attributes:
        delivered: Whether the collector took the request.
        rejected: How many of its items the collector did not take, though it took the request.
        reason: Why the request or the items were not taken; a remark of the collector where all were.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds after which, if the collector says so.
        refused: Whether the endpoint does not take this signal at all.
        unanswered: Whether the connection was closed, by us, before the collector answered: it may have the request.
    """

    delivered: bool
    rejected: int = 0
    reason: str = ""
    retryable: bool = False
    retry_after: float | None = None
    refused: bool = False
    unanswered: bool = False


def as_answer(result: Any) -> Answer:
    """The result of an exporter, which may be one of the SDK's."""
    return result if isinstance(result, Answer) else Answer(delivered=result.name == "SUCCESS")


class ResponseReader:
    """Reads the body of a collector's answer for the items that it rejected.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
    """

    def __init__(self, signal: TelemetrySignal) -> None:
        self._signal = signal
        self._response, self._count = _response(signal), _COUNTS[signal]

    def read(self, body: bytes) -> Answer:
        """The answer to a request that was taken."""
        if not body:
            return Answer(delivered=True)
        try:
            response = self._response.FromString(body)
        except Exception:  # noqa: BLE001 - a body of another form says nothing of rejected items
            return Answer(delivered=True)
        return self._answer(response.partial_success)

    def read_json(self, body: bytes) -> Answer:
        """The answer to a request that was taken, from a collector that answers in JSON."""
        from google.protobuf.json_format import Parse  # noqa: PLC0415 - only few collectors do

        try:
            response = Parse(body, self._response(), ignore_unknown_fields=True)
        except Exception:  # noqa: BLE001 - as above
            return Answer(delivered=True)
        return self._answer(response.partial_success)

    def _answer(self, partial: Any) -> Answer:
        rejected = max(0, getattr(partial, self._count))
        said = f": {partial.error_message}" if partial.error_message else ""
        if rejected:
            return Answer(delivered=True, rejected=rejected, reason=f"{rejected} of {self._signal} were rejected{said}")
        return Answer(delivered=True, reason=partial.error_message)


_COUNTS: Final[dict[TelemetrySignal, str]] = {
    "traces": "rejected_spans",
    "metrics": "rejected_data_points",
    "logs": "rejected_log_records",
}


def _response(signal: TelemetrySignal) -> Any:
    # Only what is used is imported: configure() should not take longer than it must.
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - as above
            ExportTraceServiceResponse,
        )

        return ExportTraceServiceResponse
    if signal == "metrics":
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415 - as above
            ExportMetricsServiceResponse,
        )

        return ExportMetricsServiceResponse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415 - as above
        ExportLogsServiceResponse,
    )

    return ExportLogsServiceResponse
