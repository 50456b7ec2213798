"""What to do about the answer of an endpoint that did not take telemetry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_tools._export.signals import SignalExport

__all__ = ["fix_of"]

_GRPC_PORT = 4317
_HTTP_PORT = 4318


def fix_of(reason: str, export: SignalExport) -> str:
    """What to do, by the words of the answer.

    Args:
        reason: why the telemetry was not taken.
        export: how it was sent.
    """
    for pattern, fix in _FIXES:
        if re.search(pattern, reason, re.IGNORECASE):
            return fix.format(other=_other(export))
    return "see the log of what listens there"


def _other(export: SignalExport) -> str:
    if export.endpoint.protocol == "grpc":
        return f"export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use the port of gRPC, often {_GRPC_PORT}"
    return f"export OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the port of HTTP, often {_HTTP_PORT}"


_CERTIFICATE = (
    "OTEL_EXPORTER_OTLP_CERTIFICATE=FILE names the authority that signed the server's certificate; renew one that has "
    "expired; write http:// where there is no TLS"
)
_FIXES = (
    (r"looks like an? (?:gRPC|HTTP) port", "{other}"),
    (r"certificate|\bssl\b|\btls\b", _CERTIFICATE),
    (r"HTTP 401|HTTP 403|UNAUTHENTICATED|PERMISSION_DENIED", "give the credentials in OTEL_EXPORTER_OTLP_HEADERS"),
    (r"redirects to", "send to the address that it names: export OTEL_EXPORTER_OTLP_ENDPOINT=URL"),
    (r"through the proxy", "export NO_PROXY=HOST, if the endpoint can be reached without the proxy"),
    (r"BadStatusLine|RemoteDisconnected|Connection aborted|Shutdown in progress|INTERNAL", "{other}"),
    (r"HTTP 404|HTTP 405|UNIMPLEMENTED", "look at the path of the address: OTLP over HTTP ends in /v1/traces, once"),
    (r"HTTP 413", "let the collector take larger requests"),
    (r"HTTP 429|HTTP 5\d\d|UNAVAILABLE|RESOURCE_EXHAUSTED", "see the log of what listens there: it is overloaded"),
)
