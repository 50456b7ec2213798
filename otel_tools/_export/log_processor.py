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

    from otel_tools._export.delivery import SignalDelivery

__all__ = ["BoundedLogProcessor", "CountingLogExporter", "LoggerProvider", "new_logger_provider"]


class CountingLogExporter(LogRecordExporter):
    """Exports log records through a `SignalDelivery`."""

    def __init__(self, delivery: SignalDelivery) -> None:
        self._delivery = delivery

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export the records, or count them as dropped."""
        delivered = self._delivery.send(batch, len(batch), accepted=len(batch))
        return LogRecordExportResult.SUCCESS if delivered else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """End the exporter."""
        self._delivery.shut_down_exporter()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: no record waits here."""
        return True


class BoundedLogProcessor(BatchLogRecordProcessor):
    """The SDK's batch processor of log records, with losses counted and the time of its end bounded.

    Attributes:
        delivery: Where log records are exported.
        exit_timeout: Seconds that `shutdown` may take.
    """

    def __init__(self, delivery: SignalDelivery) -> None:
        self.delivery = delivery
        self._accept = delivery.counts.accept
        self.exit_timeout = 30.0
        self._max_queue_size = max_queue_size(OTEL_BLRP_MAX_QUEUE_SIZE)
        super().__init__(CountingLogExporter(delivery), max_queue_size=self._max_queue_size)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a record."""
        if self._accept(self._max_queue_size):
            super().on_emit(log_record)

    def shutdown(self) -> None:
        """Export what is queued, for `exit_timeout` seconds at most."""
        self.delivery.counts.close()
        sdk_private.shut_down_batch_processor(
            self, super().shutdown, self.delivery.shut_down_exporter, self.exit_timeout
        )


def new_logger_provider(delivery: SignalDelivery, resource: Resource) -> tuple[LoggerProvider, BoundedLogProcessor]:
    """A logger provider and its one processor."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    processor = BoundedLogProcessor(delivery)
    provider.add_log_record_processor(processor)
    return provider, processor
