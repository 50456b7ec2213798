"""Which exporter a signal goes to."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._export.delivery import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.settings import Settings, Signal

__all__ = ["outlet_of"]

_GRPC_FORK_WAITS: Final = 1.0
"""Seconds. gRPC aborts a child that was forked in the middle of a call, so it is worth some waiting."""


def outlet_of(settings: Settings, signal: Signal) -> Outlet:
    """The way out that the settings give a signal whose exporter is not ``none``."""
    kind = settings.exporter(signal)
    if kind == "file":
        return Outlet(signal, str(settings.file), partial(_file_exporter, settings, signal))
    if kind == "console":
        return Outlet(signal, "the console", partial(_console_exporter, signal))
    make = partial(_otlp_exporter, settings, signal)
    if settings.protocol(signal) == "grpc":
        return Outlet(signal, _target(settings, signal), make, fork_waits=_GRPC_FORK_WAITS)
    return Outlet(signal, _target(settings, signal), make)


def _file_exporter(settings: Settings, signal: Signal) -> Any:
    from otel_tools._export import otlp_file  # noqa: PLC0415 - protobuf's JSON is for this exporter alone

    exporters: dict[Signal, Callable[..., Any]] = {
        "traces": otlp_file.FileSpanExporter,
        "metrics": otlp_file.FileMetricExporter,
        "logs": otlp_file.FileLogExporter,
    }
    return exporters[signal](settings.file)


def _console_exporter(signal: Signal) -> Any:
    from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter  # noqa: PLC0415 - for this exporter alone
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - as above

    exporters: dict[Signal, Callable[..., Any]] = {
        "traces": ConsoleSpanExporter,
        "metrics": ConsoleMetricExporter,
        "logs": ConsoleLogRecordExporter,
    }
    return exporters[signal]()


def _otlp_exporter(settings: Settings, signal: Signal) -> Any:
    # In lower case: gRPC refuses a request over any other, and to HTTP it is the same.
    headers = {key.lower(): value for key, value in settings.headers} if settings.headers is not None else None
    if settings.protocol(signal) == "grpc":
        return _grpc_exporter(signal)(endpoint=settings.endpoint, headers=headers)
    endpoint = f"{settings.endpoint}/v1/{signal}" if settings.endpoint else None
    return _http_exporter(signal)(endpoint=endpoint, headers=headers)


def _http_exporter(signal: Signal) -> Callable[..., Any]:
    # Only what is used is imported: configure() should not take longer than it must.
    if signal == "traces":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - above

        return OTLPSpanExporter
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - above

        return OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: PLC0415 - above

    return OTLPLogExporter


def _grpc_exporter(signal: Signal) -> Callable[..., Any]:
    if signal == "traces":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - gRPC is heavy

        return OTLPSpanExporter
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - as above

        return OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter  # noqa: PLC0415 - as above

    return OTLPLogExporter


def _target(settings: Settings, signal: Signal) -> str:
    default = "http://localhost:4317" if settings.protocol(signal) == "grpc" else "http://localhost:4318"
    return (
        settings.endpoint
        or os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or default
    )
