"""Routing and inhibition of alerts by the real Alertmanager with the shipped config."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from otel_tools._sidecar import http
from otel_tools._sidecar.configs import collector_dir
from otel_tools._sidecar.ports import Ports

CONFIG = collector_dir() / "alertmanager" / "alertmanager.yml"


def run(*command: str | Path) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)  # our own programs
    return done.returncode, done.stdout + done.stderr


def test_alertmanager_accepts_its_config(binaries: Mapping[str, Path]) -> None:
    code, output = run(binaries["amtool"], "check-config", CONFIG)
    assert code == 0, output


def test_alertmanager_refuses_a_broken_config(binaries: Mapping[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / CONFIG.name
    broken.write_text(CONFIG.read_text().replace("- name: webhook", "- name: other"))
    code, output = run(binaries["amtool"], "check-config", broken)
    assert code != 0
    assert 'undefined receiver "webhook"' in output


@pytest.mark.parametrize("labels", [["severity=critical"], ["severity=warning"], ["alertname=SomebodyElses"]])
def test_every_alert_is_sent_to_the_webhook(labels: list[str], binaries: Mapping[str, Path]) -> None:
    code, output = run(binaries["amtool"], "config", "routes", "test", f"--config.file={CONFIG}", *labels)
    assert code == 0, output
    assert output.split() == ["webhook"]


def until(done: Callable[[], object], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


class Running:
    """A real Alertmanager with the shipped config and short durations, and the messages at its webhook."""

    def __init__(self, amtool: Path, url: str, messages: list[dict[str, Any]]) -> None:
        self.amtool, self.url, self.messages = amtool, url, messages

    def fire(self, **labels: str) -> None:
        """Send an alert as Prometheus does."""
        code, output = run(
            self.amtool, f"--alertmanager.url={self.url}", "alert", "add", *(f"{k}={v}" for k, v in labels.items())
        )
        assert code == 0, output

    def inhibited(self) -> set[str]:
        """The ids of the inhibited alerts."""
        alerts = http.get_json(f"{self.url}/api/v2/alerts", 5)
        return {alert["labels"]["id"] for alert in alerts if alert["status"]["inhibitedBy"]}


@pytest.fixture
def messages() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The URL of a webhook and the messages that arrive there."""
    arrived: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/alerts", arrived
        server.shutdown()
        thread.join()


@pytest.fixture
def alertmanager(
    binaries: Mapping[str, Path], messages: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> Iterator[Running]:
    address, arrived = messages
    secret = tmp_path / "webhook-url"
    secret.write_text(f"{address}\n")
    text = CONFIG.read_text()
    for shipped, quick in (
        ("/etc/alertmanager/webhook-url", str(secret)),
        ("group_wait: 10s", "group_wait: 1s"),
        ("group_wait: 30s", "group_wait: 1s"),
    ):
        assert shipped in text
        text = text.replace(shipped, quick)
    config = tmp_path / "alertmanager.yml"
    config.write_text(text)
    listen = f"127.0.0.1:{Ports.free().alertmanager}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(  # our own program
            [
                binaries["alertmanager"],
                f"--config.file={config}",
                f"--storage.path={tmp_path / 'data'}",
                f"--web.listen-address={listen}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: http.healthy(f"http://{listen}/-/ready", 1))
        yield Running(binaries["amtool"], f"http://{listen}", arrived)
    finally:
        process.terminate()
        process.wait(60)


def test_one_message_has_all_firing_alerts_of_a_tool(alertmanager: Running) -> None:
    alertmanager.fire(id="1", alertname="ToolDown", severity="critical", service_name="a", gen_ai_tool_name="t")
    alertmanager.fire(id="2", alertname="Other", severity="critical", service_name="a", gen_ai_tool_name="t")
    alertmanager.fire(id="3", alertname="ToolDown", severity="critical", service_name="a", gen_ai_tool_name="u")
    until(lambda: len(alertmanager.messages) >= 2)
    together = {tuple(sorted(alert["labels"]["id"] for alert in m["alerts"])) for m in alertmanager.messages}
    assert together == {("1", "2"), ("3",)}
    assert {message["status"] for message in alertmanager.messages} == {"firing"}


def test_an_alert_is_inhibited_by_the_one_that_explains_it(alertmanager: Running) -> None:
    tool = {"service_name": "a", "gen_ai_tool_name": "t"}
    alertmanager.fire(id="down", alertname="ToolDown", severity="critical", **tool)
    for name, other in {
        "the same tool": {},
        "another service": {"service_name": "b"},
        "another tool": {"gen_ai_tool_name": "u"},
        "another environment": {"deployment_environment_name": "staging"},
    }.items():
        alertmanager.fire(id=name, alertname="ToolFailureRateHigh", severity="critical", **{**tool, **other})
    until(lambda: alertmanager.inhibited() == {"the same tool"})

    # A silent service inhibits the alerts about its tools, and no others.
    alertmanager.fire(id="silent", alertname="ToolTelemetryMissing", severity="warning", service_name="b")
    until(lambda: alertmanager.inhibited() == {"the same tool", "another service"})

    # While the sidecar is down no alert about a tool is worth a page.
    alertmanager.fire(id="blind", alertname="ToolTelemetryMissing", severity="critical", job="otel-tools")
    until(
        lambda: (
            alertmanager.inhibited()
            == {"down", "the same tool", "another service", "another tool", "another environment"}
        )
    )
