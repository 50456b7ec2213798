"""The scripted model's server: OpenAI-compatible HTTP on loopback, for where there is no real model."""

import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, ClassVar, Self

from otel_tools.demo import chat
from otel_tools.demo.chat import BadRequest

Endpoint = Callable[[bytes], dict[str, Any]]


class ScriptedModel:
    """The server, running while the `with` block does.

    ```python
    with ScriptedModel() as server, OpenAI(base_url=server.base_url, api_key="none") as client:
        client.chat.completions.create(model="scripted", ...)
    ```
    """

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="scripted-model")

    @property
    def base_url(self) -> str:
        """What the OpenAI client takes as `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()  # waits for the connections' threads


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep alive: each has a thread that waits for the next request."""
        with self._lock:
            for connection in self._connections:
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept alive, as the client expects
    disable_nagle_algorithm = True
    endpoints: ClassVar[dict[str, Endpoint]] = {"/v1/chat/completions": chat.complete}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        endpoint = self.endpoints.get(self.path)
        if endpoint is None:
            self._refuse(_unknown("POST", self.path, *self.endpoints))
            return
        try:
            self._send(HTTPStatus.OK, endpoint(body))
        except BadRequest as error:
            self._refuse(error)

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            model = {"id": chat.MODEL, "object": "model", "created": 0, "owned_by": "otel_tools"}
            self._send(HTTPStatus.OK, {"object": "list", "data": [model]})
        else:
            self._refuse(_unknown("GET", self.path, "/v1/models"))

    def _refuse(self, error: BadRequest) -> None:
        self._send(error.status, error.body)

    def _send(self, status: int, payload: dict[str, Any]) -> None:
        body = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing: the terminal is the demo's."""


def _unknown(method: str, path: str, *known: str) -> BadRequest:
    return BadRequest(
        f"Unknown URL ({method} {path}); this server has {', '.join(known)}.", status=HTTPStatus.NOT_FOUND
    )
