"""Checks of an OTLP endpoint: whether it is on this machine, accepts connections, and has the same time."""

from __future__ import annotations

import http.client
import socket
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis.check import Check

if TYPE_CHECKING:
    from otel_tools._export.endpoint import OtlpEndpoint

_CONNECT_TIMEOUT = 2.0  # seconds
_MAX_CLOCK_DIFFERENCE = 60.0  # seconds


def is_local(endpoint: OtlpEndpoint) -> bool:
    """Whether the endpoint's host is this machine."""
    return endpoint.is_loopback


def connection_error(endpoint: OtlpEndpoint) -> str:
    """Try to connect. The error's text; empty where the connection succeeds."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), _CONNECT_TIMEOUT).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def check_clock(endpoint: OtlpEndpoint) -> Check | None:
    """Compare this machine's clock with that of a server that says its time; None where they agree, or it does not."""
    if endpoint.protocol == "grpc":
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
