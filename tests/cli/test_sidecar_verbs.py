"""The verbs up, status and down: with the real programs, and with a script in place of docker."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._sidecar.binaries import SIDECAR, find_all
from otel_tools._sidecar.configs import collector_dir, compose_file
from otel_tools._sidecar.docker import parse_services
from otel_tools._sidecar.errors import PortsTakenError
from otel_tools._sidecar.ports import Ports
from otel_tools._sidecar.state import running
from otel_tools._sidecar.stop import stop_running

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def free_offset() -> int:
    """An offset for which all ports are free."""
    while True:
        # So small that the highest port stays below those that outgoing connections take.
        candidate = random.randrange(100, 10_000)  # noqa: S311  # no secret
        with suppress(PortsTakenError):
            Ports().shifted(candidate).require_free()
            return candidate


@pytest.fixture
def offset(state: Path) -> Iterator[int]:
    """A free offset for the real programs; afterwards the sidecar in the state folder is stopped."""
    if len(find_all()) < len(SIDECAR):
        why = "the sidecar is not built (otel-tools sidecar build)"
        pytest.fail(why) if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1" else pytest.skip(why)
    yield free_offset()
    stop_running(state)


@pytest.mark.sidecar
def test_up_status_doctor_down(run: Run, offset: int) -> None:
    ports = Ports().shifted(offset)
    hook = "http://127.0.0.1:9/SECRET"
    shown = run("sidecar", "up", "-d", "--port-offset", str(offset), "--alert-webhook", hook).stdout
    for name in SIDECAR:
        assert f"healthy  {name}" in shown
    endpoint = f"http://127.0.0.1:{ports.otlp_http}"
    assert f"export OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}" in shown
    assert "Alerts go to    http://127.0.0.1:9/...\n" in shown
    assert "SECRET" not in shown

    status = run("sidecar", "status").stdout
    assert status.count("healthy") == 4
    assert f"127.0.0.1:{ports.otlp_http}, {ports.otlp_grpc}" in status

    # The whole way, over both protocols.
    for protocol, port in (("http/protobuf", ports.otlp_http), ("grpc", ports.otlp_grpc)):
        variables = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }
        found = json.loads(run("doctor", "--json", variables=variables).stdout)
        assert found["ok"], found
        assert {check["status"] for check in found["checks"]} == {"ok"}
        names = [check["name"] for check in found["checks"]]
        assert names[-5:] == ["test span", "test metric", "alert rules", "alert route", "alert webhook"]

    # Without the variable, telemetry would go elsewhere: that is said.
    found = json.loads(run("doctor", "--json", "--wait", "1", code=1).stdout)
    collector = next(check for check in found["checks"] if check["name"] == "collector")
    assert collector["status"] != "ok"
    assert f"export OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}" in collector["fix"]

    again = run("sidecar", "up", "-d", "--port-offset", str(offset), code=1).stderr
    assert "runs already" in again
    assert "otel-tools sidecar down" in again
    changed = run("sidecar", "up", "--port-offset", str(offset), "--alert-webhook", "").stdout
    assert "Alerts now go to nowhere" in changed

    assert run("sidecar", "down").stdout.startswith("Stopped in ")
    assert "does not run" in run("sidecar", "status", code=3).stdout
    assert run("sidecar", "down").stdout == "No sidecar was running\n"


@pytest.mark.sidecar
def test_status_shows_restarts_and_unhealthy_programs(run: Run, offset: int) -> None:
    run("sidecar", "up", "-d", "--port-offset", str(offset))
    before = json.loads(run("sidecar", "status", "--json").stdout)["programs"]
    os.kill(before["prometheus"]["pid"], signal.SIGKILL)
    os.kill(before["jaeger"]["pid"], signal.SIGSTOP)
    deadline = time.monotonic() + 90
    while True:
        done = json.loads(run("sidecar", "status", "--json", code=1).stdout)
        programs = done["programs"]
        if programs["prometheus"]["condition"] == "healthy" and programs["prometheus"]["restarts"] == 1:
            break
        assert time.monotonic() < deadline, done
    assert not done["healthy"]
    assert "SIGKILL" in programs["prometheus"]["last_exit"]
    assert programs["jaeger"]["condition"] == "unhealthy"
    shown = run("sidecar", "status", code=1).stdout
    assert "jaeger does not answer; its log: " in shown
    assert "prometheus was killed by SIGKILL" in shown
    os.kill(programs["jaeger"]["pid"], signal.SIGCONT)


@pytest.mark.sidecar
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_it_runs_until_a_signal(run: Run, offset: int, state: Path, number: signal.Signals) -> None:
    with foreground(offset, state) as process:
        assert run("sidecar", "status").stdout.count("healthy") == 4
        process.send_signal(number)
        assert process.stdout
        assert "Stopping" in process.stdout.read()
        assert process.wait(90) == 0
    run("sidecar", "status", code=3)


@contextmanager
def foreground(offset: int, state: Path) -> Iterator[subprocess.Popen[str]]:
    """``otel-tools sidecar up`` in the foreground, once all is healthy."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "otel_tools", "sidecar", "up", "--port-offset", str(offset)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OTEL_TOOLS_STATE_DIR": str(state)},
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "Stop: Ctrl-C" in line:
                break
        yield process


@pytest.mark.sidecar
def test_in_the_foreground_it_shows_restarts_and_a_stop_from_elsewhere(run: Run, offset: int, state: Path) -> None:
    with foreground(offset, state) as process:
        before = running(state)
        assert before
        collector = before.programs["collector"].identity
        assert collector
        collector.signal(signal.SIGKILL)
        assert process.stdout
        assert "collector was killed by SIGKILL" in process.stdout.readline()
        run("sidecar", "down")
        assert "Stopped from elsewhere" in process.stdout.read()
        assert process.wait(90) == 0


@pytest.mark.sidecar
def test_in_the_foreground_it_fails_when_its_supervisor_ends(offset: int, state: Path) -> None:
    with foreground(offset, state) as process:
        before = running(state)
        assert before
        before.supervisor.signal(signal.SIGKILL)
        assert process.stdout
        assert "supervisor ended by itself" in process.stdout.read()
        assert process.wait(90) == 1


@pytest.mark.parametrize("wrong", ["ftp://example.com/SECRET", "example.com/SECRET"])
def test_an_invalid_webhook_is_refused_without_showing_it(run: Run, wrong: str) -> None:
    refused = run("sidecar", "up", "--alert-webhook", wrong, code=2).stderr
    assert "--alert-webhook" in refused
    assert "SECRET" not in refused


def test_status_shows_the_error_of_a_failed_start(run: Run, tmp_path: Path) -> None:
    for name in ("jaeger", "otelcol", "alertmanager", "prometheus"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho it is too old\nexit 3\n")
        program.chmod(0o755)
    variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "OTEL_TOOLS_CACHE_DIR": str(tmp_path / "cache")}
    refused = run("sidecar", "up", "--port-offset", str(free_offset()), code=1, variables=variables).stderr
    assert "ended with code 3" in refused
    assert "| it is too old" in refused
    assert "The whole logs: ~/state/logs" in refused
    assert "Its last start failed" in run("sidecar", "status", code=3).stdout


DOCKER = """#!/bin/sh
echo "$* [$OTEL_TOOLS_COLLECTOR_DIR] [$OTEL_TOOLS_ALERT_WEBHOOK_FILE] [$OTEL_TOOLS_OTLP_HTTP_PORT]" >> "$0.log"
test -e "$0.broken" && { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
case "$*" in
*" ps "*) /bin/cat "$0.ps";;
esac
"""


class FakeDocker:
    """A ``docker`` command that records its calls and lists the services of a test."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "bin" / "docker"
        self.program.parent.mkdir()
        self.program.write_text(DOCKER)
        self.program.chmod(0o755)
        # No program of the sidecar is built or on PATH here.
        self.variables = {
            "PATH": str(self.program.parent),
            "OTEL_TOOLS_CACHE_DIR": str(folder / "cache"),
        }

    def calls(self) -> list[str]:
        """The arguments and three variables of each call."""
        return Path(f"{self.program}.log").read_text().splitlines()

    def lists(self, *services: dict[str, Any]) -> None:
        """Set the project's services."""
        Path(f"{self.program}.ps").write_text("\n".join(map(json.dumps, services)))

    def breaks(self) -> None:
        """Make its engine unavailable."""
        Path(f"{self.program}.broken").touch()


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    return FakeDocker(tmp_path)


UP = {"Service": "collector", "State": "running", "Health": "healthy", "Status": "Up 5 seconds (healthy)"}
ONCE = {"Service": "prepare", "State": "exited", "Health": "", "Status": "Exited (0)", "ExitCode": 0}


def test_without_built_programs_docker_runs_it(run: Run, docker: FakeDocker, state: Path) -> None:
    hook = "https://hooks.example.com/SECRET"
    shown = run("sidecar", "up", "--port-offset", "7", "--alert-webhook", hook, variables=docker.variables).stdout
    assert "http://127.0.0.1:4325" in shown
    grpc = {**docker.variables, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    by_grpc = run("sidecar", "up", "--port-offset", "7", variables=grpc).stdout
    assert "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4325" in shown
    assert "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4324" in by_grpc
    for name in ("JAEGER", "PROMETHEUS", "ALERTMANAGER"):
        assert f"export OTEL_TOOLS_{name}_URL=http://127.0.0.1:" in shown
    assert docker.calls()[-1] == (
        f"compose -f {compose_file()} up -d --wait [{collector_dir()}] [{state}/secret/alert-webhook-url] [4325]"
    )
    assert (state / "secret" / "alert-webhook-url").read_text() == hook
    docker.lists(UP, ONCE)
    assert "collector" in run("sidecar", "status", variables=docker.variables).stdout
    docker.lists({**UP, "Health": "unhealthy"}, ONCE)
    assert json.loads(run("sidecar", "status", "--json", code=1, variables=docker.variables).stdout)["healthy"] is False
    docker.lists()
    run("sidecar", "status", code=3, variables=docker.variables)
    run("sidecar", "down", variables=docker.variables)
    assert " down " in docker.calls()[-1]
    assert "does not run. Start it" in run("sidecar", "status", code=3, variables=docker.variables).stdout


def test_without_programs_and_docker_the_error_names_both(run: Run, docker: FakeDocker) -> None:
    docker.breaks()
    refused = run("sidecar", "up", code=1, variables=docker.variables).stderr
    assert "neither built nor on PATH: jaeger, collector, alertmanager, prometheus" in refused
    assert "Cannot connect to the Docker daemon" in refused
    assert "Or make Docker work" in refused
    assert "Install Go (https://go.dev/dl; it is not on PATH), then: otel-tools sidecar build" in refused
    assert 'exporter="file"' in refused
    asked = run("sidecar", "up", "--docker", code=1, variables=docker.variables).stderr
    assert "Docker cannot be used: `docker info --format` fails" in asked


def test_a_failing_docker_command_is_shown_with_its_exit_code(run: Run, docker: FakeDocker) -> None:
    run("sidecar", "up", variables=docker.variables)
    docker.program.write_text('#!/bin/sh\ncase "$*" in *" ps "*|*" down"|*" up "*) echo no >&2; exit 9;; esac\n')
    failed = run("sidecar", "up", code=1, variables=docker.variables).stderr
    assert "up -d --wait` ended with code 9" in failed
    assert "logs --tail 20" in failed
    assert "fails:\nno" in run("sidecar", "status", code=1, variables=docker.variables).stderr
    run("sidecar", "down", code=1, variables=docker.variables)
    docker.program.unlink()
    assert "docker is not installed" in run("sidecar", "down", code=1, variables=docker.variables).stderr


def test_both_json_forms_of_docker_compose_ps_are_parsed() -> None:
    lines = parse_services("\n".join(map(json.dumps, (UP, ONCE))))
    assert lines == parse_services(json.dumps([UP, ONCE]))
    assert [service.healthy for service in lines] == [True, True]
    assert not parse_services(json.dumps({**ONCE, "ExitCode": 1}))[0].healthy
    assert parse_services("") == []
