"""Where the ``OTEL_*`` variables send telemetry."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

Signal = Literal["traces", "metrics"]

_PROTOCOLS = ("http/protobuf", "grpc")
_CONNECT_WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one signal goes.

    Attributes:
        signal: traces or metrics.
        protocol: as ``OTEL_EXPORTER_OTLP_PROTOCOL`` has it.
        url: the whole address.
        variable: the variable that says so; empty where it is the default.
        given: its value.
    """

    signal: Signal
    protocol: str
    url: str
    variable: str
    given: str

    @classmethod
    def of(cls, signal: Signal) -> Endpoint:
        """The endpoint by OpenTelemetry's rules: the signal's own variable, the general one, the default."""
        name = signal.upper()
        protocol = _first(f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")[1]
        protocol = protocol or "http/protobuf"
        own, general = f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
        variable, given = _first(own, general)
        if protocol == "grpc":
            return cls(signal, protocol, given or "http://localhost:4317", variable, given)
        # The general one is a base address.
        base = (given or "http://localhost:4318").rstrip("/")
        return cls(signal, protocol, given if variable == own else f"{base}/v1/{signal}", variable, given)

    @property
    def wrong(self) -> str:
        """What is wrong with it and what to do, parted by a colon; empty when it can be used."""
        if self.protocol not in _PROTOCOLS:
            choice = " or ".join(_PROTOCOLS)
            return f"OTEL_EXPORTER_OTLP_PROTOCOL={self.protocol} is not supported: unset it, or choose {choice}"
        try:
            good = bool(self.host and self.port)
        except ValueError:
            good = False
        # Over gRPC an address without a scheme is usual.
        if self.protocol != "grpc":
            good = good and self._parts.scheme in ("http", "https")
        return (
            ""
            if good
            else f"{self.variable}={self.given} is no address: unset it, or write it as http://127.0.0.1:4318"
        )

    @property
    def host(self) -> str:
        """The host name."""
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, given or that of the scheme."""
        return self._parts.port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""
        return self._parts.scheme == "https"

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def unreachable(self) -> str:
        """Why no connection can be made, in words; empty when one can."""
        try:
            socket.create_connection((self.host, self.port), _CONNECT_WITHIN).close()
        except OSError as error:
            return error.strerror or str(error)
        return ""

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url if "//" in self.url else f"//{self.url}")


def _first(*names: str) -> tuple[str, str]:
    return next(((name, value) for name in names if (value := os.environ.get(name, "").strip())), ("", ""))
