"""OTLP endpoint rules of the OpenTelemetry specification: variables, defaults, address. Does not import the SDK.

Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import SplitResult, urlsplit

__all__ = [
    "OTLP_PROTOCOLS",
    "OtlpEndpoint",
    "OtlpProtocol",
    "TelemetrySignal",
    "is_http_url",
    "otlp_endpoint",
    "otlp_protocol",
    "sdk_disabled",
]

TelemetrySignal = Literal["traces", "metrics", "logs"]
OtlpProtocol = Literal["http/protobuf", "grpc"]

OTLP_PROTOCOLS: Final[tuple[OtlpProtocol, ...]] = get_args(OtlpProtocol)

_DEFAULT_PROTOCOL: Final = "http/protobuf"
_DEFAULT_HTTP_ADDRESS: Final = "http://localhost:4318"
_DEFAULT_GRPC_ADDRESS: Final = "http://localhost:4317"


def sdk_disabled() -> bool:
    """Whether ``OTEL_SDK_DISABLED`` switches all telemetry off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


@dataclass(frozen=True, slots=True)
class OtlpEndpoint:
    """The address to which one signal is exported.

    Attributes:
        signal: ``traces``, ``metrics`` or ``logs``.
        protocol: As in ``OTEL_EXPORTER_OTLP_PROTOCOL``, in lower case; may be one that is not supported.
        address: The value of the variable, the base URL given in code, or the default.
        variable: The variable that sets the address; empty where no variable does.
    """

    signal: TelemetrySignal
    protocol: str
    address: str
    variable: str = ""

    @property
    def url(self) -> str:
        """The full address: over HTTP a base address gets the path ``/v1/{signal}``.

        The signal's own variable holds a full address already, and gRPC has no path.
        """
        if self.protocol == "grpc" or self.variable == _own_variable(self.signal, "ENDPOINT"):
            return self.address
        return f"{self.address.rstrip('/')}/v1/{self.signal}"

    @property
    def is_valid(self) -> bool:
        """Whether an exporter can use the address: an HTTP URL, or for gRPC also ``HOST:PORT``."""
        if self.protocol != "grpc":
            return is_http_url(self.address)
        try:
            return bool(self.host and self.port)
        except ValueError:
            return False

    @property
    def host(self) -> str:
        """The host name; empty where the address has none.

        Raises:
            ValueError: The address cannot be parsed.
        """
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        """The port of the address, else the default port of its scheme.

        Raises:
            ValueError: The port is not a number from 0 to 65535.
        """
        return self._parts.port or (443 if self.is_secure else 80)

    @property
    def is_secure(self) -> bool:
        """Whether the address asks for TLS."""
        return self._parts.scheme == "https"

    @property
    def _parts(self) -> SplitResult:
        return _split(self.address)


def otlp_endpoint(signal: TelemetrySignal, protocol: str, *, base: str | None = None) -> OtlpEndpoint:
    """The endpoint of a signal: the base URL, else the signal's own variable, else the general one, else the default.

    Args:
        signal: The signal.
        protocol: How it is sent; see `otlp_protocol`.
        base: Base URL given in code; wins over every variable.
    """
    if base is not None:
        return OtlpEndpoint(signal, protocol, base)
    variable, value = _first_set(signal, "ENDPOINT")
    default = _DEFAULT_GRPC_ADDRESS if protocol == "grpc" else _DEFAULT_HTTP_ADDRESS
    return OtlpEndpoint(signal, protocol, value or default, variable)


def otlp_protocol(signal: TelemetrySignal) -> tuple[str, str]:
    """The protocol of a signal and the variable that sets it; the variable is empty for the default.

    The signal's own variable wins over the general one. The protocol is in lower case and not checked against
    `OTLP_PROTOCOLS`.
    """
    variable, value = _first_set(signal, "PROTOCOL")
    return value.lower() or _DEFAULT_PROTOCOL, variable


def is_http_url(address: object) -> bool:
    """Whether a value is a URL with scheme ``http`` or ``https``, a host, and a port that exists where one is given."""
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
        _ = parts.port  # raises ValueError where it is no port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _split(address: str) -> SplitResult:
    # HOST:PORT without a scheme would be split at the colon.
    return urlsplit(address if "//" in address else f"//{address}")


def _own_variable(signal: TelemetrySignal, setting: str) -> str:
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}"


def _first_set(signal: TelemetrySignal, setting: str) -> tuple[str, str]:
    """The variable that decides a setting, and its value; empty texts where neither variable is set."""
    for variable in (_own_variable(signal, setting), f"OTEL_EXPORTER_OTLP_{setting}"):
        if value := os.environ.get(variable, "").strip():
            return variable, value
    return "", ""
