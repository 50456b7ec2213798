"""Checks of an OTLP endpoint: whether an exporter can use it, is on this machine, accepts connections."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from otel_tools._export.endpoint import OTLP_PROTOCOLS, otlp_endpoint, otlp_protocol

if TYPE_CHECKING:
    from otel_tools._export.endpoint import OtlpEndpoint, TelemetrySignal

_CONNECT_TIMEOUT = 2.0  # seconds


def configured_endpoint(signal: TelemetrySignal) -> OtlpEndpoint:
    """The endpoint of a signal by the ``OTEL_*`` variables."""
    protocol, _ = otlp_protocol(signal)
    return otlp_endpoint(signal, protocol)


def endpoint_problem(endpoint: OtlpEndpoint) -> str:
    """Why the endpoint cannot be used and what to do, separated by a colon; empty where it can be used."""
    if endpoint.protocol not in OTLP_PROTOCOLS:
        choice = " or ".join(OTLP_PROTOCOLS)
        return f"OTEL_EXPORTER_OTLP_PROTOCOL={endpoint.protocol} is not supported: unset it, or choose {choice}"
    if endpoint.is_valid:
        return ""
    return f"{endpoint.variable}={endpoint.address} is no address: unset it, or write it as http://127.0.0.1:4318"


def is_local(endpoint: OtlpEndpoint) -> bool:
    """Whether the endpoint's host is this machine."""
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return endpoint.host == "localhost"


def connection_error(endpoint: OtlpEndpoint) -> str:
    """Try to connect. The error's text; empty where the connection succeeds."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), _CONNECT_TIMEOUT).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
