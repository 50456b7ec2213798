"""Every private name of the OpenTelemetry SDK that this package uses, each with a fallback for a release without it.

`PRIVATE_NAMES` lists them. `report_missing` logs in one line which of them the installed SDK lacks and what is reduced.
Where a public name does the same, no private one is used.

The modules of the SDK's log signal are private by name too (``opentelemetry.sdk._logs``), but this is their documented
address. `log_processor.py` and the functions at the end of this file import them, only where log records are exported.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.version import __version__ as sdk_version

from otel_tools._call.safe_logging import log_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = [
    "PRIVATE_NAMES",
    "ForkSafeMetricReader",
    "PrivateName",
    "api_placeholders",
    "console_log_exporter",
    "forget_instruments",
    "is_missing_log_module",
    "missing_names",
    "otlp_log_encoder",
    "report_missing",
    "report_missing_log_module",
    "resource_of",
    "shut_down_batch_processor",
]

logger = logging.getLogger("otel_tools")

_LAST_COLLECTION: Final = 30_000.0
"""Milliseconds that the last collection of metrics may take. How long the process waits for it is bounded elsewhere."""


@dataclass(frozen=True, slots=True)
class PrivateName:
    """A private name of the SDK.

    Attributes:
        owner: The class of the SDK that has it.
        name: The name.
        used_in: The function or class of this file that uses it.
        reduced: What does not work without it.
    """

    owner: str
    name: str
    used_in: str
    reduced: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"


_RESOURCE: Final = (
    "in a forked process, otel_tools' metrics may carry another service.instance.id than the application's own"
)
_FORKED_LOCKS: Final = (
    "in a forked process, the application's own metrics may wait for a lock for ever, and flush() then returns False"
)
_FORKED_READER: Final = "in a forked process, the application's own metrics may be missing"
_START: Final = "the SDK may log a warning when metrics start"
_LAST: Final = "the last metrics of a process get no more time than the export interval"
_END: Final = "the end of a process may wait up to 30 s for a collector that does not answer"

PRIVATE_NAMES: Final = (
    PrivateName("MeterProvider", "_sdk_config", "resource_of", _RESOURCE),
    PrivateName("MeterProvider", "_measurement_consumer", "forget_instruments", _FORKED_LOCKS),
    PrivateName("MeasurementConsumer", "_lock", "forget_instruments", _FORKED_LOCKS),
    PrivateName("MeasurementConsumer", "_async_instruments", "forget_instruments", _FORKED_LOCKS),
    PrivateName("MeasurementConsumer", "_reader_storages", "forget_instruments", _FORKED_LOCKS),
    PrivateName("MetricReaderStorage", "_lock", "forget_instruments", _FORKED_LOCKS),
    PrivateName("MetricReaderStorage", "_instrument_view_instrument_matches", "forget_instruments", _FORKED_LOCKS),
    PrivateName("PeriodicExportingMetricReader", "_ticker", "ForkSafeMetricReader", _START),
    PrivateName("PeriodicExportingMetricReader", "_at_fork_reinit", "ForkSafeMetricReader", _FORKED_READER),
    PrivateName("PeriodicExportingMetricReader", "_export_lock", "ForkSafeMetricReader", _FORKED_READER),
    PrivateName("PeriodicExportingMetricReader", "_shutdown_event", "ForkSafeMetricReader", _FORKED_READER),
    PrivateName("PeriodicExportingMetricReader", "_export_interval_millis", "ForkSafeMetricReader", _LAST),
    PrivateName("BatchProcessor", "_batch_processor", "shut_down_batch_processor", _END),
)


def missing_names(
    provider: MeterProvider | None, reader: object, batch_processors: Iterable[object]
) -> list[PrivateName]:
    """The private names that the installed SDK lacks.

    Args:
        provider: A meter provider with one reader; None leaves out the names of metrics.
        reader: Its reader, a `ForkSafeMetricReader`.
        batch_processors: Batch processors of spans and log records.
    """
    owners: dict[str, object] = {"BatchProcessor": next(iter(batch_processors), None)}
    if provider is not None:
        consumer = getattr(provider, "_measurement_consumer", None)
        storages = getattr(consumer, "_reader_storages", {})
        owners |= {
            "MeterProvider": provider,
            "MeasurementConsumer": consumer,
            "MetricReaderStorage": next(iter(storages.values()), None),
            "PeriodicExportingMetricReader": reader,
        }
    return [
        private
        for private in PRIVATE_NAMES
        if (owner := owners.get(private.owner)) is not None and not _has(owner, private.name)
    ]


def _has(owner: object, name: str) -> bool:
    if isinstance(owner, PeriodicExportingMetricReader):
        # Ours overrides some of the names.
        return hasattr(PeriodicExportingMetricReader, name) or name in vars(owner)
    return hasattr(owner, name)


def report_missing(missing: Iterable[PrivateName]) -> None:
    """Log in one line which private names are missing and what is reduced without them."""
    names = list(missing)
    if names:
        log_safely(
            logger,
            logging.WARNING,
            "OpenTelemetry SDK %s lacks private names that otel_tools uses (%s). Telemetry is exported, but %s",
            sdk_version,
            ", ".join(map(str, names)),
            "; ".join(dict.fromkeys(private.reduced for private in names)),
        )


def api_placeholders() -> set[TelemetrySignal]:
    """The signals whose global provider is the API's placeholder: nobody has set one."""
    found: set[TelemetrySignal] = set()
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        found.add("traces")
    # The API has no public name for these two placeholders, but they are the only providers that it defines itself
    # beside those that do nothing, and an application sets the latter on purpose.
    if _is_placeholder(metrics.get_meter_provider(), metrics.__name__, metrics.NoOpMeterProvider):
        found.add("metrics")
    if _is_placeholder(_logs.get_logger_provider(), _logs.__name__, _logs.NoOpLoggerProvider):
        found.add("logs")
    return found


def _is_placeholder(provider: object, api: str, no_op: type) -> bool:
    return f"{type(provider).__module__}.".startswith(f"{api}.") and not isinstance(provider, no_op)


def resource_of(provider: MeterProvider) -> Resource | None:
    """The resource of a meter provider; in a forked process with the ``service.instance.id`` that the SDK gave it.

    Returns:
        None where the SDK does not tell.
    """
    config = getattr(provider, "_sdk_config", None)
    resource: Resource | None = getattr(config, "resource", None)
    return resource


def forget_instruments(provider: MeterProvider, scope: str) -> None:
    """In a forked process: remove a scope's instruments from an inherited provider and renew the provider's locks.

    A thread of the parent may have held the locks at the fork, most likely while it recorded a call of ours. Without
    one of the private names nothing is changed.
    """
    with contextlib.suppress(AttributeError):
        consumer: Any = provider._measurement_consumer  # noqa: SLF001 - a name of PRIVATE_NAMES
        storages = list(consumer._reader_storages.values())  # noqa: SLF001 - as above
        observable = consumer._async_instruments  # noqa: SLF001 - as above
        kept = [instrument for instrument in observable if instrument.instrumentation_scope.name != scope]
        matches = [storage._instrument_view_instrument_matches for storage in storages]  # noqa: SLF001 - as above
        _renew(consumer, "_lock", threading.Lock)
        for storage in storages:
            _renew(storage, "_lock", threading.RLock)
        consumer._async_instruments = kept  # noqa: SLF001 - as above
        for by_instrument in matches:
            for instrument in [known for known in by_instrument if known.instrumentation_scope.name == scope]:
                del by_instrument[instrument]


def _renew(owner: object, name: str, make: Callable[[], object]) -> None:
    """Replace an attribute that exists; one that does not exist is not made."""
    if hasattr(owner, name):
        setattr(owner, name, make())


class ForkSafeMetricReader(PeriodicExportingMetricReader):
    """The SDK's periodic reader with a thread that starts on demand, also in a forked process.

    Args:
        exporter: Where the metrics are exported.
        interval: Seconds between two exports.
    """

    def __init__(self, exporter: MetricExporter, interval: float) -> None:
        self._begun = threading.Event()
        self._unregistered = False
        self._ended = False
        super().__init__(exporter, export_interval_millis=interval * 1000)

    def begin(self) -> None:
        """Start to collect. Called once a provider has registered the reader; the SDK starts the thread before."""
        self._begun.set()

    def discard(self) -> None:
        """End a reader that no provider has registered."""
        self._unregistered = True
        self._begun.set()
        self.shutdown()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Collect and export a last time."""
        self._ended = True
        # The SDK gives the last collection no more time than the interval. On a busy machine a short one loses it.
        if hasattr(self, "_export_interval_millis"):
            self._export_interval_millis = max(self._export_interval_millis, _LAST_COLLECTION)
        super().shutdown(timeout_millis, **kwargs)

    def restart_in_child(self) -> None:
        """In a forked process: start the thread again, with locks that no thread of the parent holds."""
        _renew(self, "_export_lock", threading.Lock)
        restart: Callable[[object], None] | None = getattr(PeriodicExportingMetricReader, "_at_fork_reinit", None)
        if restart is None:
            # Under another name the SDK has started the thread itself. The thread waits for the event that it has.
            return
        _renew(self, "_shutdown_event", threading.Event)
        if self._ended:
            with contextlib.suppress(AttributeError):
                self._shutdown_event.set()
        restart(self)

    def _ticker(self) -> None:
        """The thread of the SDK's reader."""
        self._begun.wait()
        if not self._unregistered:
            super()._ticker()

    def _at_fork_reinit(self) -> None:
        """Does nothing: the SDK calls this in a forked process before the provider is ready. See `restart_in_child`."""


def shut_down_batch_processor(
    processor: object, shut_down: Callable[[], object], stop_exporter: Callable[[], object], seconds: float
) -> None:
    """Export what is queued in a batch processor and end it, within a time that its public `shutdown` does not take.

    Args:
        processor: The batch processor.
        shut_down: Its public `shutdown`.
        stop_exporter: Ends the exporter and its retries.
        seconds: How long it may take.
    """
    batch: Any = getattr(processor, "_batch_processor", None)
    if batch is not None:
        batch.shutdown(timeout_millis=int(seconds * 1000))
        return
    thread = threading.Thread(target=shut_down, name="otel-tools-shutdown", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # From Python 3.12 on no thread can be started while the interpreter exits.
        shut_down()
        return
    thread.join(seconds)
    if thread.is_alive():
        stop_exporter()


def console_log_exporter() -> Any:
    """An exporter that prints log records."""
    from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter  # noqa: PLC0415 - only where logs are exported

    return ConsoleLogRecordExporter()


def otlp_log_encoder() -> Callable[[Any], Any]:
    """The function that makes an OTLP request from log records."""
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs  # noqa: PLC0415 - as above

    return encode_logs


def is_missing_log_module(error: ImportError) -> bool:
    """Whether an import failed because a module of OpenTelemetry's log signal has moved."""
    module = error.name or ""
    return module.startswith("opentelemetry.") and "_log" in module


def report_missing_log_module(error: ImportError) -> None:
    """Log that log records are not exported, and why."""
    log_safely(
        logger,
        logging.WARNING,
        "OpenTelemetry SDK %s lacks private modules that otel_tools uses (%s). Traces and metrics are exported, but "
        "log records are not",
        sdk_version,
        error.name,
    )
