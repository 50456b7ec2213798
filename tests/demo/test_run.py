"""`otel-tools demo` as a command, in a process of its own."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_tools._demo.model import ScriptedModel
from otel_tools._demo.recording import read_recording

CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens there


def demo(*arguments: object, code: int = 0, **environment: str) -> str:
    """Run the command in a process of its own, in a bare environment, and return its output."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "OPENAI_", "XDG_")) and key not in {"COLUMNS", "FORCE_COLOR", "NO_COLOR"}
    }
    run = subprocess.run(
        [sys.executable, "-m", "otel_tools", "demo", *map(str, arguments)],
        env=kept | {"OTEL_EXPORTER_OTLP_ENDPOINT": CLOSED, "TERM": "xterm"} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout + run.stderr


def trace_id(output: str) -> str:
    found = re.search(r"\b[0-9a-f]{32}\b", output)
    assert found, output
    return found[0]


class Collector:
    """A server that receives OTLP over HTTP and keeps the names of spans and metrics."""

    def __init__(self) -> None:
        self.spans: dict[str, list[str]] = {}
        self.metrics: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, path: str, body: bytes) -> None:
        """Keep the names in one request."""
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.spans.setdefault(span.trace_id.hex(), []).append(span.name)
        if path == "/v1/metrics":
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name for scope in metrics.scope_metrics for metric in scope.metrics}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = Thread(target=collector.server.serve_forever, args=(0.02,))
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def test_without_a_sidecar_it_shows_the_trace_and_the_numbers_of_the_tools(tmp_path: Path) -> None:
    output = demo(XDG_STATE_HOME=str(tmp_path), HOME=str(tmp_path))
    (file,) = (tmp_path / "otel-tools" / "demo").iterdir()
    assert f"telemetry  ~/otel-tools/demo/{file.name}" in output
    assert "model      scripted" in output
    assert "One GOOG share cost 560.19" in output
    assert "The failed calls are on purpose" in output
    assert "otel-tools sidecar up" in output
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80

    tree = re.findall(r"^(?:[├└]─ )(execute_tool \w+) +[\d.]+ m?s  (\w+(?: \w+)?)", output, re.MULTILINE)
    assert tree == [
        ("execute_tool get_weather", "ok"),
        ("execute_tool get_stock_price", "error LookupError"),
        ("execute_tool search_web", "ok"),
        ("execute_tool get_stock_price", "error LookupError"),
        ("execute_tool search_web", "ok"),
        ("execute_tool get_stock_price", "ok"),
    ]
    table = re.findall(r"^(\w+) +(\d+) +(\d+) +(\d+) +([\d.]+%)", output, re.MULTILINE)
    assert table == [
        ("get_stock_price", "3", "1", "2", "33.3%"),
        ("get_weather", "1", "1", "0", "100.0%"),
        ("search_web", "2", "2", "0", "100.0%"),
    ]


def test_the_file_has_one_trace_under_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    output = demo("--file", file)
    agent, *tools = read_recording(file).trace(trace_id(output))
    assert agent.name == "invoke_agent travel-assistant"
    assert len(tools) == 6
    assert {tool.parent_id for tool in tools} == {agent.span_id}
    assert {tool.attributes["gen_ai.agent.name"] for tool in tools} == {"travel-assistant"}
    assert "gen_ai.conversation.id" in agent.attributes


def test_each_repeated_conversation_is_a_trace_and_the_numbers_add_up(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    output = demo("--file", file, "--repeat", 4)
    recording = read_recording(file)
    assert len({span.trace_id for span in recording.spans}) == 4
    assert "Conversation, the last of 4" in output
    last = max(recording.spans, key=lambda span: span.end)
    assert trace_id(output) == last.trace_id
    assert re.search(r"^get_stock_price +12 +4 +8 +33.3%", output, re.MULTILINE)


def test_a_second_run_with_the_same_file_shows_only_its_own_numbers(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    demo("--file", file)
    assert re.search(r"^get_stock_price +3 +1 +2 ", demo("--file", file), re.MULTILINE)
    assert len({span.trace_id for span in read_recording(file).spans}) == 2


def test_with_a_collector_it_sends_there_and_prints_links(collector: Collector) -> None:
    output = demo(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TOOLS_JAEGER_URL="http://jaeger.example")
    (trace,) = collector.spans
    assert sorted(collector.spans[trace]) == sorted(
        ["invoke_agent travel-assistant", "execute_tool get_weather"]
        + ["execute_tool search_web"] * 2
        + ["execute_tool get_stock_price"] * 3
    )
    assert {"otel_tools.calls", "gen_ai.execute_tool.duration"} <= collector.metrics
    assert f"http://jaeger.example/trace/{trace}" in output
    assert "http://127.0.0.1:9090/graph?g0.expr=otel_tools_calls_total" in output
    assert "OTLP to the collector at 127.0.0.1:" in output


def test_it_sends_to_the_endpoint_of_the_command_line(collector: Collector) -> None:
    demo("--endpoint", collector.url)
    assert len(collector.spans) == 1


def test_a_server_that_is_no_collector_is_reported() -> None:
    with ScriptedModel() as other:
        output = demo("--endpoint", other.base_url.removesuffix("/v1"), code=1)
    assert "not all telemetry arrived" in output


def test_wrong_options_are_explained() -> None:
    assert "`otel-tools sidecar up`" in " ".join(demo("--exporter", "otlp", code=1).split())
    assert "--exporter" in demo("--exporter", "carrier-pigeon", code=2)
    assert "--repeat" in demo("--repeat", 0, code=2)


def test_the_model_of_the_environment_is_used(tmp_path: Path) -> None:
    with ScriptedModel() as server:
        output = demo("--file", tmp_path / "x", OPENAI_BASE_URL=server.base_url, OPENAI_MODEL="scripted")
        assert f"scripted at {server.base_url}/ (from OPENAI_*)" in output
        assert "One GOOG share cost 560.19" in output

        output = demo("--file", tmp_path / "y", code=1, OPENAI_BASE_URL=server.base_url, OPENAI_MODEL="another")
        assert "The model another at" in output
        assert "does not exist" in output
        assert re.search(r"^invoke_agent travel-assistant .* error", output, re.MULTILINE)


def test_the_scripted_model_is_not_reached_through_a_proxy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        demo(
            "--file",
            tmp_path / "x",
            HTTP_PROXY=proxy,
            http_proxy=proxy,
            ALL_PROXY=proxy,
            NO_PROXY="",
            no_proxy="",
        )


def test_an_ascii_terminal_gets_all_output_in_ascii(tmp_path: Path) -> None:
    output = demo("--file", tmp_path / "x", PYTHONIOENCODING="ascii")
    assert "15.0 to 33.3 ?C" in output
    assert "`- execute_tool get_stock_price" in output


def test_with_the_sdk_disabled_it_says_that_there_is_no_trace(tmp_path: Path) -> None:
    assert "No trace was recorded" in demo("--file", tmp_path / "x", OTEL_SDK_DISABLED="true")
