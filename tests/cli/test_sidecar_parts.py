"""The parts of the sidecar: ports, rendered configs, folders, programs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer
from threading import Thread

import pytest

from otel_tools._sidecar import binaries, configs, http, paths, state, stop
from otel_tools._sidecar.binaries import COMPONENTS
from otel_tools._sidecar.errors import BinariesMissingError, PortsTakenError, SidecarError
from otel_tools._sidecar.ports import Ports, _holder_by_lsof
from otel_tools._sidecar.state import Identity, ProgramState, SidecarState
from otel_tools._sidecar.webhook import read_webhook, write_webhook
from otel_tools._urls import without_path


def test_the_default_ports_are_the_standard_ones() -> None:
    ports = Ports()
    assert (ports.otlp_grpc, ports.otlp_http, ports.jaeger_query) == (4317, 4318, 16686)
    assert (ports.prometheus, ports.alertmanager) == (9090, 9093)
    assert len(set(ports.as_dict().values())) == 11


def test_an_offset_shifts_all_ports_and_stays_in_range() -> None:
    assert Ports().shifted(1000).otlp_http == 5318
    for wrong in (-4317, 60_000):
        with pytest.raises(SidecarError, match=f"offset of {wrong} .*\nTake an offset between -4316 and 48849"):
            Ports().shifted(wrong)


def test_free_ports_are_free_and_differ() -> None:
    ports = Ports.free()
    ports.require_free()
    assert len(set(ports.as_dict().values())) == 11


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  # a listener on every address holds the port too
def test_the_error_for_a_taken_port_names_the_process(address: str) -> None:
    ports = Ports.free()
    with socket.socket() as holder:
        holder.bind((address, ports.jaeger_query))
        holder.listen()
        with pytest.raises(PortsTakenError, match=rf"port {ports.jaeger_query} is taken by process {os.getpid()} "):
            ports.require_free()


def test_rendering_changes_the_addresses_and_nothing_else(tmp_path: Path) -> None:
    ports = Ports.free()
    webhook = tmp_path / "hook"
    target = configs.render(tmp_path / "config", ports, webhook, {"scrape_interval: 10s": "scrape_interval: 1s"})
    source = configs.collector_dir()
    for name in ("config.yaml", "jaeger/config.yaml"):
        assert (target / name).read_text() == (source / name).read_text()
    shipped = (source / "prometheus" / "prometheus.yml").read_text().splitlines()
    rendered = (target / "prometheus" / "prometheus.yml").read_text().splitlines()
    changed = [(old, new) for old, new in zip(shipped, rendered, strict=True) if old != new]
    assert ("  scrape_interval: 10s", "  scrape_interval: 1s") in changed
    assert len(changed) == 1 + 6  # five targets and the Alertmanager to send to
    for old, new in changed[1:]:
        assert old.split('"')[0] == new.split('"')[0]
        assert '"127.0.0.1:' in new
    rules = Path("prometheus", "rules", "tools.yml")
    assert (target / rules).read_text() == (source / rules).read_text()
    assert f"url_file: {webhook}\n" in (target / "alertmanager" / "alertmanager.yml").read_text()


def test_a_replacement_that_does_not_occur_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match=r"nowhere in the configs of .*: 'for: 77m'"):
        configs.render(tmp_path / "config", Ports(), tmp_path / "hook", {"for: 77m": "for: 1s"})


def test_the_shipped_rules_define_the_alerts() -> None:
    assert {"ToolFailureRateHigh", "ToolDown", "ToolTelemetryMissing"} <= set(configs.alert_names())
    assert len(set(configs.alert_names())) == len(configs.alert_names())


def test_an_installed_package_finds_the_configs_inside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "otel_tools"
    (package / "_sidecar").mkdir(parents=True)
    monkeypatch.setattr(configs, "__file__", str(package / "_sidecar" / "configs.py"))
    with pytest.raises(SidecarError, match="pip install --force-reinstall otel_tools"):
        configs.collector_dir()
    (package / "collector").mkdir()
    (package / "collector" / "builder.yaml").touch()
    (package / "collector" / "docker-compose.yml").touch()
    assert configs.collector_dir() == package / "collector"
    assert configs.compose_file() == package / "collector" / "docker-compose.yml"


def test_the_variables_decide_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_TOOLS_STATE_DIR", "OTEL_TOOLS_CACHE_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.state_dir() == tmp_path / ".local/state/otel-tools/sidecar"
    assert paths.cache_dir() == tmp_path / ".cache/otel-tools/sidecar"
    assert paths.display_path(paths.cache_dir()) == "~/.cache/otel-tools/sidecar"
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg/state")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert paths.state_dir() == Path("/xdg/state/otel-tools/sidecar")
    assert paths.cache_dir() == tmp_path / ".cache/otel-tools/sidecar"
    monkeypatch.setenv("OTEL_TOOLS_STATE_DIR", "~/mine")
    monkeypatch.setenv("OTEL_TOOLS_CACHE_DIR", "/cache")
    assert paths.state_dir() == tmp_path / "mine"
    assert paths.cache_dir() == Path("/cache/sidecar")


@pytest.fixture
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copied = tmp_path / "collector"
    shutil.copytree(configs.collector_dir(), copied)
    monkeypatch.setattr(binaries, "collector_dir", lambda: copied)
    monkeypatch.setenv("OTEL_TOOLS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return copied


def test_a_changed_manifest_changes_the_build_folder(manifests: Path) -> None:
    before = {name: component.build_dir() for name, component in COMPONENTS.items()}
    assert before == {name: component.build_dir() for name, component in COMPONENTS.items()}
    (manifests / "builder.yaml").write_text("dist: {}\n")
    (manifests / "build" / "jaeger" / "go.sum").write_text("")
    after = {name: component.build_dir() for name, component in COMPONENTS.items()}
    assert {name for name in COMPONENTS if before[name] != after[name]} == {"collector", "jaeger"}


@pytest.mark.usefixtures("manifests")
def test_a_built_program_wins_over_one_on_path(tmp_path: Path) -> None:
    def program(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
        return path

    assert binaries.find("promtool") is None
    on_path = program(tmp_path / "bin" / "promtool")
    assert binaries.find("promtool") == on_path
    built = program(COMPONENTS["prometheus"].build_dir() / "promtool")
    assert binaries.find("promtool") == built
    contrib = program(tmp_path / "bin" / "otelcol-contrib")
    assert binaries.find("otel-tools-collector") == contrib
    assert binaries.find_all() == {"collector": contrib}
    with pytest.raises(BinariesMissingError, match=r"jaeger, alertmanager, prometheus\n.*otel-tools sidecar build"):
        binaries.require_all()
    with pytest.raises(ValueError, match="'nonsense'"):
        binaries.find("nonsense")


def test_a_webhook_url_is_shown_without_its_secret(tmp_path: Path) -> None:
    assert read_webhook(tmp_path) == ""
    write_webhook(tmp_path, "https://user:password@hooks.example.com:8443/T0/B0?key=1")
    assert without_path(read_webhook(tmp_path)) == "https://hooks.example.com:8443/..."
    assert without_path("nonsense") == "..."


@pytest.fixture
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each connection with the next item of the list."""
    answers: list[bytes] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(answers.pop(0))

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", answers
        server.shutdown()
        thread.join()


def test_a_response_that_is_not_http_or_not_json_is_an_error(answering: tuple[str, list[bytes]]) -> None:
    url, answers = answering
    answers += [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.0 503 no\r\n\r\nbusy", b"HTTP/1.0 200 OK\r\n\r\n<html>"]
    with pytest.raises(OSError, match="does not answer in HTTP"):
        http.get(url, 1)
    with pytest.raises(OSError, match="answered 503: busy"):
        http.get_json(url, 1)
    with pytest.raises(OSError, match="no JSON: <html>"):
        http.get_json(url, 1)
    answers += [b"HTTP/1.0 200 OK\r\n\r\n[1]", b"HTTP/1.0 204 none\r\n\r\n", b"HTTP/1.0 404 none\r\n\r\n"]
    assert http.get_json(url, 1) == [1]
    assert http.healthy(url, 1)
    assert not http.healthy(url, 1)


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="this system has no ps")
def test_without_proc_the_start_time_comes_from_ps() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        born = state._birth_by_ps(process.pid)
        assert born
        assert born == state._birth_by_ps(process.pid)
    assert state._birth_by_ps(process.pid) == ""


@pytest.mark.skipif(not shutil.which("lsof"), reason="this system has no lsof")
def test_without_proc_the_holder_of_a_port_comes_from_lsof(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert _holder_by_lsof(port) == os.getpid()
        monkeypatch.setenv("PATH", str(tmp_path))
        assert _holder_by_lsof(port) is None


def test_an_orphaned_program_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "_ORPHAN_TIMEOUT", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout
        orphan.stdout.readline()
        program = ProgramState(Identity.of(orphan.pid), "healthy", 0.0, 0, "", "", "")
        SidecarState(Identity(1, "gone"), "up", 0.0, {}, {"jaeger": program}).write(tmp_path)
        assert stop.stop_orphans(tmp_path)
        assert orphan.wait(60) == -9
