"""What to do about the answer of an endpoint that did not take telemetry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_tools._cli.diagnosis.endpoints import use_address
from otel_tools._urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.signals import SignalExport

__all__ = ["fix_of", "without_credentials"]

_GRPC_PORT = 4317
_HTTP_PORT = 4318


def without_credentials(reason: str, export: SignalExport) -> str:
    """An answer without the values of the headers that were sent, which a server may repeat."""
    for _, value in export.headers or ():
        # Of "Bearer TOKEN" the token may stand alone.
        for secret in (value, value.rpartition(" ")[2]):
            reason = reason.replace(secret, "...") if secret else reason
    return reason


def fix_of(reason: str, export: SignalExport) -> str:
    """What to do, by the words of the answer.

    Args:
        reason: why the telemetry was not taken.
        export: how it was sent.
    """
    for pattern, fix in _FIXES:
        if found := re.search(pattern, reason, re.IGNORECASE):
            return fix if isinstance(fix, str) else fix(export, found)
    return "see the log of what listens there"


def _other_protocol(export: SignalExport, _: re.Match[str]) -> str:
    if export.endpoint.protocol == "grpc":
        return f"export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use the port of gRPC, often {_GRPC_PORT}"
    return f"export OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the port of HTTP, often {_HTTP_PORT}"


def _without_tls(export: SignalExport, _: re.Match[str]) -> str:
    address = without_secrets(export.endpoint.address).replace("https://", "http://", 1)
    return use_address(export.endpoint, address)


def _redirect(export: SignalExport, found: re.Match[str]) -> str:
    target = found[1].rstrip(",")
    if "://" not in target:
        return "send to the address that it names, if that is a collector"
    whole = f"export OTEL_EXPORTER_OTLP_{export.signal.upper()}_ENDPOINT={target}"
    base = target.removesuffix(f"/v1/{export.signal}")
    if base == target:
        return f"if that is a collector, send to the address that it names: {whole}"
    return (
        f"send to the address that it names: {use_address(export.endpoint, base) if export.endpoint.is_base else whole}"
    )


def _credentials(export: SignalExport, _: re.Match[str]) -> str:
    if not export.headers:
        return "give the credentials in OTEL_EXPORTER_OTLP_HEADERS, as authorization=Bearer%20TOKEN; none were sent"
    names = ", ".join(name for name, _ in export.headers)
    source = export.headers_variable or "--headers, or in OTEL_EXPORTER_OTLP_HEADERS"
    return f"is the value of {names} in {source} complete, and still valid?"


def _no_proxy(export: SignalExport, _: re.Match[str]) -> str:
    return f"export NO_PROXY={export.endpoint.host}, if it can be reached without the proxy"


_FIXES: Final[tuple[tuple[str, str | Callable[[SignalExport, re.Match[str]], str]], ...]] = (
    (r"looks like an? (?:gRPC|HTTP) port", _other_protocol),
    (r"does not speak TLS", _without_tls),
    (
        r"certificate has expired|certificate is not yet valid",
        "renew the server's certificate; if it is valid, set this machine's clock",
    ),
    (r"hostname mismatch|IP address mismatch|Peer name", "send to the name that the server's certificate is for"),
    (
        r"certificate|\bssl\b|\btls\b",
        "export OTEL_EXPORTER_OTLP_CERTIFICATE=FILE, the authority that signed the server's certificate",
    ),
    (r"HTTP 401|HTTP 403|UNAUTHENTICATED|PERMISSION_DENIED", _credentials),
    (r"HTTP 407|407 Proxy", "the proxy wants a user and a password, in the variable that names it"),
    (r"redirects to (\S+)", _redirect),
    (r"through the proxy", _no_proxy),
    (r"BadStatusLine|RemoteDisconnected|Connection aborted|Shutdown in progress|INTERNAL", _other_protocol),
    (r"HTTP 404|HTTP 405|UNIMPLEMENTED", "look at the path of the address: OTLP over HTTP ends in /v1/traces, once"),
    (r"HTTP 413", "let the collector take larger requests"),
    (r"HTTP 429|HTTP 5\d\d|UNAVAILABLE|RESOURCE_EXHAUSTED", "see the log of what listens there: it is overloaded"),
)
