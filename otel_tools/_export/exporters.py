"""Makes the exporter of each signal: OTLP over HTTP or gRPC, console, file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._export import sdk_private
from otel_tools._export.answers import Answer, as_answer
from otel_tools._export.delivery import SignalDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_tools._export.endpoint import TelemetrySignal
    from otel_tools._export.refusals import Refusals
    from otel_tools._export.settings import Settings
    from otel_tools._export.signals import SignalExport

__all__ = ["new_delivery"]

_MAX_FORK_WAIT: Final = 0.25
"""Seconds that a fork waits at most for an export in progress."""
_MIN_SECRET_LENGTH: Final = 6
_GRPC_MAX_FORK_WAIT: Final = 1.0
"""Seconds. gRPC aborts a child that was forked in the middle of a call, so a fork waits longer for one."""


def new_delivery(settings: Settings, signal: TelemetrySignal, refusals: Refusals) -> SignalDelivery:
    """The delivery of a signal that has an exporter."""
    export = settings.signals[signal]
    make = {
        "otlp": partial(_otlp_exporter, export),
        "console": partial(_console_exporter, signal),
        "file": partial(_file_exporter, settings, signal),
    }
    targets = {"otlp": export.endpoint.address, "console": "the console", "file": str(settings.file)}
    grpc = "otlp" in export.exporters and export.endpoint.protocol == "grpc"
    return SignalDelivery(
        signal,
        # What fails is most likely the one that sends.
        targets["otlp" if "otlp" in export.exporters else export.exporters[0]],
        partial(_all_exporters, [make[name] for name in export.exporters]),
        max_fork_wait=_GRPC_MAX_FORK_WAIT if grpc else _MAX_FORK_WAIT,
        doctor=export.doctor_command if "otlp" in export.exporters else "",
        # Short ones are no secrets, and may be a part of any word.
        secrets=[value for _, value in export.headers or () if len(value) >= _MIN_SECRET_LENGTH],
        refusals=refusals,
    )


def _all_exporters(make: Sequence[Callable[[], Any]]) -> Any:
    exporters = [make_one() for make_one in make]
    return exporters[0] if len(exporters) == 1 else _ExporterGroup(exporters)


class _ExporterGroup:
    """Exports each batch by several exporters; what one of them did not deliver is not delivered."""

    def __init__(self, exporters: Sequence[Any]) -> None:
        self._exporters = exporters

    def export(self, batch: Any) -> Answer:
        answers = [as_answer(exporter.export(batch)) for exporter in self._exporters]
        return next((answer for answer in answers if not answer.delivered or answer.rejected), answers[0])

    def shutdown(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()


def _file_exporter(settings: Settings, signal: TelemetrySignal) -> Any:
    from otel_tools._export.otlp_file import FileExporter  # noqa: PLC0415 - protobuf's JSON is for this exporter alone

    assert settings.file is not None  # noqa: S101 - `read_settings` refuses the exporter without it
    return FileExporter(signal, settings.file)


def _console_exporter(signal: TelemetrySignal) -> Any:
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter  # noqa: PLC0415 - for this exporter alone
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - as above

    exporters: dict[TelemetrySignal, Callable[..., Any]] = {
        "traces": ConsoleSpanExporter,
        "metrics": ConsoleMetricExporter,
        "logs": sdk_private.console_log_exporter,
    }
    return exporters[signal]()


def _otlp_exporter(export: SignalExport) -> Any:
    from otel_tools._export.otlp_exporter import OtlpExporter  # noqa: PLC0415 - for this exporter alone

    return OtlpExporter(export)
