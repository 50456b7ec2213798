"""The doctor: without a collector, with wrong settings, and with fake backends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

import grpc  # type: ignore[import-untyped]  # grpcio comes without types
import pytest

from otel_tools._sidecar.configs import alert_names

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def silent() -> str:
    """A URL where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def nowhere(silent: str) -> dict[str, str]:
    """Variables that set every address to one where nothing listens."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": silent,
        "OTEL_TOOLS_JAEGER_URL": silent,
        "OTEL_TOOLS_PROMETHEUS_URL": silent,
        "OTEL_TOOLS_ALERTMANAGER_URL": silent,
    }


@pytest.fixture
def refuses() -> Iterator[str]:
    """A server that refuses telemetry with status 401."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401, "who are you")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def checks(text: str) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(text)["checks"]}


def test_without_a_collector_every_check_on_the_way_fails_with_a_fix(
    run: Run, nowhere: dict[str, str], silent: str
) -> None:
    shown = run("doctor", code=1, variables=nowhere).stdout
    assert "Begin with the first one" in shown
    lines = shown.splitlines()
    failed = [number for number, line in enumerate(lines) if line.startswith("failed ")]
    assert [lines[number].split()[1] for number in failed] == [
        "collector", "jaeger", "prometheus", "alertmanager", "test", "test",
    ]  # fmt: skip
    assert all(lines[number + 1].strip().startswith("fix: ") for number in failed)
    assert f"nothing listens on {silent.removeprefix('http://')} (Connection refused)" in lines[failed[0]]
    assert "otel-tools sidecar up" in lines[failed[0] + 1]
    assert "\x1b" not in shown


def test_json_has_the_same_checks(run: Run, nowhere: dict[str, str]) -> None:
    done = run("doctor", "--json", code=1, variables=nowhere)
    assert json.loads(done.stdout)["ok"] is False
    found = checks(done.stdout)
    assert found["python"]["status"] == found["packages"]["status"] == "ok"
    assert found["traces"]["detail"].endswith("/v1/traces (http/protobuf, set by OTEL_EXPORTER_OTLP_ENDPOINT)")
    for name in ("collector", "jaeger", "prometheus", "alertmanager", "test span", "test metric"):
        assert found[name]["status"] == "failed"
        assert found[name]["fix"]


@pytest.mark.parametrize(
    ("variables", "name", "status", "detail", "fix"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "settings", "failed", "switches all telemetry off", "unset OTEL_SDK_DISABLED"),
        ({"OTEL_CONFIG_FILE": "x.yaml"}, "settings", "warning", "configure() steps aside", "unset OTEL_CONFIG_FILE"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "traces", "warning", "are not exported", "unset OTEL_TRACES_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "none"}, "metrics", "warning", "are not exported", "unset OTEL_METRICS_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "metrics", "failed", "_EXPORTER=prometheus", "write 'otlp'"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "traces", "warning", "go to console only", "OTEL_TRACES_EXPORTER=otlp"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "hunter2"}, "traces", "failed", "OTEL_EXPORTER_OTLP_HEADERS", "name=value"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "settings", "warning", "no trace is kept", "unset OTEL_TRACES_SAMPLER"),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.0"},
            "settings", "warning", "no trace is kept", "unset OTEL_TRACES_SAMPLER",
        ),
        (
            {
                "HTTP_PROXY": "http://u:hunter2@proxy.invalid:3128", "NO_PROXY": "", "no_proxy": "",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318",
            },
            "settings", "warning", "through the proxy http://proxy.invalid:3128", "export NO_PROXY=collector.invalid",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "traces", "failed", "configure() refuses", "http://127.0.0.1"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1"}, "metrics", "failed", "configure() refuses", "http://127.0.0.1"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "traces", "failed", "PROTOCOL=http/json", "grpc"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318"},
            "collector", "failed", "collector.invalid:4318", "start the collector on collector.invalid",
        ),
    ],
)  # fmt: skip
def test_settings_that_stop_telemetry_are_reported(  # noqa: PLR0913, PLR0917  # a table's columns
    run: Run, nowhere: dict[str, str], variables: dict[str, str], name: str, status: str, detail: str, fix: str
) -> None:
    found = checks(run("doctor", "--json", code=1, variables={**nowhere, **variables}).stdout)[name]
    assert found["status"] == status
    assert detail in found["detail"]
    assert fix in found["fix"]
    assert "hunter2" not in str(found)


class Answering:
    """A server that answers every request in one way; over HTTP, or with the first bytes of a gRPC server."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response_only(status)
                for name, value in {"Date": self.date_time_string(), **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_HEAD = do_GET = _answer  # noqa: N815 - the names of http.server

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(
    ("status", "headers", "check", "result", "detail", "fix"),
    [
        (302, {"Location": "http://elsewhere/"}, "test span", "failed", "it redirects to http://elsewhere/", "names"),
        (308, {"Location": "http://elsewhere/"}, "test metric", "failed", "it redirects to", "names"),
        (401, {}, "test span", "failed", "HTTP 401", "OTEL_EXPORTER_OTLP_HEADERS"),
        (403, {}, "test metric", "failed", "HTTP 403", "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, {}, "test metric", "failed", "HTTP 404", "look at the path"),
        (413, {}, "test span", "failed", "HTTP 413", "larger"),
        (429, {}, "test span", "failed", "HTTP 429", "overloaded"),
        (503, {}, "test span", "failed", "HTTP 503", "overloaded"),
        (200, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, "clock", "warning", "ahead of 127.0.0.1", "NTP"),
        (200, {"Date": "Fri, 01 Jan 2100 00:00:00 GMT"}, "clock", "warning", "behind 127.0.0.1", "NTP"),
    ],
)
def test_what_an_endpoint_answers_is_named_with_what_to_do(  # noqa: PLR0913, PLR0917 - a table's columns
    run: Run,
    nowhere: dict[str, str],
    status: int,
    headers: dict[str, str],
    check: str,
    result: str,
    detail: str,
    fix: str,
) -> None:
    answering = Answering(status, headers)
    with contextlib.closing(answering):
        # As the line about losses prints it; it wins over the variables.
        done = run(
            "doctor", "--json", "--wait", "0", "--endpoint", answering.url, "--protocol", "http/protobuf",
            "--headers", "authorization=hunter2", code=1, variables=nowhere,
        )  # fmt: skip
    found = checks(done.stdout)
    assert found[check]["status"] == result
    assert detail in found[check]["detail"]
    assert fix in found[check]["fix"]
    assert found["traces"]["detail"] == f"go to {answering.url}/v1/traces (http/protobuf)"
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_port_of_the_other_protocol_is_named(run: Run, nowhere: dict[str, str], protocol: str) -> None:
    if protocol == "grpc":
        answering = Answering(200, {})
        url, close = answering.url, answering.close
    else:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        url, close = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", lambda: server.stop(None)
        server.start()
    try:
        done = run(
            "doctor", "--json", "--wait", "0", "--endpoint", url, "--protocol", protocol, code=1, variables=nowhere
        )
    finally:
        close()
    other = "http/protobuf" if protocol == "grpc" else "grpc"
    assert f"OTEL_EXPORTER_OTLP_PROTOCOL={other}" in checks(done.stdout)["test span"]["fix"]


@pytest.mark.parametrize("headers", ["hunter2", "authorization: Bearer hunter2"])
def test_malformed_headers_are_wrong_usage_and_are_not_repeated(run: Run, headers: str) -> None:
    done = run("doctor", "--headers", headers, code=2)

    assert "--headers" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_for_a_remote_collector_only_given_backends_are_checked(run: Run, silent: str) -> None:
    found = checks(
        run(
            "doctor", "--json", code=1, variables={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318"}
        ).stdout
    )
    assert found["jaeger"] == {
        "name": "jaeger",
        "status": "warning",
        "detail": "its address is not known: telemetry leaves this machine",
        "fix": "--jaeger URL",
    }
    given = run(
        "doctor",
        "--json",
        "--jaeger",
        silent,
        code=1,
        variables={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid"},
    )
    assert silent in checks(given.stdout)["jaeger"]["detail"]


def test_a_collector_that_refuses_telemetry_is_reported(run: Run, nowhere: dict[str, str], refuses: str) -> None:
    variables = {**nowhere, "OTEL_EXPORTER_OTLP_ENDPOINT": refuses}
    done = run("doctor", "--json", code=1, variables=variables)
    found = checks(done.stdout)
    assert found["collector"]["status"] == "ok"
    assert f"refused by {refuses}/v1/traces" in found["test span"]["detail"]
    assert "401" in found["test metric"]["detail"]
    assert done.stderr == ""  # OpenTelemetry's own log is in the finding, not on the terminal


class FakeBackends(Protocol):
    """Starts a server that accepts telemetry and answers in place of Jaeger, Prometheus and Alertmanager."""

    def __call__(self, answers: dict[str, Any]) -> dict[str, str]:
        """Start it; return the variables with its URL. ``answers`` are by the beginning of the path."""


@pytest.fixture
def fake_backends() -> Iterator[FakeBackends]:
    started: list[tuple[HTTPServer, Thread]] = []

    def start(answers: dict[str, Any]) -> dict[str, str]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(200, b"")

            def do_GET(self) -> None:
                found = [body for path, body in answers.items() if self.path.startswith(path)]
                self.answer(200, json.dumps(found[0]).encode()) if found else self.answer(404, b"not here")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        url = f"http://127.0.0.1:{server.server_port}"
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_TOOLS_JAEGER_URL": url,
            "OTEL_TOOLS_PROMETHEUS_URL": url,
            "OTEL_TOOLS_ALERTMANAGER_URL": url,
        }

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


READY: dict[str, Any] = {
    "/-/ready": "ready",
    "/api/v3/services": {"services": []},
    "/api/v1/query": {"data": {"result": []}},
    "/api/v1/alertmanagers": {"data": {"activeAlertmanagers": [{"url": "http://10.0.0.1:9093/api/v2/alerts"}]}},
}


def loaded(*broken: str, without: str = "", firing: str = "") -> dict[str, Any]:
    rules = [
        {
            "name": name,
            "health": "err" if name in broken else "ok",
            "lastError": "found duplicate series",
            "state": "firing" if name == firing else "inactive",
        }
        for name in alert_names()
        if name != without
    ]
    return {"data": {"groups": [{"rules": rules}]}}


def test_a_test_signal_that_does_not_arrive_in_time_is_reported(run: Run, fake_backends: FakeBackends) -> None:
    variables = fake_backends({**READY, "/api/v1/rules": loaded(firing="ToolDown")})
    found = checks(run("doctor", "--json", "--wait", "0.5", code=1, variables=variables).stdout)
    assert "Jaeger did not have it after 0.5 s" in found["test span"]["detail"]
    assert "Prometheus did not have it after 0.5 s" in found["test metric"]["detail"]
    assert "--wait 60" in found["test metric"]["fix"]
    assert found["alert rules"]["detail"].endswith("firing now: ToolDown")
    assert found["alert route"]["detail"] == "Prometheus sends alerts to http://10.0.0.1:9093"


@pytest.mark.parametrize(
    ("answers", "name", "detail"),
    [
        ({"/api/v1/rules": loaded(without="ToolDown")}, "alert rules", "Prometheus has no ToolDown"),
        ({"/api/v1/rules": loaded("ToolDown")}, "alert rules", "ToolDown cannot be evaluated: found duplicate series"),
        ({"/api/v1/rules": {"data": None}}, "alert rules", "does not answer as Prometheus does"),
        ({}, "alert rules", "answered 404: not here"),
        (
            {"/api/v1/rules": loaded(), "/api/v1/alertmanagers": {"data": {"activeAlertmanagers": []}}},
            "alert route",
            "alerts reach nobody",
        ),
    ],
)
def test_a_prometheus_without_working_alerts_is_reported(
    run: Run, fake_backends: FakeBackends, answers: dict[str, Any], name: str, detail: str
) -> None:
    variables = fake_backends({**READY, **answers})
    found = checks(run("doctor", "--json", "--wait", "0", code=1, variables=variables).stdout)
    assert found[name]["status"] == "failed"
    assert detail in found[name]["detail"]
    assert found[name]["fix"]


def test_a_server_that_is_no_jaeger_is_reported(run: Run, fake_backends: FakeBackends) -> None:
    variables = fake_backends({"/-/ready": "ready"})
    found = checks(run("doctor", "--json", "--wait", "0", code=1, variables=variables).stdout)
    assert "answers 404: not here" in found["jaeger"]["detail"]
    assert "there is no Jaeger to ask" in found["test span"]["detail"]


def test_on_a_terminal_it_folds_at_80_columns_and_shows_what_it_waits_for(
    run: Run, fake_backends: FakeBackends, state: Path
) -> None:
    variables = fake_backends({**READY, "/api/v1/rules": loaded()})
    shown, code = on_terminal(["doctor", "--wait", "1"], {**variables, "OTEL_TOOLS_STATE_DIR": str(state)})
    assert code == 1
    assert "waiting for the test span and the test metric, at most 1 s" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(len(line.rsplit("\r", 1)[-1].rstrip()) for line in plain.replace("\r\n", "\n").split("\n")) <= 80
    assert "\x1b[1;31mfailed" in shown  # in its colour
    uncoloured, _ = on_terminal(["doctor", "--wait", "0"], {**variables, "NO_COLOR": "1"})
    assert "31mfailed" not in uncoloured


def on_terminal(arguments: list[str], variables: dict[str, str]) -> tuple[str, int]:
    """Run the command on a terminal of 80 columns; return its output and exit code."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [sys.executable, "-m", "otel_tools", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**inherited, "TERM": "xterm-256color", **variables},
    ) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # Linux ends a terminal whose other side is closed with an error
            while part := os.read(controller, 4096):
                shown += part
        os.close(controller)
    return shown.decode(), process.returncode


def test_ctrl_c_ends_the_wait(fake_backends: FakeBackends) -> None:
    variables = fake_backends({**READY, "/api/v1/rules": loaded()})
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "otel_tools", "doctor", "--wait", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "alertmanager" in line:  # what follows is the sending and the waiting
                break
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "Traceback" not in errors
