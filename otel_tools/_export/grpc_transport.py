"""Sends OTLP requests over gRPC, and says what the answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped] # it has no types of its own
from google.rpc.error_details_pb2 import RetryInfo

from otel_tools._export.answers import Answer, ResponseReader
from otel_tools._export.hints import with_hint
from otel_tools._export.otlp_options import Certificates, credential_provider
from otel_tools._version import __version__

if TYPE_CHECKING:
    from otel_tools._export.endpoint import OtlpEndpoint, TelemetrySignal
    from otel_tools._export.signals import SignalExport

__all__ = ["GrpcTransport"]

_METHODS: Final[dict[TelemetrySignal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
"""By the OTLP specification, and RESOURCE_EXHAUSTED, as the exporters of Python's SDK have it."""


class GrpcTransport:
    """One channel to one address.

    A proxy of the environment is not used for this machine.

    Args:
        export: How the signal is exported.
    """

    def __init__(self, export: SignalExport) -> None:
        endpoint = export.endpoint
        self._target = _target(endpoint)
        self._method = _METHODS[export.signal]
        self._reader = ResponseReader(export.signal)
        self._metadata = tuple((name.lower(), value) for name, value in export.headers or ())
        self._compression = (
            grpc.Compression.Gzip if export.options.compression == "gzip" else grpc.Compression.NoCompression
        )
        self._options: list[tuple[str, Any]] = [("grpc.primary_user_agent", f"otel_tools/{__version__}")]
        if endpoint.is_loopback:
            self._options.append(("grpc.enable_http_proxy", 0))
        self._credentials = None
        if endpoint.uses_tls:
            self._credentials = credential_provider(export.signal, "GRPC", grpc.ChannelCredentials) or _credentials(
                export.options.certificates
            )
        self._closed = False
        self._connect()

    def prepare(self, data: bytes) -> bytes:
        """The request as it is: gRPC compresses it."""
        return data

    def send(self, body: bytes, timeout: float) -> Answer:
        """Send one request.

        Args:
            body: The request.
            timeout: Seconds for all of it.
        """
        try:
            return self._reader.read(self._export(body, metadata=self._metadata, timeout=timeout))
        except grpc.RpcError as error:
            code = error.code().name
            said = f"gRPC {code}: {error.details()}"
            if code == "UNAVAILABLE" and not self._closed:
                # A channel may take long to notice that its address can be reached again.
                self._channel.close()
                self._connect()
            return Answer(
                delivered=False,
                reason="no answer before the end" if self._closed else with_hint(said, "grpc", None),
                retryable=code in _RETRYABLE,
                retry_after=_retry_delay(error),
                refused=code == "UNIMPLEMENTED",
                unanswered=self._closed and code == "CANCELLED",
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is lost
            return Answer(delivered=False, reason=str(error) or repr(error))

    def close(self) -> None:
        """Close the channel, which ends a request in progress."""
        self._closed = True
        self._channel.close()

    def _connect(self) -> None:
        if self._credentials is None:
            self._channel = grpc.insecure_channel(self._target, self._options, self._compression)
        else:
            self._channel = grpc.secure_channel(self._target, self._credentials, self._options, self._compression)
        # Without serializers, it takes and gives bytes.
        self._export = self._channel.unary_unary(self._method)


def _target(endpoint: OtlpEndpoint) -> str:
    parts = urlsplit(endpoint.address)
    if parts.scheme in {"http", "https"}:
        return parts.netloc.rpartition("@")[2]
    return endpoint.address


def _credentials(certificates: Certificates) -> Any:
    def read(path: str | None) -> bytes | None:
        if path is None:
            return None
        with open(path, "rb") as file:  # noqa: PTH123 - as the rest of the paths, it is a text
            return file.read()

    key = certificates.client_key or certificates.client
    return grpc.ssl_channel_credentials(read(certificates.authorities), read(key), read(certificates.client))


def _retry_delay(error: Any) -> float | None:
    """The seconds that the server asks to wait; None where it does not."""
    value = dict(error.trailing_metadata() or ()).get("google.rpc.retryinfo-bin")
    if value is None:
        return None
    delay = RetryInfo.FromString(value).retry_delay
    return float(delay.seconds + delay.nanos / 1e9)
