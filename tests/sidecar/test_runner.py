"""The runner and the supervisor, with stub programs and with the real ones."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_tools._sidecar import http
from otel_tools._sidecar.errors import NotRunningError, PortsTakenError, SidecarError, StartError
from otel_tools._sidecar.ports import Ports
from otel_tools._sidecar.runner import Sidecar
from otel_tools._sidecar.state import Identity, ProgramState, SidecarState, running
from otel_tools._sidecar.stop import stop_orphans, stop_running
from otel_tools._sidecar.webhook import WEBHOOK_FILE
from tests.sidecar.controlled import ControlledSidecar

NAMES = ("jaeger", "collector", "alertmanager", "prometheus")

# A stub of the program whose name it has: it answers on the health port and behaves as a file beside its log orders.
STUB = f"""#!{sys.executable}
import http.server, os, pathlib, signal, sys
name = pathlib.Path(sys.argv[0]).name
order = pathlib.Path(name + ".does")
does = order.read_text() if order.exists() else ""
print(name, "begins", does, os.environ.get("OTEL_SERVICE_NAME"), flush=True)
if does == "die":
    sys.exit("the config is wrong")
if does == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if does == "deaf":
    signal.pause()
variable = {{"jaeger": "OTEL_TOOLS_JAEGER_HEALTH_PORT", "collector": "OTEL_TOOLS_HEALTH_PORT"}}.get(name, "-")
argument = [each.rpartition(":")[2] for each in sys.argv if each.startswith("--web.listen-address=")]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ.get(variable) or argument[0])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stubs")
    for name in NAMES:
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    return {name: folder / name for name in NAMES}


@pytest.fixture
def small(stubs: dict[str, Path], tmp_path: Path) -> Iterator[ControlledSidecar]:
    sidecar = ControlledSidecar(ports=Ports.free(), folder=tmp_path / "state", binaries=stubs)
    yield sidecar
    sidecar.stop()


def set_behaviour(sidecar: Sidecar, name: str, what: str) -> None:
    logs = sidecar.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / f"{name}.does").write_text(what)


def wait(done: Callable[[], Any], within: float = 90.0) -> None:
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def processes(sidecar: Sidecar) -> list[Identity]:
    return [program.identity for program in sidecar.state().programs.values() if program.identity]


def all_ended(identities: list[Identity]) -> bool:
    return not any(identity.alive() for identity in identities)


def test_all_four_programs_run_for_the_block_and_end_with_it(small: Sidecar) -> None:
    with small:
        state = small.state()
        assert state.phase == "up"
        assert list(state.programs) == list(NAMES)
        assert {program.condition for program in state.programs.values()} == {"healthy"}
        assert state.ports == small.ports.as_dict()
        children = processes(small)
        assert len(children) == 4
        assert (small.folder / "logs" / "jaeger.log").read_text().startswith("jaeger begins")
    assert all_ended([state.supervisor, *children])
    assert running(small.folder) is None
    with pytest.raises(NotRunningError, match="otel-tools sidecar up"):
        small.state()


def test_the_programs_do_not_inherit_the_applications_otel_variables(
    small: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-application")
    with small:
        assert "my-application" not in (small.folder / "logs" / "jaeger.log").read_text()


def test_only_the_program_that_ended_is_restarted(small: ControlledSidecar) -> None:
    with small:
        before = small.state().programs
        small.kill("collector")
        small.wait_healthy("collector", 60)
        after = small.state().programs
        assert after["collector"].restarts == 1
        assert "SIGKILL" in after["collector"].last_exit
        for name in ("jaeger", "alertmanager", "prometheus"):
            assert after[name] == before[name]


def test_the_restart_delay_doubles_for_a_program_that_keeps_ending(small: ControlledSidecar) -> None:
    with small:
        set_behaviour(small, "jaeger", "die")
        small.kill("jaeger")
        wait(lambda: small.state().programs["jaeger"].restarts >= 3)
        set_behaviour(small, "jaeger", "")
        small.wait_healthy("jaeger", 60)
        waits = [
            float(line.rpartition("again in ")[2].split()[0])
            for line in (small.folder / "supervisor.log").read_text().splitlines()
            if "jaeger" in line and "again in" in line
        ]
        assert waits == [0.2 * 2**n for n in range(len(waits))]


def test_restart_sends_sigterm_and_waits_until_it_is_healthy(small: ControlledSidecar) -> None:
    with small:
        before = small.state().programs["prometheus"].identity
        small.restart("prometheus", 60)
        after = small.state().programs["prometheus"]
        assert after.identity != before
        assert "SIGTERM" in after.last_exit


def test_a_held_program_stays_down_until_restart(small: ControlledSidecar) -> None:
    with small:
        small.kill("jaeger", hold=True)
        assert small.state().programs["jaeger"].identity is None
        assert not http.healthy(f"http://127.0.0.1:{small.ports.jaeger_health}/status", 1)
        small.kill("collector")  # the supervisor is awake meanwhile, and starts only this one
        small.wait_healthy("collector", 60)
        assert small.state().programs["jaeger"].condition == "held"
        small.restart("jaeger", 60)
        assert small.state().programs["jaeger"].condition == "healthy"


def test_a_program_that_ends_at_the_start_is_named_with_its_last_log_lines(small: Sidecar) -> None:
    set_behaviour(small, "alertmanager", "die")
    with pytest.raises(StartError) as caught:
        small.start()
    assert "alertmanager ended with code 1" in caught.value.what
    assert "| the config is wrong" in caught.value.what
    assert "logs" in caught.value.fix
    assert running(small.folder) is None
    state = SidecarState.read(small.folder)
    assert state is not None
    assert state.phase == "failed"
    assert all_ended([program.identity for program in state.programs.values() if program.identity])


def test_a_program_that_never_becomes_healthy_is_named_after_the_deadline(small: Sidecar) -> None:
    set_behaviour(small, "jaeger", "deaf")
    with pytest.raises(StartError, match="jaeger did not become healthy within 1 s"):
        small.start(within=1)
    assert running(small.folder) is None


def test_a_program_that_cannot_be_run_is_named(small: Sidecar, stubs: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "jaeger"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    sidecar = Sidecar(ports=small.ports, folder=small.folder, binaries={**stubs, "jaeger": broken})
    with pytest.raises(StartError, match="jaeger cannot be run"):
        sidecar.start()


def test_a_second_signal_kills_a_program_that_ignores_sigterm(small: Sidecar) -> None:
    set_behaviour(small, "jaeger", "stubborn")
    small.start()
    state = small.state()
    children = processes(small)
    state.supervisor.signal(signal.SIGTERM)
    wait(lambda: children[1:] and all_ended(children[1:]))
    assert children[0].alive()
    began = time.monotonic()
    state.supervisor.signal(signal.SIGTERM)
    wait(lambda: all_ended([state.supervisor, children[0]]))
    assert time.monotonic() - began < 9, "it waited for the 10 s that a program has"
    assert "jaeger did not stop on SIGTERM: killed" in (small.folder / "supervisor.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_programs_end_with_a_killed_supervisor(small: Sidecar) -> None:
    small.start()
    children = processes(small)
    small.state().supervisor.signal(signal.SIGKILL)
    wait(lambda: all_ended(children))
    with small:  # and nothing of it is in the way of the next
        assert small.state().phase == "up"


def test_it_ends_with_the_process_that_started_it(small: Sidecar, stubs: dict[str, Path]) -> None:
    script = (
        "import os, sys, json, pathlib\n"
        "from otel_tools._sidecar.runner import Sidecar\n"
        "from otel_tools._sidecar.ports import Ports\n"
        "folder, ports, stubs = json.loads(sys.argv[1])\n"
        "stubs = {name: pathlib.Path(path) for name, path in stubs.items()}\n"
        "Sidecar(ports=Ports(**ports), folder=pathlib.Path(folder), binaries=stubs).start()\n"
        "os._exit(0)\n"
    )
    told = json.dumps([str(small.folder), small.ports.as_dict(), {n: str(p) for n, p in stubs.items()}])
    subprocess.run([sys.executable, "-c", script, told], check=True)
    wait(lambda: running(small.folder) is None)
    state = SidecarState.read(small.folder)
    assert state is not None
    assert state.phase == "stopped"
    assert "whoever started this is gone" in (small.folder / "supervisor.log").read_text()


def test_a_detached_sidecar_is_stopped_by_another_process(small: ControlledSidecar) -> None:
    small.start(detach=True)
    children = processes(small)
    with pytest.raises(NotRunningError, match="attached"):
        small.kill("jaeger", hold=True)
    assert stop_running(small.folder)
    assert all_ended(children)
    assert not stop_running(small.folder)


def test_a_second_sidecar_in_one_folder_is_refused(small: Sidecar, stubs: dict[str, Path]) -> None:
    with small:
        second = Sidecar(ports=Ports.free(), folder=small.folder, binaries=stubs)
        with pytest.raises(SidecarError, match=r"runs already .*\n?.*otel-tools sidecar down"):
            second.start()
        assert small.state().phase == "up"


def test_a_taken_port_is_named_with_its_holder_and_the_fix(small: Sidecar) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", small.ports.otlp_http))
        holder.listen()
        with pytest.raises(PortsTakenError) as caught:
            small.start()
    assert f"port {small.ports.otlp_http} is taken by process {os.getpid()}" in caught.value.what
    assert "collector needs it for OTLP over HTTP" in caught.value.what
    assert "--port-offset" in caught.value.fix
    assert len(caught.value.what.splitlines()) == 1


def test_a_reused_pid_is_never_signalled(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as innocent:
        stranger = Identity(innocent.pid, "born at another time")
        program = ProgramState(stranger, "healthy", 0.0, 0, "", "http://127.0.0.1:1", "x.log")
        SidecarState(stranger, "up", 0.0, {}, {"jaeger": program}).write(tmp_path)
        assert not stranger.alive()
        assert not stranger.signal(signal.SIGKILL)
        assert running(tmp_path) is None
        assert not stop_running(tmp_path)
        assert innocent.poll() is None
        innocent.kill()


def test_orphaned_programs_are_stopped(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        identity = Identity.of(left.pid)
        program = ProgramState(identity, "healthy", 0.0, 0, "", "http://127.0.0.1:1", "x.log")
        dead = Identity(left.pid, "a supervisor that is gone")
        SidecarState(dead, "up", 0.0, {}, {"jaeger": program}).write(tmp_path)
        assert stop_orphans(tmp_path)
        assert left.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("text", ["", "{", "[]", '{"supervisor": 1}', '{"programs": []}'])
def test_an_unreadable_state_file_means_no_sidecar_runs(tmp_path: Path, text: str) -> None:
    (tmp_path / "sidecar.json").write_text(text)
    assert running(tmp_path) is None


def test_the_webhook_url_is_private_and_survives_a_restart(stubs: dict[str, Path], tmp_path: Path) -> None:
    address = "https://kept-apart.example.com/services/T0"
    with Sidecar(ports=Ports.free(), folder=tmp_path, binaries=stubs, alert_webhook=address):
        pass
    with Sidecar(ports=Ports.free(), folder=tmp_path, binaries=stubs):
        pass
    kept = tmp_path / WEBHOOK_FILE
    assert kept.read_text() == address
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    others = [path for path in tmp_path.rglob("*") if path.is_file() and path != kept]
    assert not [path for path in others if b"kept-apart" in path.read_bytes()]


def test_a_log_that_is_too_long_is_rotated(small: Sidecar) -> None:
    log = small.folder / "logs" / "jaeger.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"old\n" * (21 * 2**20 // 4))
    with small:
        assert log.stat().st_size < 1000
        assert log.with_suffix(".log.1").stat().st_size > 20 * 2**20


@pytest.mark.sidecar
def test_each_answers_on_its_own_free_port(sidecar: Sidecar) -> None:
    assert sidecar.ports != Ports()
    assert http.get_json(f"{sidecar.jaeger}/api/v3/services", 5) is not None
    targets = f"{sidecar.prometheus}/api/v1/targets?state=active"

    def all_up() -> bool:
        active = http.get_json(targets, 5)["data"]["activeTargets"]
        return [target["health"] for target in active] == ["up"] * 5

    wait(all_up, 90)
    route = http.get_json(f"{sidecar.prometheus}/api/v1/alertmanagers", 5)["data"]["activeAlertmanagers"]
    assert [each["url"] for each in route] == [f"{sidecar.alertmanager}/api/v2/alerts"]


@pytest.mark.sidecar
def test_alertmanager_reads_the_webhook_url_from_its_file(sidecar: Sidecar) -> None:
    config = http.get_json(f"{sidecar.alertmanager}/api/v2/status", 5)["config"]["original"]
    assert f"url_file: {sidecar.folder / WEBHOOK_FILE}" in config


@pytest.mark.sidecar
def test_a_killed_collector_is_started_again_at_once(sidecar: ControlledSidecar) -> None:
    sidecar.kill("collector")
    sidecar.wait_healthy("collector", 60)
    assert http.healthy(f"http://127.0.0.1:{sidecar.ports.collector_health}/", 10)
    log = (sidecar.folder / "supervisor.log").read_text()
    # The delay doubles with each kill: other tests share this sidecar.
    delays = re.findall(r"collector was killed by SIGKILL.*; starts again in ([\d.]+) s", log)
    assert delays
    assert float(delays[-1]) < 5, log


@pytest.mark.sidecar
def test_jaeger_restarts_with_its_data(sidecar: ControlledSidecar) -> None:
    sidecar.kill("jaeger", hold=True)
    sidecar.restart("jaeger")
    assert http.get(f"{sidecar.jaeger}/api/v3/services", 5)[0] == 200


@pytest.mark.sidecar
def test_an_invalid_config_is_reported_with_the_programs_own_message(binaries: Any, tmp_path: Path) -> None:
    wrong = Sidecar(
        ports=Ports.free(),
        folder=tmp_path,
        binaries=binaries.all(),
        replace={"scrape_interval: 10s": "scrape_interval: soon"},
    )
    with pytest.raises(StartError, match=r"(?s)prometheus ended with code .*not a valid duration"):
        wrong.start()
    assert running(tmp_path) is None
