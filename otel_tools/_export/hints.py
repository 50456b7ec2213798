"""What the error of a connection most likely means, where its own words do not say it."""

from __future__ import annotations

from typing import Final

__all__ = ["with_hint"]

_GRPC_PORT: Final = 4317

_SPEAKS_GRPC: Final = (
    "this looks like a gRPC port: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or send to the HTTP port, which is mostly 4318"
)
_SPEAKS_HTTP: Final = (
    "this looks like an HTTP port: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or send to the gRPC port, which is "
    "mostly 4317"
)
_NO_TLS: Final = "this port does not speak TLS: write http:// instead of https://"


def with_hint(error: str, protocol: str, port: int | None) -> str:
    """The text of an error, after what it most likely means.

    Args:
        error: The text.
        protocol: ``http/protobuf`` or ``grpc``.
        port: The port of the address; None where it is not known.
    """
    hint = _hint(error, protocol, port)
    return f"{hint} ({error})" if hint else error


def _hint(error: str, protocol: str, port: int | None) -> str:
    if "WRONG_VERSION_NUMBER" in error:
        return _NO_TLS
    if protocol == "grpc":
        # Of gRPC's own client, about the first bytes of the answer.
        return _SPEAKS_HTTP if "http1.x server" in error or "Expected SETTINGS frame" in error else ""
    # A gRPC server answers HTTP/1.1 in HTTP/2, or ends the connection without an answer.
    ended = "Connection aborted" in error or "without response" in error
    return _SPEAKS_GRPC if "BadStatusLine" in error or (ended and port == _GRPC_PORT) else ""
