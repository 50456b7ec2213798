"""The scripted model's server: an OpenAI-compatible HTTP API on loopback, for use without a real model."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from otel_tools._demo import chat
from otel_tools._demo.protocol import MODEL, BadRequest, Event
from otel_tools._demo.script import NextTurn, next_turn

Endpoint = Callable[[str, bytes], dict[str, Any] | Iterator[Event]]
"""Answers one request, given its path and body: a JSON object, or the events of a stream."""


_MODELS = {
    "object": "list",
    "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "otel_tools"}],
}


class ScriptedModel:
    """The server, running while the `with` block does.

    ```python
    with ScriptedModel() as server, OpenAI(base_url=server.base_url, api_key="none") as client:
        client.chat.completions.create(model="scripted", ...)
    ```

    It serves the chat completions API, whole or streamed, and the list of models. A subclass adds more in
    `routes`.

    Args:
        decide: decides each turn of the model; by default the demo's script.
    """

    def __init__(self, decide: NextTurn = next_turn) -> None:
        self._server = _Server(("127.0.0.1", 0), self.routes(decide))
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="scripted-model")

    def routes(self, decide: NextTurn) -> dict[str, Endpoint]:
        """The endpoints by method and path; a path that ends with a slash takes every path below it.

        Args:
            decide: decides each turn of the model.
        """
        return {
            "POST /v1/chat/completions": lambda _path, body: chat.complete(body, decide),
            "GET /v1/models": lambda _path, _body: _MODELS,
        }

    @property
    def base_url(self) -> str:
        """The server's address, as the OpenAI client takes it in `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()  # waits for the connections' threads


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, address: tuple[str, int], routes: dict[str, Endpoint]) -> None:
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        self._routes = routes
        super().__init__(address, _Handler)

    def endpoint(self, method: str, path: str) -> Endpoint:
        """The endpoint that answers requests for a path.

        Raises:
            BadRequest: there is none.
        """
        wanted = f"{method} {path}"
        for route, endpoint in self._routes.items():
            if wanted == route or (route.endswith("/") and wanted.startswith(route)):
                return endpoint
        known = ", ".join(route for route in self._routes if route.startswith(f"{method} "))
        raise BadRequest(f"Unknown URL ({wanted}); this server has {known}.", status=HTTPStatus.NOT_FOUND)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Close the connections that clients keep alive; the thread of each waits for the next request."""
        with self._lock:
            for connection in self._connections:
                # It fails where the client closed it first.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept alive, as the client expects
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        # A client may close the connection in the middle of a stream.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            answer = self.server.endpoint(self.command, self.path)(self.path, body)
        except BadRequest as error:
            self._send(error.status, error.body)
            return
        if isinstance(answer, dict):
            self._send(HTTPStatus.OK, answer)
        else:
            self._stream(answer)

    def _send(self, status: int, payload: dict[str, Any]) -> None:
        body = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events: Iterator[Event]) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for name, data in events:
            self._chunk(f"event: {name}\n" * (name is not None) + f"data: {json.dumps(data)}\n\n")
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        body = text.encode()
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Log nothing: the terminal shows the demo's own output."""
