"""The destination of the demo's telemetry: a collector or a file."""

import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_tools._demo.destination import Collector, File, choose, links
from otel_tools.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TRACES_ENDPOINT", "ENDPOINT", "PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def listener() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent() -> str:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


def test_a_listening_collector_is_used(listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{listener}/v1")
    where = choose()
    assert where == Collector(listener, None)
    assert where.options == {"exporter": "otlp"}  # configure() reads the variables itself
    assert str(where) == f"OTLP to the collector at {listener}"


@pytest.mark.parametrize("write", ["http://{}", "{}", "https://{}/path"])
def test_an_endpoint_may_have_a_scheme_and_a_path(listener: str, write: str) -> None:
    endpoint = write.format(listener)
    where = choose(endpoint=endpoint)
    assert where == Collector(listener, endpoint)
    assert where.options == {"exporter": "otlp", "endpoint": endpoint}


def test_the_endpoint_of_traces_wins(listener: str, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{silent}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://{listener}/v1/traces")
    assert isinstance(choose(), Collector)


@pytest.mark.parametrize(("protocol", "port"), [("http/protobuf", 4318), ("grpc", 4317)])
def test_the_default_is_the_sidecars_port(monkeypatch: pytest.MonkeyPatch, protocol: str, port: int) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    where = choose()
    assert f"127.0.0.1:{port}" in (where.reason if isinstance(where, File) else where.address)


def test_without_a_listening_collector_the_run_gets_a_new_file(
    silent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{silent}")
    where = choose()
    assert isinstance(where, File)
    assert where.path.parent == tmp_path / "otel-tools" / "demo"
    assert re.fullmatch(r"\d{8}-\d{6}-\d+\.otlp\.jsonl", where.path.name)
    assert where.reason == f"no collector listens at {silent}"
    assert where.options == {"exporter": "file", "file": str(where.path)}


def test_without_a_state_folder_the_file_is_temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "taken"))
    where = choose("file")
    assert isinstance(where, File)
    other = choose("file")
    assert isinstance(other, File)
    assert where.path.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(where.path.stat().st_mode) == 0o600
    # Nobody can lay a link there before.
    assert where.path != other.path
    for each in (where, other):
        each.path.unlink()


def test_a_named_file_wins_over_a_listening_collector(
    listener: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{listener}")
    assert choose(file=tmp_path / "x") == File(tmp_path / "x")


def test_a_required_collector_that_does_not_listen_is_an_error(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=rf"nothing listens at {silent}: .* `otel-tools sidecar up`"):
        choose(endpoint=f"http://{silent}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{silent}")
    with pytest.raises(ConfigurationError, match="nothing listens"):
        choose("otlp")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exporter": "otlp", "file": Path("x")}, "--file x and a collector at once"),
        ({"endpoint": "http://h", "file": Path("x")}, "--file x and a collector at once"),
        ({"exporter": "file", "endpoint": "http://h"}, "sends nothing to --endpoint http://h"),
        ({"endpoint": "http://"}, "names no host"),
        ({"endpoint": "http://h:port"}, "'http://h:port'"),
    ],
)
def test_contradicting_options_are_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose(**arguments)


def test_links_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TOOLS_JAEGER_URL", "https://jaeger.example/")
    monkeypatch.setenv("OTEL_TOOLS_PROMETHEUS_URL", "https://prometheus.example")
    assert links("00ab") == {
        "Jaeger": ("https://jaeger.example/trace/00ab", "https://jaeger.example/api/v3/traces/00ab"),
        "Prometheus": (
            "https://prometheus.example/graph?g0.expr=otel_tools_calls_total&g0.tab=1",
            "https://prometheus.example/api/v1/query?query=otel_tools_calls_total",
        ),
    }
