"""Exporters that append OTLP JSON lines to a file, the format of the collector's file exporter.

The collector's ``otlpjsonfile`` receiver reads it. One JSON object a line, as OTLP's JSON mapping defines it:
lowerCamelCase names, trace and span ids in hexadecimal, enums as numbers, 64-bit integers as strings.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_tools._export import sdk_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from google.protobuf.message import Message
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["FileLogExporter", "FileMetricExporter", "FileSpanExporter"]

_ID_FIELDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


class FileSpanExporter(SpanExporter):
    """Appends spans to a file.

    Args:
        path: The file; created where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append one line."""
        _append(self._path, encode_spans(spans))
        return SpanExportResult.SUCCESS


class FileLogExporter:
    """Appends log records to a file. Has the methods of the SDK's ``LogRecordExporter``.

    Args:
        path: The file; created where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = sdk_private.otlp_log_encoder()

    def export(self, batch: Sequence[ReadableLogRecord]) -> SpanExportResult:
        """Append one line."""
        _append(self._path, self._encode(batch))
        # The results of all signals have the same names.
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing: no file is held open."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: no item waits here."""
        return True


class FileMetricExporter(MetricExporter):
    """Appends metrics to a file, with the temporality that the ``OTEL_*`` variables set.

    Args:
        path: The file; created where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        # The OTLP exporter reads the variables. It opens no connection before it exports.
        otlp = OTLPMetricExporter()
        super().__init__(*sdk_private.metric_preferences(otlp))
        otlp.shutdown()
        self._path = path

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Append one line."""
        _append(self._path, encode_metrics(metrics_data))
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: no file is held open."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: no item waits here."""
        return True


def _append(path: Path, message: Message) -> None:
    line = json.dumps(_with_hex_ids(MessageToDict(message, use_integers_for_enums=True)), separators=(",", ":"))
    data = line.encode() + b"\n"
    # One write to a file opened for appending: threads and processes that share the file do not mix their lines.
    with path.open("ab", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError(f"{path}: only a part of a line could be written; is the disk full?")


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in _ID_FIELDS and isinstance(item, str) else _with_hex_ids(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    return value
