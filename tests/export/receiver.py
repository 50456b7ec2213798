"""OTLP receivers, HTTP and gRPC, on free loopback ports. Each can be set to fail as real collectors do."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import grpc  # type: ignore[import-untyped] # it has no types of its own
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.export.received import Received, Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

Answer = Literal["ok", "refuse", "overloaded", "hang"]

_STATUS: Final[dict[str, int]] = {"ok": 200, "refuse": 500, "overloaded": 503}
_MESSAGES: Final[dict[str, tuple[Callable[[], Any], Callable[[], Any]]]] = {
    "/v1/traces": (trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse),
    "/v1/metrics": (metrics_service_pb2.ExportMetricsServiceRequest, metrics_service_pb2.ExportMetricsServiceResponse),
    "/v1/logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse),
}
_ADD_TO_SERVER: Final[dict[str, Callable[[Any, Any], None]]] = {
    "/v1/traces": trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
    "/v1/metrics": metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
    "/v1/logs": logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
}
_REJECTED: Final = {
    "/v1/traces": "rejected_spans",
    "/v1/metrics": "rejected_data_points",
    "/v1/logs": "rejected_log_records",
}
_DECODE: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


def free_port() -> int:
    """The number of a loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def response_to(path: str, rejected: Mapping[str, tuple[int, str]]) -> Any:
    """The answer to a request that is taken, with the items that are rejected and why."""
    response = _MESSAGES[path][1]()
    if path in rejected:
        count, response.partial_success.error_message = rejected[path]
        setattr(response.partial_success, _REJECTED[path], count)
    return response


class HttpReceiver(Received):
    """OTLP over HTTP/1.1 with keep-alive.

    Args:
        answer: ``ok``; ``refuse`` with 500; be ``overloaded`` with 503, which exporters retry; or ``hang``: take the
            request and never answer. Can be changed while it runs; what is not answered ``ok`` is not counted as seen.
        port: Where to listen; a free port by default.
        tls: For HTTPS.

    Attributes:
        statuses: Status of the answer by path, in place of 200.
        headers: Headers of each answer.
        rejected: By path, the number of items of each request that are said to be rejected, and why.
        hold: Paths whose requests are taken and answered once `go_on` is set.
        go_on: See `hold`.
    """

    def __init__(self, answer: Answer = "ok", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.answer: Answer = answer
        self.statuses: dict[str, int] = {}
        self.headers: dict[str, str] = {}
        self.rejected: dict[str, tuple[int, str]] = {}
        self.hold: set[str] = set()
        self.go_on = threading.Event()
        self.attempts: list[Request] = []
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler_of(self))
        self.port = int(self._server.server_address[1])
        self.url = f"http{'s' * bool(tls)}://127.0.0.1:{self.port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.go_on.set()
        self._server.shutdown()
        self.disconnect()
        self._server.server_close()
        self._thread.join()

    def disconnect(self) -> None:
        """Close the connections of all clients, as load balancers do with those that are idle."""
        for connection in list(self._open):
            # Wakes up a handler that waits for the next request.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def connected(self, connection: socket.socket, *, on: bool) -> None:
        """Note that a client has connected or disconnected."""
        (self._open.add if on else self._open.discard)(connection)

    def take(self, request: Request, body: bytes) -> tuple[int, bytes]:
        """Answer a request; the status and body of the answer."""
        self.attempts.append(request)
        if request.path in self.hold:
            self.go_on.wait()
        if self.answer == "hang":
            self._ended.wait()
        if self.answer != "ok":
            return _STATUS.get(self.answer, 500), b""
        path = request.path.partition("?")[0]
        if path in self.statuses:
            return self.statuses[path], b""
        message = _MESSAGES[path][0]()
        message.ParseFromString(_DECODE.get(request.headers.get("content-encoding", ""), bytes)(body))
        self.add(replace(request, path=path), message)
        return 200, bytes(response_to(path, self.rejected).SerializeToString())


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 64


def _handler_of(receiver: HttpReceiver) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one class with its methods
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            receiver.connected(self.connection, on=True)

        def finish(self) -> None:
            receiver.connected(self.connection, on=False)
            super().finish()

        def do_POST(self) -> None:
            try:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                status, answer = receiver.take(Request(self.path, headers, str(self.client_address)), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                for name, value in {"Content-Type": "application/x-protobuf", **receiver.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
            except ConnectionError:
                self.close_connection = True
            except Exception as error:
                receiver.problems.append(f"{self.requestline!r}: {error!r}")
                self.close_connection = True

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            # Called for malformed requests, as two processes on one connection would send.
            receiver.problems.append(f"{code} {message}: {getattr(self, 'raw_requestline', b'')!r}")
            super().send_error(code, message, explain)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            """Write no line for each request."""

    return Handler


class GrpcReceiver(Received):
    """OTLP over gRPC.

    Args:
        answer: ``ok``, ``overloaded`` (UNAVAILABLE, which exporters retry), ``refuse`` (INTERNAL) or ``hang``.
        port: Where to listen; a free port by default.
        credentials: For TLS.

    Attributes:
        codes: Status of the answer by the path that HTTP has.
        rejected: By path, the number of items of each request that are said to be rejected, and why.
        hold: Paths whose requests are taken and answered once `go_on` is set.
        go_on: See `hold`.
    """

    def __init__(self, answer: Answer = "ok", port: int = 0, credentials: grpc.ServerCredentials | None = None) -> None:
        super().__init__()
        self.answer: Answer = answer
        self.codes: dict[str, grpc.StatusCode] = {}
        self.rejected: dict[str, tuple[int, str]] = {}
        self.hold: set[str] = set()
        self.go_on = threading.Event()
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(16)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        for path, add in _ADD_TO_SERVER.items():
            add(_servicer(self, path), self._server)
        if credentials is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.url = f"http{'s' * bool(credentials)}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.go_on.set()
        self._server.stop(grace=None).wait()
        self._pool.shutdown()

    def take(self, path: str, message: Any, context: grpc.ServicerContext) -> None:
        """Answer one request, or fail it."""
        if path in self.hold:
            self.go_on.wait()
        if self.answer == "hang":
            self._ended.wait()
        if self.answer != "ok":
            context.abort(
                grpc.StatusCode.UNAVAILABLE if self.answer == "overloaded" else grpc.StatusCode.INTERNAL, "no"
            )
        if path in self.codes:
            context.abort(self.codes[path], "no")
        headers = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.add(Request(path, headers, context.peer()), message)


def _servicer(receiver: GrpcReceiver, path: str) -> Any:
    class Servicer:
        def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - gRPC's name
            receiver.take(path, request, context)
            return response_to(path, receiver.rejected)

    return Servicer()
