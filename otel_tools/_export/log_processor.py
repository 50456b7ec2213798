"""The batch processor and the exporter wrapper of log records; imported only where log records are exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.environment_variables import OTEL_BLRP_MAX_QUEUE_SIZE

from otel_tools._export import sdk_private
from otel_tools._export.processors import max_queue_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.resources import Resource

    from otel_tools._export.delivery import Outlet

__all__ = ["BoundedLogProcessor", "LogDelivery", "LoggerProvider", "new_logger_provider"]


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


class BoundedLogProcessor(BatchLogRecordProcessor):
    """As `BoundedSpanProcessor`, for log records."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._max_queue_size = max_queue_size(OTEL_BLRP_MAX_QUEUE_SIZE)
        self.exit_timeout = 30.0
        super().__init__(LogDelivery(outlet), max_queue_size=self._max_queue_size)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a record."""
        if self.outlet.accept(self._max_queue_size):
            super().on_emit(log_record)

    def shutdown(self) -> None:
        """Send what is queued, for `exit_timeout` seconds at most."""
        self.outlet.close()
        sdk_private.shut_down_batch_processor(self, super().shutdown, self.outlet.stop, self.exit_timeout)


def new_logger_provider(outlet: Outlet, resource: Resource) -> tuple[LoggerProvider, BoundedLogProcessor]:
    """A logger provider, and the one processor that it has."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    processor = BoundedLogProcessor(outlet)
    provider.add_log_record_processor(processor)
    return provider, processor
