"""The real Jaeger takes traces alone, the real Prometheus metrics alone: the other signals are off, said once."""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from otel_tools._sidecar import http
from otel_tools._sidecar.binaries import find
from tests.export.program import Ended, Program
from tests.export.receiver import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.sidecar

JAEGER: Final = """
extensions:
  jaeger_storage: {backends: {memory: {memory: {max_traces: 1000}}}}
  jaeger_query:
    storage: {traces: memory}
    http: {endpoint: "127.0.0.1:%(query)d"}
    grpc: {endpoint: "127.0.0.1:%(query_grpc)d"}
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:%(http)d"}
      grpc: {endpoint: "127.0.0.1:%(grpc)d"}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
"""
SCRIPT: Final = """
configure(service_name=os.environ["SERVICE"], logs="otlp")
for n in range(3): work(n)
logging.getLogger("application").error("a record")
report(flush=flush())
for n in range(2): work(n)
report(again=flush(), shutdown=shutdown())
"""


def program(name: str) -> str:
    path = find(name)
    if path is None:
        if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1":
            pytest.fail(f"{name} is not built")
        pytest.skip(f"{name} is not built (otel-tools sidecar build)")
    return str(path)


@contextmanager
def running(command: list[str], url: str, folder: Path) -> Iterator[None]:
    """Runs a program in the block, from the time that it answers."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            deadline = time.monotonic() + 120
            while not answers(url):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield
        finally:
            process.kill()  # Jaeger takes 10 s to end
            process.wait(60)


def answers(url: str) -> bool:
    try:
        return http.get(url, 5)[0] == 200
    except OSError:
        return False


def signals_off(ended: Ended) -> list[str]:
    return sorted(re.findall(r"(\w+) are off: ", ended.err))


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ports of a running Jaeger."""
    folder = tmp_path_factory.mktemp("jaeger")
    ports = {name: free_port() for name in ("http", "grpc", "query", "query_grpc")}
    (folder / "config.yaml").write_text(JAEGER % ports)
    services = f"http://127.0.0.1:{ports['query']}/api/services"
    with running([program("jaeger"), "--config=file:config.yaml"], services, folder):
        yield ports


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_jaeger_takes_traces_alone(jaeger: dict[str, int], protocol: str) -> None:
    endpoint = f"http://127.0.0.1:{jaeger['grpc' if protocol == 'grpc' else 'http']}"
    service = protocol.partition("/")[0]
    env = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "SERVICE": service}
    ended = Program(SCRIPT, env).run()
    assert ended.reported == {"flush": True, "again": True, "shutdown": True}
    assert signals_off(ended) == ["logs", "metrics"]
    assert "cannot be delivered" not in ended.err
    found = http.get(f"http://127.0.0.1:{jaeger['query']}/api/traces?service={service}&limit=100", 5)[1]
    assert found.count('"operationName":"execute_tool work"') == 5


def test_prometheus_takes_metrics_alone(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text("{}")
    url = f"http://127.0.0.1:{port}"
    options = ["--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-otlp-receiver"]
    with running([program("prometheus"), *options], f"{url}/-/ready", tmp_path):
        ended = Program(SCRIPT, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/api/v1/otlp", "SERVICE": "s"}).run()
        assert ended.reported == {"flush": True, "again": True, "shutdown": True}
        assert signals_off(ended) == ["logs", "traces"]
        assert "cannot be delivered" not in ended.err
        query = f"{url}/api/v1/query?query=otel_tools_calls_total%7Botel_tools_outcome%3D%22ok%22%7D"
        assert '"5"' in http.get(query, 5)[1]
