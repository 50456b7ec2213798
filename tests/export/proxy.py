"""A proxy on loopback that counts the connections to it and forwards nothing."""

from __future__ import annotations

import socket
import threading
from typing import Self

__all__ = ["CountingProxy"]


class CountingProxy:
    """Accepts connections, reads what comes first and answers 502.

    Attributes:
        url: Its address.
        first_lines: The first line of each request.
    """

    def __init__(self) -> None:
        self.first_lines: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self.first_lines.append(connection.recv(4096).split(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
