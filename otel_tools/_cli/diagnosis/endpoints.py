"""Checks of an OTLP endpoint: where it is, its path, whether it accepts connections, and has the same time."""

from __future__ import annotations

import http.client
import re
import socket
import time
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis.check import Check
from otel_tools._export.endpoint import otlp_endpoint
from otel_tools._urls import without_secrets

if TYPE_CHECKING:
    from otel_tools._export.endpoint import OtlpEndpoint

_CONNECT_TIMEOUT = 2.0  # seconds
_MAX_CLOCK_DIFFERENCE = 60.0  # seconds


def is_local(endpoint: OtlpEndpoint) -> bool:
    """Whether the endpoint's host is this machine."""
    return endpoint.is_loopback


def proxy_of(endpoint: OtlpEndpoint) -> str:
    """The URL of the proxy that stands before an endpoint; empty where none does, as for this machine."""
    if endpoint.is_loopback or not endpoint.host:
        return ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get("https" if endpoint.uses_tls else "http") or proxies.get("all") or ""
    if not proxy or urllib.request.proxy_bypass(f"{endpoint.host}:{endpoint.port}"):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def path_problem(endpoint: OtlpEndpoint) -> tuple[str, str]:
    """What is wrong with the path of a signal's own address, and the address that was most likely meant; else empty.

    A base address gets the path by itself, and `configure()` warns where it has one.
    """
    own_path, address = f"/v1/{endpoint.signal}", without_secrets(endpoint.url).rstrip("/")
    if endpoint.protocol == "grpc" or endpoint.is_base:
        return "", ""
    if not address.endswith(own_path):
        return f"{endpoint.variable} is a whole address, to which no {own_path} is added", address + own_path
    once = re.sub(rf"(?:{own_path}/*)+$", own_path, address)
    return ("", "") if once == address else (f"{own_path} is there twice", once)


def use_address(endpoint: OtlpEndpoint, address: str) -> str:
    """How to send to another address: by the variable that has it, or where `configure()` is called with it."""
    if endpoint.variable or endpoint.address == otlp_endpoint(endpoint.signal, endpoint.protocol).address:
        return f"export {endpoint.variable or 'OTEL_EXPORTER_OTLP_ENDPOINT'}={address}"
    return f"configure(endpoint={address!r})"


def connection_error(host: str, port: int) -> str:
    """Try to connect. The error's text; empty where the connection succeeds."""
    try:
        socket.create_connection((host, port), _CONNECT_TIMEOUT).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def check_clock(endpoint: OtlpEndpoint) -> Check | None:
    """Compare this machine's clock with that of a server that says its time; None where they agree, or it does not."""
    if endpoint.protocol == "grpc" or proxy_of(endpoint):
        return None
    connection_class = http.client.HTTPSConnection if endpoint.is_secure else http.client.HTTPConnection
    connection = connection_class(endpoint.host, endpoint.port, timeout=_CONNECT_TIMEOUT)
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("Date")
        difference = 0.0 if date is None else time.time() - parsedate_to_datetime(date).timestamp()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if abs(difference) < _MAX_CLOCK_DIFFERENCE:
        return None
    behind = "behind" if difference < 0 else "ahead of"
    return Check(
        "clock",
        "warning",
        f"this machine is {abs(difference):,.0f} s {behind} {endpoint.host}: spans appear at a wrong time",
        "set the clock, as by NTP",
    )
