"""A real redis-server for each test, which the test can kill and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


def free_ports(number: int = 1) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(number)]
        for probe in found:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in found]


class RedisServer:
    """A ``redis-server`` on a free port that keeps nothing on disk.

    Attributes:
        port: The port that it listens on.
        url: Its URL for redis-py.
    """

    def __init__(self, program: str, folder: Path, options: Sequence[str] = (), port: int | None = None) -> None:
        self.port = port or free_ports()[0]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        command = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        # A file of options comes first.
        self._command = [program, *filter(None, options[:1]), *command, *options[1:]]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, "redis-server did not start"
            assert self._process.poll() is None, "redis-server ended"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_redis(folder: Path, options: Sequence[str] = (), port: int | None = None) -> Iterator[RedisServer]:
    """A running, empty server; where there is none, the test is skipped, or fails.

    Args:
        folder: Where it may write.
        options: A file of options, or an empty text for none, and then options of the command line.
        port: The port to listen on; None for a free one.
    """
    program = shutil.which("redis-server")
    if program is None:
        why = "no redis-server in PATH"
        if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1":
            pytest.fail(f"{why}, and OTEL_TOOLS_REQUIRE_SIDECAR=1 asks for it")
        pytest.skip(why)
    server = RedisServer(program, folder, options, port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running, empty server for one test."""
    with running_redis(tmp_path) as server:
        yield server
