"""Getting telemetry out: what could not be delivered is counted, and said once a minute instead of once a batch."""

from __future__ import annotations

import logging
import os
import threading
import time
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

from otel_tools.telemetry import names
from otel_tools.telemetry.binding import dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.telemetry.setup.options import Signal

__all__ = [
    "BoundedLogProcessor",
    "BoundedSpanProcessor",
    "Delivery",
    "LogDelivery",
    "MetricDelivery",
    "SpanDelivery",
]

logger = logging.getLogger("otel_tools")

_EVERY: Final = 60.0
_EXPORTERS: Final = "opentelemetry.exporter"


class Report:
    """What is said about failing deliveries, over all signals: one line a minute, and one when it works again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -_EVERY
        self._failing: set[str] = set()

    def failed(self, signal: str, target: str, reason: str) -> None:
        """A batch could not be delivered."""
        with self._lock:
            self._failing.add(signal)
            now = time.monotonic()
            if now - self._last < _EVERY:
                return
            self._last = now
        lost = ", ".join(f"{count} of {name}" for name, count in dropped.items() if count)
        logger.warning(
            "telemetry cannot be delivered to %s (%s); dropped so far: %s. The tools go on. "
            "`otel-tools doctor` says what is wrong; next such line in a minute at the earliest",
            target,
            reason or "no reason given",
            lost,
        )

    def delivered(self, signal: str) -> None:
        """A batch was delivered."""
        with self._lock:
            if signal not in self._failing:
                return
            self._failing.discard(signal)
            self._last = -_EVERY
        logger.info("%s are delivered again", signal)


report = Report()


class _Hush(logging.Filter):
    """Keeps the exporters' own lines back while one of ours runs them, and remembers the last for our line."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._thread, "on", False):
            return True
        self._thread.heard = record.getMessage()
        return False

    def __enter__(self) -> None:
        self._thread.on, self._thread.heard = True, ""
        for name in list(logging.Logger.manager.loggerDict):
            if name.startswith(_EXPORTERS):
                # Adding a filter that is there already does nothing.
                logging.getLogger(name).addFilter(self)

    def __exit__(self, *_: object) -> None:
        self._thread.on = False

    @property
    def heard(self) -> str:
        return str(getattr(self._thread, "heard", ""))


_hush = _Hush()


class Delivery:
    """One signal's way out of the process.

    The exporter is made when it is first needed, and again in the child of a fork: a connection that parent and
    child both write to would carry neither's data.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        target: Where it goes, for the log.
        make: Makes the exporter.
    """

    def __init__(self, signal: Signal, target: str, make: Callable[[], Any]) -> None:
        self.signal = signal
        self.pending = 0
        self._target = target
        self._make = make
        self._lock = threading.Lock()
        self._exporter: Any = None
        self._inherited: list[Any] = []
        dropped.setdefault(signal, 0)

    def accept(self, most: int) -> bool:
        """Count an item in, unless as many as ``most`` are waiting: then it is dropped, and counted as such."""
        with self._lock:
            if self.pending < most:
                self.pending += 1
                return True
            dropped[self.signal] += 1
            return False

    def send(self, batch: Any, count: int, *, waited: int = 0) -> bool:
        """Hand a batch to the exporter.

        Args:
            batch: What the exporter takes.
            count: How many items are in it.
            waited: How many of them were counted in by `accept`.

        Returns:
            Whether it was delivered.
        """
        with self._lock:
            self.pending -= waited
        reason = ""
        with _hush:
            try:
                delivered = bool(self.exporter.export(batch).name == "SUCCESS")
            except Exception as error:  # noqa: BLE001 - whatever it is, the batch is lost
                delivered, reason = False, repr(error)
            reason = reason or _hush.heard
        if delivered:
            report.delivered(self.signal)
        else:
            with self._lock:
                dropped[self.signal] += count
            report.failed(self.signal, self._target, reason)
        return delivered

    @property
    def exporter(self) -> Any:
        """The exporter, made when first asked for."""
        if self._exporter is None:
            self._exporter = self._make()
        return self._exporter

    def stop(self) -> None:
        """End the exporter, and the retrying that it may be in."""
        with _hush:
            try:
                if self._exporter is not None:
                    self._exporter.shutdown()
            except Exception as error:  # noqa: BLE001 - there is nothing left to save
                logger.debug("the exporter of %s did not shut down: %r", self.signal, error)

    def after_fork(self) -> None:
        """In the child: what waits here is the parent's to send, and so are its connections."""
        self._lock = threading.Lock()
        self.pending = 0
        # Kept, not closed: a destructor may talk over the connection that the parent still uses.
        self._inherited.append(self._exporter)
        self._exporter = None


class SpanDelivery(SpanExporter):
    """A span exporter around another."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver or count as dropped."""
        delivered = self._delivery.send(spans, len(spans), waited=len(spans))
        return SpanExportResult.SUCCESS if delivered else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """As the SDK asks."""
        self._delivery.stop()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True


class LogDelivery(LogRecordExporter):
    """A log record exporter around another."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Deliver or count as dropped."""
        delivered = self._delivery.send(batch, len(batch), waited=len(batch))
        return LogRecordExportResult.SUCCESS if delivered else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """As the SDK asks."""
        self._delivery.stop()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True


class MetricDelivery(MetricExporter):
    """A metric exporter around another.

    Attributes:
        ours_elsewhere: True in the child of a fork, where our metrics leave by a provider of the child's own and
            this one would report the parent's numbers for them.
    """

    def __init__(self, delivery: Delivery) -> None:
        made = delivery.exporter
        super().__init__(made._preferred_temporality, made._preferred_aggregation)  # noqa: SLF001 - the SDK's contract
        self._delivery = delivery
        self.ours_elsewhere = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Deliver or count as dropped."""
        if self.ours_elsewhere:
            metrics_data = _without_ours(metrics_data)
        count = _points_in(metrics_data)
        if not count:
            return MetricExportResult.SUCCESS
        delivered = self._delivery.send(metrics_data, count)
        return MetricExportResult.SUCCESS if delivered else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """As the SDK asks."""
        self._delivery.stop()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        return True


class BoundedSpanProcessor(BatchSpanProcessor):
    """The SDK's batch processor with its losses counted and its end bounded.

    Attributes:
        exit_timeout: Seconds that `shutdown` may take.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._most: int = self._default_max_queue_size()  # type: ignore[no-untyped-call] # reads OTEL_*
        self.exit_timeout = 30.0
        super().__init__(SpanDelivery(delivery), max_queue_size=self._most)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if span.context is not None and span.context.trace_flags.sampled and self._delivery.accept(self._most):
            super().on_end(span)

    def shutdown(self) -> None:
        """Send what is queued, for `exit_timeout` seconds at most."""
        self._batch_processor.shutdown(timeout_millis=int(self.exit_timeout * 1000))


class BoundedLogProcessor(BatchLogRecordProcessor):
    """As `BoundedSpanProcessor`, for log records."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._most: int = self._default_max_queue_size()  # type: ignore[no-untyped-call] # reads OTEL_*
        self.exit_timeout = 30.0
        super().__init__(LogDelivery(delivery), max_queue_size=self._most)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a record."""
        if self._delivery.accept(self._most):
            super().on_emit(log_record)

    def shutdown(self) -> None:
        """Send what is queued, for `exit_timeout` seconds at most."""
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


def _start_again() -> None:
    """In the child of a fork: the parent's losses are not the child's, and a thread that is gone may hold the lock."""
    global report  # noqa: PLW0603 - a fork is the one event that makes a new one necessary
    report = Report()
    for signal in dropped:
        dropped[signal] = 0


os.register_at_fork(after_in_child=_start_again)
