"""Makes the exporter of each signal: OTLP over HTTP or gRPC, console, file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._export import sdk_private
from otel_tools._export.delivery import SignalDelivery
from otel_tools._export.endpoint import OtlpEndpoint, otlp_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.endpoint import TelemetrySignal
    from otel_tools._export.settings import Settings

__all__ = ["new_delivery"]

_GRPC_MAX_FORK_WAIT: Final = 1.0
"""Seconds. gRPC aborts a child that was forked in the middle of a call, so a fork waits longer for one."""


def new_delivery(settings: Settings, signal: TelemetrySignal) -> SignalDelivery:
    """The delivery of a signal whose exporter is not ``none``."""
    exporter = settings.exporter(signal)
    if exporter == "file":
        return SignalDelivery(signal, str(settings.file), partial(_file_exporter, settings, signal))
    if exporter == "console":
        return SignalDelivery(signal, "the console", partial(_console_exporter, signal))
    endpoint = otlp_endpoint(signal, settings.protocol(signal), base=settings.endpoint)
    make_exporter = partial(_otlp_exporter, settings, endpoint)
    if endpoint.protocol == "grpc":
        return SignalDelivery(signal, endpoint.address, make_exporter, max_fork_wait=_GRPC_MAX_FORK_WAIT)
    return SignalDelivery(signal, endpoint.address, make_exporter)


def _file_exporter(settings: Settings, signal: TelemetrySignal) -> Any:
    from otel_tools._export import otlp_file  # noqa: PLC0415 - protobuf's JSON is for this exporter alone

    exporters: dict[TelemetrySignal, Callable[..., Any]] = {
        "traces": otlp_file.FileSpanExporter,
        "metrics": otlp_file.FileMetricExporter,
        "logs": otlp_file.FileLogExporter,
    }
    return exporters[signal](settings.file)


def _console_exporter(signal: TelemetrySignal) -> Any:
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter  # noqa: PLC0415 - for this exporter alone
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - as above

    exporters: dict[TelemetrySignal, Callable[..., Any]] = {
        "traces": ConsoleSpanExporter,
        "metrics": ConsoleMetricExporter,
        "logs": sdk_private.console_log_exporter,
    }
    return exporters[signal]()


def _otlp_exporter(settings: Settings, endpoint: OtlpEndpoint) -> Any:
    # In lower case: gRPC refuses a request with any other, and HTTP does not distinguish.
    headers = {key.lower(): value for key, value in settings.headers} if settings.headers is not None else None
    exporter = _grpc_exporter if endpoint.protocol == "grpc" else _http_exporter
    return exporter(endpoint.signal)(endpoint=endpoint.url, headers=headers)


def _http_exporter(signal: TelemetrySignal) -> Callable[..., Any]:
    # Only what is used is imported: configure() should not take longer than it must.
    if signal == "traces":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - above

        return OTLPSpanExporter
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - above

        return OTLPMetricExporter
    return sdk_private.otlp_log_exporter(grpc=False)


def _grpc_exporter(signal: TelemetrySignal) -> Callable[..., Any]:
    if signal == "traces":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - gRPC is heavy

        return OTLPSpanExporter
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - as above

        return OTLPMetricExporter
    return sdk_private.otlp_log_exporter(grpc=True)
