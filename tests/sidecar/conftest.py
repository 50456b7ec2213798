"""The real sidecar for tests: built programs, shipped configs, free ports, short durations."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from otel_tools._sidecar.binaries import SIDECAR, find, find_all
from otel_tools._sidecar.ports import Ports
from tests.sidecar.controlled import ControlledSidecar

# Durations that are too long for a test. Everything else in the configs and rules is as shipped.
SHORT = {
    "scrape_interval: 10s": "scrape_interval: 1s",
    "scrape_timeout: 5s": "scrape_timeout: 1s",
    "evaluation_interval: 15s": "evaluation_interval: 1s",
    "[5m]": "[10s]",
    "[1h]": "[60s]",
    "for: 1m": "for: 2s",
    "for: 2m": "for: 10s",
    "group_wait: 10s": "group_wait: 1s",
    "group_wait: 30s": "group_wait: 1s",
    "group_interval: 1m": "group_interval: 1s",
    "group_interval: 5m": "group_interval: 1s",
}


def _missing(names: list[str]) -> None:
    why = f"not built: {', '.join(names)} (otel-tools sidecar build --all)"
    if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1":
        pytest.fail(f"{why}, and OTEL_TOOLS_REQUIRE_SIDECAR=1 asks for them")
    pytest.skip(why)


class Binaries:
    """The paths of the sidecar's programs by name; a missing one skips the test, or fails it where it is required."""

    def __getitem__(self, name: str) -> Path:
        path = find(name)
        if path is None:
            _missing([name])
        assert path is not None
        return path

    def all(self) -> dict[str, Path]:
        """The path of each component's program."""
        found = find_all()
        if missing := [name for name in SIDECAR if name not in found]:
            _missing(missing)
        return found


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    return Binaries()


class Webhook:
    """A server that collects the messages of Alertmanager."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/alerts"
        self.messages: list[dict[str, Any]] = []

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert of every message, in the order of arrival, each with status, labels and annotations."""
        return [alert for message in list(self.messages) for alert in message["alerts"]]

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], within: float) -> dict[str, Any]:
        """Wait for the first alert that matches."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for alert in self.alerts():
                if wanted(alert):
                    return alert
            time.sleep(0.1)
        pytest.fail(f"no such alert within {within:g} s; arrived: {json.dumps(self.alerts(), indent=2)}")


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.messages.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook = Webhook(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield hook
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def sidecar(
    binaries: Binaries, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlledSidecar]:
    """One sidecar for the whole session. A test that kills a program waits until it is healthy again."""
    with ControlledSidecar(
        ports=Ports.free(),
        folder=tmp_path_factory.mktemp("sidecar"),
        binaries=binaries.all(),
        alert_webhook=webhook.url,
        replace=SHORT,
    ) as running:
        yield running
