"""Our file equals the file that the collector's file exporter writes for the same telemetry."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_tools._sidecar.binaries import find
from tests.export.program import Program
from tests.export.receiver import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG: Final = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:%(port)d"}}}}
exporters: {file: {path: "%(file)s", flush_interval: 50ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [file]}
    metrics: {receivers: [otlp], exporters: [file]}
    logs: {receivers: [otlp], exporters: [file]}
"""

SCRIPT: Final = """
# The process gives the spans, points and records that it sends by OTLP to our file exporters too.
from pathlib import Path
from otel_tools import Objective
from otel_tools._export import otlp_exporter, otlp_file

file, send, writers = Path(os.environ["TO"]), otlp_exporter.OtlpExporter.export, {}

def both(self, batch):
    signal = self.signal
    writers.setdefault(signal, otlp_file.FileExporter(signal, file)).export(batch)
    return send(self, batch)

otlp_exporter.OtlpExporter.export = both

@tool(objective=Objective(success=0.99))
def search(query):
    return ["äöü \\u2028 " + query, 1, 2.5, None, True]

configure(service_name="sérvice", environment="test", capture_content=True)
from opentelemetry import metrics, trace
meter = metrics.get_meter("application", "1.0", attributes={"a": 1})
meter.create_up_down_counter("level").add(-5, {"list": ["a", "b"], "whole": 7, "half": 0.5, "yes": True, "none": ""})
meter.create_gauge("gauge").set(1e300)
meter.create_histogram("empty.bounds").record(0)
with agent("planner", conversation_id="c-1") as span:
    span.add_link(span.get_span_context(), {"why": "test"})
    span.add_event("seen", {"n": 2**53 + 1})
    search("x")
    try: fail()
    except ValueError: pass
report(shutdown=shutdown())
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    binary = find("otel-tools-collector")
    if binary is None:
        why = "the collector is not built (otel-tools sidecar build)"
        if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1":
            pytest.fail(why)
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("collector")
    port, file, config = free_port(), folder / "theirs.jsonl", folder / "config.yaml"
    config.write_text(CONFIG % {"port": port, "file": file})
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, "--config", config], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while b"Everything is ready" not in (folder / "log").read_bytes():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield port, file
        finally:
            process.terminate()
            process.wait(60)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []


@pytest.mark.sidecar
def test_the_file_equals_the_collectors_field_by_field(collector: tuple[int, Path], tmp_path: Path) -> None:
    port, theirs = collector
    ours = tmp_path / "ours.jsonl"
    ended = Program(
        SCRIPT,
        {
            "TO": str(ours),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "logs/dup",
        },
    ).run()
    assert (ended.code, ended.err, ended.reported) == (0, "", {"shutdown": True})

    deadline = time.monotonic() + 60
    while len(lines(theirs)) < len(lines(ours)):
        assert time.monotonic() < deadline, f"{len(lines(theirs))} of {len(lines(ours))} lines"
        time.sleep(0.05)

    assert {next(iter(line)) for line in lines(ours)} == {"resourceSpans", "resourceMetrics", "resourceLogs"}
    for our_line in lines(ours):
        kind = next(iter(our_line))
        [their_line] = [line for line in lines(theirs) if next(iter(line)) == kind]
        assert our_line == their_line
