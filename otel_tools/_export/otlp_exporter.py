"""Exports the batches of one signal by OTLP: encodes, sends, and tries again what may succeed later."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_tools._export.answers import Answer
from otel_tools._export.encoding import Encoder

if TYPE_CHECKING:
    from otel_tools._export.signals import SignalExport

__all__ = ["OtlpExporter"]

_MAX_ATTEMPTS: Final = 6
_JITTER: Final = 0.2


class _Transport(Protocol):
    def prepare(self, data: bytes) -> bytes: ...

    def send(self, body: bytes, timeout: float) -> Answer: ...

    def close(self) -> None: ...


class OtlpExporter:
    """Exports by OTLP, over HTTP or gRPC.

    Args:
        export: How the signal is exported.

    Attributes:
        signal: ``traces``, ``metrics`` or ``logs``.
    """

    def __init__(self, export: SignalExport) -> None:
        self.signal = export.signal
        self._encoder = Encoder(export.signal)
        self._timeout = export.options.timeout
        self._transport = _transport(export)
        self._ended = threading.Event()

    def export(self, batch: Any) -> Answer:
        """Send a batch: spans, log records or ``MetricsData``.

        Returns:
            The collector's answer. Items that cannot be encoded count as rejected.
        """
        encoded = self._encoder.encode(batch)
        if encoded.message is None:
            return Answer(delivered=False, reason=encoded.reason)
        answer = self._send(self._transport.prepare(encoded.message.SerializeToString()))
        if encoded.lost and answer.delivered:
            reason = f"{answer.reason}; {encoded.reason}" if answer.reason else encoded.reason
            return replace(answer, rejected=answer.rejected + encoded.lost, reason=reason)
        return answer

    def shutdown(self) -> None:
        """Try nothing again, and close the connections."""
        self._ended.set()
        self._transport.close()

    def _send(self, body: bytes) -> Answer:
        if self._ended.is_set():
            return Answer(delivered=False, reason="the exporter has ended")
        deadline = time.monotonic() + self._timeout
        answer = self._transport.send(body, self._timeout)
        for attempt in range(_MAX_ATTEMPTS - 1):
            if not answer.retryable:
                break
            wait = 2**attempt * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            if answer.retry_after is not None:
                wait = answer.retry_after
            if wait > deadline - time.monotonic() or self._ended.wait(wait):
                break
            answer = self._transport.send(body, max(0.001, deadline - time.monotonic()))
        return answer


def _transport(export: SignalExport) -> _Transport:
    # Only the one in use is imported: gRPC is heavy.
    if export.endpoint.protocol == "grpc":
        from otel_tools._export.grpc_transport import GrpcTransport  # noqa: PLC0415 - as above

        return GrpcTransport(export)
    from otel_tools._export.http_transport import HttpTransport  # noqa: PLC0415 - as above

    return HttpTransport(export)
