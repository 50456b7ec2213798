"""The checked arguments of `configure()` and the ``OTEL_*`` variables. Does not import the SDK."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TextIO, get_args

from otel_tools._export.endpoint import (
    OTLP_PROTOCOLS,
    OtlpProtocol,
    TelemetrySignal,
    is_http_url,
    otlp_endpoint,
    otlp_protocol,
)
from otel_tools._telemetry.content.redaction import Redaction
from otel_tools._telemetry.exceptions import exception_signals
from otel_tools.errors import ConfigurationError

__all__ = ["SIGNALS", "ExporterName", "LogsMode", "Redact", "Settings", "read_redaction", "read_settings"]

ExporterName = Literal["otlp", "console", "file", "none"]
LogsMode = Literal["json", "otlp", "both"]
Redact = Callable[[str], str] | Sequence[str | re.Pattern[str]]

SIGNALS: Final[tuple[TelemetrySignal, ...]] = get_args(TelemetrySignal)
EXPORTERS: Final[tuple[str, ...]] = get_args(ExporterName)
LOGS_MODES: Final[tuple[str, ...]] = get_args(LogsMode)

_URL_REQUIRED: Final = "a URL with scheme and host is needed, such as 'http://127.0.0.1:4318'"
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """One checked configuration.

    Attributes:
        resource: Resource attributes given in code. The SDK reads those of the environment.
        exporters: The exporter of each signal.
        protocols: The OTLP protocol of each signal.
        endpoint: Base URL of the collector given in code; None where the environment decides.
        headers: Request headers given in code; None where the environment decides.
        file: The file of the file exporter.
        sample_ratio: Share of traces to keep, given in code; None where the environment sets the sampler.
        metric_interval: Seconds between two exports of metrics.
        logs: How the records of `logging` are written; None where they are not touched.
        log_stream: The stream for lines of JSON; None is standard error.
    """

    resource: tuple[tuple[str, str], ...]
    exporters: tuple[tuple[TelemetrySignal, ExporterName], ...]
    protocols: tuple[tuple[TelemetrySignal, OtlpProtocol], ...]
    endpoint: str | None
    headers: tuple[tuple[str, str], ...] | None
    file: Path | None
    sample_ratio: float | None
    metric_interval: float
    logs: LogsMode | None = None
    log_stream: TextIO | None = None

    def exporter(self, signal: TelemetrySignal) -> ExporterName:
        """The exporter of a signal."""
        return dict(self.exporters)[signal]

    def protocol(self, signal: TelemetrySignal) -> OtlpProtocol:
        """The OTLP protocol of a signal."""
        return dict(self.protocols)[signal]


def read_settings(  # noqa: PLR0913 - the arguments of configure()
    *,
    service_name: str | None,
    service_version: str | None,
    environment: str | None,
    endpoint: str | None,
    headers: Mapping[str, str] | None,
    exporter: str | None,
    file: str | os.PathLike[str] | None,
    sample_ratio: float | None,
    logs: str | None = None,
    log_stream: TextIO | None = None,
) -> Settings:
    """Check the arguments of `configure()` and complete them from the environment.

    Raises:
        ConfigurationError: An argument or variable cannot be used; the message names it and what it accepts.
    """
    resource = {
        "service.name": _text("service_name", service_name),
        "service.version": _text("service_version", service_version),
        "deployment.environment.name": _text("environment", environment),
    }
    logs_mode = _logs(logs, log_stream)
    exporters = _exporters(exporter, file, logs=logs_mode in {"otlp", "both"} or exception_signals()[1])
    protocols = {signal: _protocol(signal) for signal in SIGNALS}
    if endpoint is None:
        _check_endpoint_variables(exporters, protocols)
    return Settings(
        resource=tuple((key, value) for key, value in resource.items() if value is not None),
        exporters=tuple(exporters.items()),
        protocols=tuple(protocols.items()),
        endpoint=_endpoint(endpoint),
        headers=_headers(headers),
        sample_ratio=_ratio(sample_ratio),
        metric_interval=_metric_interval(),
        logs=logs_mode,
        log_stream=log_stream,
        # Last: it creates the file.
        file=_file(file, used="file" in exporters.values()),
    )


def read_redaction(redact: Redact | None) -> Redaction:
    """The redaction that `configure(redact=...)` asks for, by patterns or by a function.

    Raises:
        ConfigurationError: The argument is neither, or a pattern does not compile.
    """
    if redact is None:
        return Redaction()
    if callable(redact):
        return Redaction(callback=redact)
    if isinstance(redact, str) or not isinstance(redact, Sequence):
        raise ConfigurationError(
            f"configure(redact={redact!r}): a list of regular expressions is needed, or a function of a text"
        )
    try:
        return Redaction(patterns=redact)
    except (re.error, TypeError) as error:
        raise ConfigurationError(f"configure(redact={redact!r}): not a regular expression: {error}") from error


def _text(argument: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"configure({argument}={value!r}): a text that is not empty is needed")
    return value


def _logs(logs: Any, stream: Any) -> LogsMode | None:
    if logs is not None and logs not in LOGS_MODES:
        raise ConfigurationError(f"configure(logs={logs!r}): accepted are {', '.join(map(repr, LOGS_MODES))} and None")
    if stream is not None and logs not in {"json", "both"}:
        raise ConfigurationError(f"configure(log_stream=...) goes with logs='json' or 'both', not with {logs!r}")
    if stream is not None and not (
        callable(getattr(stream, "write", None)) and callable(getattr(stream, "flush", None))
    ):
        raise ConfigurationError(f"configure(log_stream={stream!r}): a text stream is needed, such as sys.stdout")
    if logs in {"json", "both"} and find_spec("pythonjsonlogger") is None:
        raise ConfigurationError(f"configure(logs={logs!r}) needs python-json-logger: pip install 'otel_tools[logs]'")
    return logs  # type: ignore[no-any-return] # it is one of LOGS_MODES


def _exporters(exporter: str | None, file: object, *, logs: bool) -> dict[TelemetrySignal, ExporterName]:
    if exporter is not None and exporter not in EXPORTERS:
        raise ConfigurationError(f"configure(exporter={exporter!r}): accepted are {', '.join(map(repr, EXPORTERS))}")
    if exporter == "file" and file is None:
        raise ConfigurationError("configure(exporter='file') needs file='PATH', the file to append OTLP JSON lines to")
    if exporter != "file" and file is not None:
        raise ConfigurationError(f"configure(file={file!r}) goes with exporter='file', not with {exporter!r}")
    chosen: dict[TelemetrySignal, ExporterName] = {}
    for signal in SIGNALS:
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        value = exporter or os.environ.get(variable, "").strip().lower() or None
        if value is None:
            # LogsMode are only set up where something that becomes a log record was asked for.
            value = "none" if signal == "logs" and not logs else "otlp"
        if value not in EXPORTERS or (exporter is None and value == "file"):
            raise ConfigurationError(f"{variable}={value}: accepted are 'otlp', 'console' and 'none'")
        if exporter is not None and signal == "logs" and not logs:
            value = "none"
        chosen[signal] = value  # type: ignore[assignment] # it is one of EXPORTERS
    return chosen


def _protocol(signal: TelemetrySignal) -> OtlpProtocol:
    protocol, variable = otlp_protocol(signal)
    if protocol not in OTLP_PROTOCOLS:
        raise ConfigurationError(f"{variable}={protocol}: accepted are {', '.join(map(repr, OTLP_PROTOCOLS))}")
    return protocol


def _endpoint(endpoint: Any) -> str | None:
    if endpoint is None:
        return None
    if not is_http_url(endpoint):
        raise ConfigurationError(f"configure(endpoint={endpoint!r}): {_URL_REQUIRED}")
    return str(endpoint).rstrip("/")


def _check_endpoint_variables(
    exporters: Mapping[TelemetrySignal, ExporterName], protocols: Mapping[TelemetrySignal, OtlpProtocol]
) -> None:
    for signal in SIGNALS:
        # The gRPC exporter reports an address that it cannot use.
        if exporters[signal] != "otlp" or protocols[signal] == "grpc":
            continue
        endpoint = otlp_endpoint(signal, protocols[signal])
        if not endpoint.is_valid:
            raise ConfigurationError(f"{endpoint.variable}={endpoint.address}: {_URL_REQUIRED}")


def _headers(headers: Any) -> tuple[tuple[str, str], ...] | None:
    if headers is None:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(part, str) for pair in headers.items() for part in pair):
        # Without the values: headers carry credentials.
        raise ConfigurationError(
            "configure(headers=...): a dictionary of texts is needed, such as {'x-team': 'search'}"
        )
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"configure(headers=...): {name!r} cannot be sent: a name is letters, digits and '-', '_', '.', "
                "a value is printable ASCII"
            )
    return tuple(headers.items())


def _file(file: Any, *, used: bool) -> Path | None:
    if not used:
        return None
    try:
        path = Path(file).expanduser().absolute()
        with path.open("ab"):
            pass
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"configure(file={file!r}): cannot be appended to: {error}") from error
    return path


def _ratio(ratio: Any) -> float | None:
    if ratio is None:
        return None
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise ConfigurationError(f"configure(sample_ratio={ratio!r}): a number from 0 to 1 is needed")
    return float(ratio)


def _metric_interval() -> float:
    """Seconds. ``OTEL_METRIC_EXPORT_INTERVAL`` is in milliseconds; the default is 10 s, so that alerts are not late."""
    value = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() or "10000"
    try:
        milliseconds = float(value)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < math.inf:
        raise ConfigurationError(f"OTEL_METRIC_EXPORT_INTERVAL={value}: a number of milliseconds above 0 is needed")
    return milliseconds / 1000
