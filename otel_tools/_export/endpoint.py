"""OTLP endpoint rules of the OpenTelemetry specification: variables, defaults, address. Does not import the SDK.

Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import SplitResult, urlsplit, urlunsplit

from otel_tools._urls import without_secrets

__all__ = [
    "OTLP_PROTOCOLS",
    "SIGNALS",
    "OtlpEndpoint",
    "OtlpProtocol",
    "TelemetrySignal",
    "is_http_url",
    "otlp_endpoint",
    "otlp_protocol",
    "otlp_setting",
    "own_variable",
    "sdk_disabled",
]

TelemetrySignal = Literal["traces", "metrics", "logs"]
OtlpProtocol = Literal["http/protobuf", "grpc"]

SIGNALS: Final[tuple[TelemetrySignal, ...]] = get_args(TelemetrySignal)
OTLP_PROTOCOLS: Final[tuple[OtlpProtocol, ...]] = get_args(OtlpProtocol)

_DEFAULT_PROTOCOL: Final = "http/protobuf"
_DEFAULT_HTTP_ADDRESS: Final = "http://localhost:4318"
_DEFAULT_GRPC_ADDRESS: Final = "http://localhost:4317"

_SIGNAL_PATH: Final = re.compile(rf"/v1/(?:{'|'.join(SIGNALS)})/*$")
_GRPC_NAME: Final = re.compile(r"(?:dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):\S+")
"""An address in gRPC's own syntax, which its resolvers read."""


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
        """The full address: over HTTP the path of a base address gets ``/v1/{signal}``, once, before a query.

        The signal's own variable holds a full address already, and gRPC has no path.
        """
        if self.protocol == "grpc" or not self.is_base or not self.is_valid:
            return self.address
        parts = self._parts
        path = f"{_SIGNAL_PATH.sub('', parts.path).rstrip('/')}/v1/{self.signal}"
        return urlunsplit(parts._replace(path=path, fragment=""))

    @property
    def base_url(self) -> str:
        """A base URL that gives the same `url`, without its secrets; empty where there is none."""
        address = without_secrets(self.address)
        if _GRPC_NAME.fullmatch(address):
            return ""
        if self.protocol == "grpc":
            return address if is_http_url(address) else f"http{'s' * self.uses_tls}://{address}"
        if self.is_base:
            return address
        path = f"/v1/{self.signal}"
        return address.removesuffix(path) if address.endswith(path) else ""

    @property
    def is_base(self) -> bool:
        """Whether the address is a base address, to which the path of the signal is added."""
        return self.variable != own_variable(self.signal, "ENDPOINT")

    @property
    def is_valid(self) -> bool:
        """Whether an exporter can use the address: an HTTP URL, or for gRPC also ``HOST:PORT`` and gRPC's own names."""
        if self.protocol != "grpc":
            return is_http_url(self.address)
        if _GRPC_NAME.fullmatch(self.address):
            return True
        if "://" in self.address:
            return is_http_url(self.address)
        try:
            return not _has_spaces(self.address) and bool(self.host and self.port)
        except ValueError:
            return False

    @property
    def unused_part(self) -> str:
        """What of a valid address is not used, in words; empty where all of it is."""
        if _GRPC_NAME.fullmatch(self.address):
            return ""
        parts = self._parts
        if self.protocol == "grpc":
            unused = parts._replace(scheme="", netloc="", query="", fragment="").geturl().rstrip("/")
            if unused or parts.query:
                return f"gRPC sends no path: {unused or 'the query'} is not used"
            if "@" in parts.netloc:
                return "gRPC sends no user and password of a URL: use headers"
        elif self.is_base and (found := _SIGNAL_PATH.search(parts.path)):
            return f"a base URL gets the path of each signal: {found[0]} at its end is not used"
        return "what follows # is never sent" if parts.fragment else ""

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
    def uses_tls(self) -> bool:
        """Whether the exporter uses TLS: by the scheme; without one, unless ``OTEL_EXPORTER_OTLP_INSECURE`` is true."""
        if self._parts.scheme in {"http", "https"}:
            return self.is_secure
        return otlp_setting(self.signal, "INSECURE")[1].lower() != "true"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, by its name or address."""
        host = self.host.rstrip(".")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")
        return address.is_loopback or address.is_unspecified

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
        return OtlpEndpoint(signal, protocol, base.strip())
    variable, value = otlp_setting(signal, "ENDPOINT")
    default = _DEFAULT_GRPC_ADDRESS if protocol == "grpc" else _DEFAULT_HTTP_ADDRESS
    return OtlpEndpoint(signal, protocol, value or default, variable)


def otlp_protocol(signal: TelemetrySignal) -> tuple[str, str]:
    """The protocol of a signal and the variable that sets it; the variable is empty for the default.

    The signal's own variable wins over the general one. The protocol is in lower case and not checked against
    `OTLP_PROTOCOLS`.
    """
    variable, value = otlp_setting(signal, "PROTOCOL")
    return value.lower() or _DEFAULT_PROTOCOL, variable


def is_http_url(address: object) -> bool:
    """Whether a value is a URL with scheme ``http`` or ``https``, a host, and a port that exists where one is given."""
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
        _ = parts.port  # raises ValueError where it is no port
    except ValueError:
        return False
    # `urlsplit` ignores line breaks, which then stand in the address that is used.
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not _has_spaces(str(address))


def _has_spaces(address: str) -> bool:
    return any(character.isspace() or not character.isprintable() for character in address)


def _split(address: str) -> SplitResult:
    # HOST:PORT without a scheme would be split at the colon.
    return urlsplit(address if "//" in address else f"//{address}")


def own_variable(signal: TelemetrySignal, setting: str) -> str:
    """The variable of a setting, such as ``ENDPOINT``, for one signal alone."""
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}"


def otlp_setting(signal: TelemetrySignal, setting: str) -> tuple[str, str]:
    """The variable that decides a setting, and its value; empty texts where neither variable is set.

    The signal's own variable wins over the general one.
    """
    for variable in (own_variable(signal, setting), f"OTEL_EXPORTER_OTLP_{setting}"):
        if value := os.environ.get(variable, "").strip():
            return variable, value
    return "", ""
