"""The endpoints that the ``OTEL_*`` variables configure."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

Signal = Literal["traces", "metrics"]

_PROTOCOLS = ("http/protobuf", "grpc")
_CONNECT_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of one signal.

    Attributes:
        signal: traces or metrics.
        protocol: ``http/protobuf`` or ``grpc``, or another text that ``OTEL_EXPORTER_OTLP_PROTOCOL`` has.
        url: the full URL.
        variable: the variable that sets it; empty for the default.
        value: the variable's value; empty for the default.
    """

    signal: Signal
    protocol: str
    url: str
    variable: str
    value: str

    @classmethod
    def of(cls, signal: Signal) -> Endpoint:
        """The endpoint by OpenTelemetry's rules: the signal's own variable, else the general one, else the default."""
        name = signal.upper()
        protocol = _first(f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")[1]
        protocol = protocol or "http/protobuf"
        own, general = f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
        variable, value = _first(own, general)
        if protocol == "grpc":
            return cls(signal, protocol, value or "http://localhost:4317", variable, value)
        # The general one is a base address.
        base = (value or "http://localhost:4318").rstrip("/")
        return cls(signal, protocol, value if variable == own else f"{base}/v1/{signal}", variable, value)

    @property
    def problem(self) -> str:
        """Why the endpoint cannot be used and what to do, separated by a colon; empty where it can be used."""
        if self.protocol not in _PROTOCOLS:
            choice = " or ".join(_PROTOCOLS)
            return f"OTEL_EXPORTER_OTLP_PROTOCOL={self.protocol} is not supported: unset it, or choose {choice}"
        try:
            is_valid = bool(self.host and self.port)
        except ValueError:
            is_valid = False
        # A gRPC endpoint usually has no scheme.
        if self.protocol != "grpc":
            is_valid = is_valid and self._parts.scheme in ("http", "https")
        return (
            ""
            if is_valid
            else f"{self.variable}={self.value} is no address: unset it, or write it as http://127.0.0.1:4318"
        )

    @property
    def host(self) -> str:
        """The host name."""
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL, else the default port of its scheme."""
        return self._parts.port or (443 if self.uses_tls else 80)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection uses TLS."""
        return self._parts.scheme == "https"

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def connection_error(self) -> str:
        """Try to connect. The error's text; empty where the connection succeeds."""
        try:
            socket.create_connection((self.host, self.port), _CONNECT_TIMEOUT).close()
        except OSError as error:
            return error.strerror or str(error)
        return ""

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url if "//" in self.url else f"//{self.url}")


def _first(*names: str) -> tuple[str, str]:
    return next(((name, value) for name in names if (value := os.environ.get(name, "").strip())), ("", ""))
