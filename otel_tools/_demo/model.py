"""The scripted model's server: OpenAI-compatible HTTP on loopback, for where there is no real model."""

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
from otel_tools._demo.script import Mind, reply
from otel_tools._demo.wire import MODEL, BadRequest, Event

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
        mind: decides what the model says; it plays the demo's script by default.
    """

    def __init__(self, mind: Mind = reply) -> None:
        self._server = _Server(("127.0.0.1", 0), self.routes(mind))
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="scripted-model")

    def routes(self, mind: Mind) -> dict[str, Endpoint]:
        """The endpoints by method and path; a path that ends with a slash takes every path below it.

        Args:
            mind: decides what the model says.
        """
        return {
            "POST /v1/chat/completions": lambda _path, body: chat.complete(body, mind),
            "GET /v1/models": lambda _path, _body: _MODELS,
        }

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

    def __init__(self, address: tuple[str, int], routes: dict[str, Endpoint]) -> None:
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        self._routes = routes
        super().__init__(address, _Handler)

    def endpoint(self, method: str, path: str) -> Endpoint:
        """What answers requests for a path.

        Raises:
            BadRequest: nothing does.
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

    def hang_up(self) -> None:
        """End the connections that clients keep alive: each has a thread that waits for the next request."""
        with self._lock:
            for connection in self._connections:
                # It fails where the client was faster.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept alive, as the client expects
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        # A client that has heard enough of a stream hangs up.
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
        """Say nothing: the terminal is the demo's."""
