"""How `configure()` exports each signal, and what is wrong with it. Does not import the SDK.

`read_signals` is the one reader of these settings. `configure()` raises and logs what it finds; the doctor prints it.
"""

from __future__ import annotations

import math
import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from otel_tools._export.endpoint import (
    OTLP_PROTOCOLS,
    SIGNALS,
    OtlpEndpoint,
    TelemetrySignal,
    is_http_url,
    otlp_endpoint,
    otlp_protocol,
)
from otel_tools._export.otlp_options import Headers, OtlpOptions, read_headers, read_options
from otel_tools._urls import shown, without_secrets
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXPORTERS", "ExporterName", "SignalExport", "check_base_url", "read_signals"]

ExporterName = Literal["otlp", "console", "file", "none"]

EXPORTERS: Final[tuple[ExporterName, ...]] = get_args(ExporterName)

_MIN_INTERVAL: Final = 500.0
"""Milliseconds. A smaller interval was probably meant as seconds."""

_URL_REQUIRED: Final = "a URL with scheme and host is needed, such as 'http://127.0.0.1:4318'"
_ACCEPTED: Final = "accepted are 'otlp', 'console' and 'none'"

_PYTHON_NAMES: Final[Mapping[str, str]] = {"otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}
"""Names of OTLP exporters that imply their protocol, as `opentelemetry-instrument` takes them."""

_WAYS_OUT: Final[Mapping[str, str]] = {
    "prometheus": "Prometheus reads the metrics from the collector: write 'otlp'",
    "jaeger": "Jaeger takes OTLP: write 'otlp'",
    "zipkin": "the collector can send to Zipkin: write 'otlp'",
    "logging": "its name is 'console'",
    "otlp/stdout": "configure(exporter='file', file='/dev/stdout') writes OTLP JSON lines",
    "file": "configure(exporter='file', file='PATH') writes a file",
    "none": "'none' stands alone",
}


@dataclass(frozen=True, slots=True)
class SignalExport:
    """How one signal is exported.

    Attributes:
        signal: ``traces``, ``metrics`` or ``logs``.
        exporters: Its exporters: ``otlp``, ``console`` or ``file``; several where a variable names several; empty where
            it is not exported, and where the variable is refused.
        variable: The variable that chose the exporters; empty for the default and for an argument.
        endpoint: Where ``otlp`` sends; also set, for what it is worth, where another exporter is used.
        headers: The headers of OTLP requests; they carry credentials.
        headers_variable: The variable that sets them; empty where code does.
        options: Further options of OTLP requests.
        interval: Seconds between two exports of metrics.
        problem: Why `configure()` refuses this, naming the argument or variable and what is accepted; empty where it
            does not.
        warnings: What `configure()` ignores, and why.
    """

    signal: TelemetrySignal
    exporters: tuple[ExporterName, ...]
    variable: str
    endpoint: OtlpEndpoint
    headers: Headers | None = field(default=None, repr=False)
    headers_variable: str = ""
    options: OtlpOptions = field(default_factory=OtlpOptions)
    interval: float = 0.0
    problem: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def doctor_command(self) -> str:
        """The command that looks at the same endpoint. Of headers it has the names, or the variable that sets them."""
        words = ["otel-tools", "doctor"]
        if base := self.endpoint.base_url:
            words += ["--endpoint", shlex.quote(base), "--protocol", self.endpoint.protocol]
        if self.headers_variable:
            words += ["--headers", f'"${self.headers_variable}"']
        elif self.headers:
            words += ["--headers", shlex.quote(",".join(f"{name}=..." for name, _ in self.headers))]
        return " ".join(words)


def read_signals(
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Headers | None = None,
    exporter: ExporterName | None = None,
    logs: bool = False,
) -> dict[TelemetrySignal, SignalExport]:
    """How `configure()` would export each signal, by its arguments and the ``OTEL_*`` variables.

    Args:
        endpoint: The base URL given in code.
        protocol: The OTLP protocol, where something other than a variable sets it.
        headers: The headers given in code.
        exporter: The exporter given in code.
        logs: Whether anything becomes a log record; without, logs are exported only where a variable says so.

    Returns:
        One value for each signal, in the order traces, metrics, logs. It raises no error: see `SignalExport.problem`.
    """
    return {signal: _read_signal(signal, endpoint, protocol, headers, exporter, logs=logs) for signal in SIGNALS}


def _read_signal(  # noqa: PLR0913 - the arguments of `read_signals`
    signal: TelemetrySignal,
    base: str | None,
    protocol: str | None,
    headers: Headers | None,
    exporter: ExporterName | None,
    *,
    logs: bool,
) -> SignalExport:
    given_protocol = (protocol or "").strip().lower()
    protocol, protocol_variable = (given_protocol, "") if given_protocol else otlp_protocol(signal)
    exporters: tuple[ExporterName, ...] = ()
    options, interval, headers_variable, problem, warnings = OtlpOptions(), 0.0, "", "", list[str]()
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    named = _named(variable) if exporter is None else []
    try:
        check_base_url(base)
        exporters = _exporters(signal, variable, named, exporter, logs=logs)
        if not given_protocol:
            protocol = next((_PYTHON_NAMES[name] for name in named if name in _PYTHON_NAMES), protocol)
        where = otlp_endpoint(signal, protocol, base=base)
        if "otlp" in exporters:
            _check_protocol(protocol, protocol_variable)
            _check_endpoint(where, warnings)
            if headers is None:
                headers, headers_variable = read_headers(signal)
            options = read_options(signal, protocol, warnings, secure=where.uses_tls)
        interval = _interval(warnings) if signal == "metrics" and exporters else 0.0
    except ConfigurationError as error:
        problem = str(error)
    return SignalExport(
        signal,
        exporters,
        variable if named else "",
        otlp_endpoint(signal, protocol, base=base),
        headers,
        headers_variable,
        options,
        interval,
        problem,
        tuple(warnings),
    )


def _named(variable: str) -> list[str]:
    """The exporters that a variable names, in lower case, each once."""
    values = os.environ.get(variable, "").lower().split(",")
    return list(dict.fromkeys(value.strip() for value in values if value.strip()))


def _exporters(
    signal: TelemetrySignal, variable: str, named: list[str], exporter: ExporterName | None, *, logs: bool
) -> tuple[ExporterName, ...]:
    if exporter is not None or not named:
        # Logs are only set up where something that becomes a log record was asked for.
        chosen = exporter or "otlp"
        return () if chosen == "none" or (signal == "logs" and not logs) else (chosen,)
    names = list(dict.fromkeys("otlp" if name in _PYTHON_NAMES else name for name in named))
    if names == ["none"]:
        return ()
    for name in names:
        if name not in {"otlp", "console"}:
            way_out = f" ({_WAYS_OUT[name]})" if name in _WAYS_OUT else ""
            raise ConfigurationError(f"{variable}={','.join(named)}: {_ACCEPTED}{way_out}")
    if len(set(named) & _PYTHON_NAMES.keys()) > 1:
        raise ConfigurationError(f"{variable}={','.join(named)}: one protocol is needed, not two")
    return tuple(names)  # type: ignore[arg-type] # each is one of EXPORTERS


def _check_protocol(protocol: str, variable: str) -> None:
    if protocol not in OTLP_PROTOCOLS:
        source = variable or "protocol"
        raise ConfigurationError(f"{source}={protocol}: accepted are {', '.join(map(repr, OTLP_PROTOCOLS))}")


def check_base_url(base: Any) -> None:
    """Check the endpoint that is given in code; None is fine.

    Raises:
        ConfigurationError: It is no URL.
    """
    if base is not None and not (isinstance(base, str) and is_http_url(base.strip())):
        raise ConfigurationError(f"configure(endpoint={shown(base)}): {_URL_REQUIRED}")


def _interval(warnings: list[str]) -> float:
    """Seconds. ``OTEL_METRIC_EXPORT_INTERVAL`` is in milliseconds; the default is 10 s, so that alerts are not late."""
    value = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() or "10000"
    try:
        milliseconds = float(value)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < math.inf:
        raise ConfigurationError(f"OTEL_METRIC_EXPORT_INTERVAL={value}: a number of milliseconds above 0 is needed")
    if milliseconds < _MIN_INTERVAL:
        warnings.append(f"OTEL_METRIC_EXPORT_INTERVAL={value} is in milliseconds: metrics go out each {value} ms")
    return milliseconds / 1000


def _check_endpoint(endpoint: OtlpEndpoint, warnings: list[str]) -> None:
    if not endpoint.is_valid:
        raise ConfigurationError(f"{endpoint.variable}={shown(endpoint.address)[1:-1]}: {_URL_REQUIRED}")
    if endpoint.unused_part:
        source = f"{endpoint.variable}=" if endpoint.variable else "endpoint "
        warnings.append(f"{source}{without_secrets(endpoint.address)}: {endpoint.unused_part}")
