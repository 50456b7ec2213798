"""The real collector with the shipped config, between a real SDK and a fake Jaeger."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # grpcio comes without types
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from otel_tools._sidecar import http
from otel_tools._sidecar.configs import collector_dir
from otel_tools._sidecar.ports import HOST, Ports
from tests.secret_examples import NAMED, PROSE, SHAPES

CONFIG = collector_dir() / "config.yaml"


def until(done: Callable[[], object], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


class Jaeger(rpc.TraceServiceServicer):
    """A fake Jaeger that receives spans over gRPC and can be down."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.spans: list[trace_pb2.Span] = []
        self.resources: list[dict[str, Any]] = []

    def Export(  # noqa: N802  # the name in the protocol
        self, request: service.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> service.ExportTraceServiceResponse:
        """Keep the spans of a request."""
        for resource_spans in request.resource_spans:
            self.resources.append(attributes(resource_spans.resource.attributes))
            for scope_spans in resource_spans.scope_spans:
                self.spans.extend(scope_spans.spans)
        return service.ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        rpc.add_TraceServiceServicer_to_server(self, self.server)  # type: ignore[no-untyped-call]  # generated code
        self.server.add_insecure_port(f"{HOST}:{self.port}")
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(0).wait()


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Collector:
    """The real collector with the shipped config."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder, self.ports = binary, folder, Ports.free()
        self.otlp = f"http://{HOST}:{self.ports.otlp_http}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it is healthy."""
        ports = self.ports
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # our own program
                [self.binary, f"--config=file:{CONFIG}"],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "OTEL_TOOLS_OTLP_GRPC_PORT": str(ports.otlp_grpc),
                    "OTEL_TOOLS_OTLP_HTTP_PORT": str(ports.otlp_http),
                    "OTEL_TOOLS_HEALTH_PORT": str(ports.collector_health),
                    "OTEL_TOOLS_EXPORTER_PORT": str(ports.exporter),
                    "OTEL_TOOLS_COLLECTOR_METRICS_PORT": str(ports.collector_metrics),
                    "OTEL_TOOLS_JAEGER_OTLP": f"{HOST}:{ports.jaeger_otlp}",
                    "OTEL_TOOLS_DATA_DIR": str(self.folder / "data"),
                },
            )
        until(self.healthy)

    def healthy(self) -> bool:
        """Whether its health page answers 2xx."""
        return http.healthy(f"http://{HOST}:{self.ports.collector_health}/", 1)

    def end(self, how: signal.Signals) -> None:
        """Send it a signal and wait until it has ended."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(120)

    def page(self) -> list[str]:
        """The lines of the page that Prometheus scrapes."""
        request = urllib.request.Request(  # a loopback address
            f"http://{HOST}:{self.ports.exporter}/metrics",
            headers={"Accept": "application/openmetrics-text;version=1.0.0"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # as above
            return [line for line in answer.read().decode().splitlines() if not line.startswith("#")]

    def own(self, name: str) -> float:
        """The sum of one of its own metrics."""
        _, body = http.get(f"http://{HOST}:{self.ports.collector_metrics}/metrics", 5)
        return sum(float(line.rsplit(" ", 1)[1]) for line in body.splitlines() if line.startswith(f"{name}{{"))

    def traced(self, service_name: str = "agent", **more: Any) -> TracerProvider:
        """A provider that exports each span when it ends."""
        provider = TracerProvider(resource=Resource.create({"service.name": service_name, **more}))
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{self.otlp}/v1/traces")))
        return provider

    def metered(self, instance: str, **options: Any) -> MeterProvider:
        """A provider of one service instance that exports when it is flushed."""
        exporter = OTLPMetricExporter(f"{self.otlp}/v1/metrics", **options)
        return MeterProvider(
            resource=Resource.create(
                {
                    "service.name": "agent",
                    "service.instance.id": instance,
                    "deployment.environment.name": "production",
                    "process.command_args": ["serve", "--token=sk-0123456789abcdef0123"],
                }
            ),
            metric_readers=[PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)],
        )


@pytest.fixture
def collector(binaries: Mapping[str, Path], tmp_path: Path) -> Iterator[Collector]:
    running = Collector(binaries["otel-tools-collector"], tmp_path)
    running.start()
    yield running
    running.end(signal.SIGTERM)


# --- traces ---

SECRETS = {
    "sk-proj-0123456789abcdefghij": "an API key",
    "Bearer abcdefghijklmnop": "a bearer token",
    "hunter2": "a password",
    "ghp_0123456789abcdefghij0123456789abcdef": "a token of GitHub",
    "MIIEpAIBAAKCAQEA": "a private key",
}


def test_secrets_in_telemetry_are_removed(collector: Collector) -> None:
    key, bearer, password, github, private = SECRETS
    with Jaeger(collector.ports.jaeger_otlp) as jaeger:
        provider = collector.traced(**{"process.command_line": f"serve --api-key={key}"})
        with provider.get_tracer("t").start_as_current_span(f"execute_tool search {key}") as span:
            span.set_attributes(
                {
                    "gen_ai.tool.name": "search",
                    "gen_ai.usage.input_tokens": 7,
                    "gen_ai.request.max_tokens": 100,
                    "http.request.header.authorization": "whatever it is",
                    "access_token": password,
                    "list": ["a", bearer],
                    "gen_ai.tool.call.arguments": json.dumps({"q": "x", "password": password, "n": 1}),
                    "gen_ai.tool.call.result": json.dumps({"text": json.dumps({"api_key": password}), "n": 1}),
                    "by_the_sdk": '{"password": "[REDACTED]", "n": 1} https://bob:[REDACTED]@example.org/',
                    "key": f"-----BEGIN RSA PRIVATE KEY-----\n{private}\n-----END RSA PRIVATE KEY-----",
                }
            )
            span.add_event("exception", {"exception.message": f"https://bob:{password}@example.org/ said no"})
            span.set_status(Status(StatusCode.ERROR, f"refused {github}"))
        until(lambda: jaeger.spans)
        provider.shutdown()
    (span_seen,) = jaeger.spans
    for secret, what in SECRETS.items():
        assert secret not in str(span_seen) + str(jaeger.resources), what
    assert span_seen.name == "execute_tool search ****"
    assert span_seen.status.message == "refused ****"
    assert span_seen.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    seen = attributes(span_seen.attributes)
    assert seen["gen_ai.tool.name"] == "search"
    assert (seen["gen_ai.usage.input_tokens"], seen["gen_ai.request.max_tokens"]) == (7, 100)
    assert seen["http.request.header.authorization"] == "****"
    assert seen["by_the_sdk"] == '{"password": "[REDACTED]", "n": 1} https://bob:[REDACTED]@example.org/'
    assert not any(name.startswith("otel_tools.exposed") for name in seen)


def test_the_collector_finds_the_secrets_that_the_sdk_finds(collector: Collector) -> None:
    secrets = {**SHAPES, **NAMED}
    with Jaeger(collector.ports.jaeger_otlp) as jaeger:
        provider = collector.traced()
        with provider.get_tracer("t").start_as_current_span("execute_tool search") as span:
            span.set_attributes({f"text {number}": text for number, text in enumerate(PROSE)})
            span.set_attributes({f"of {what}": text.format(secret) for what, (text, secret) in secrets.items()})
        until(lambda: jaeger.spans)
        provider.shutdown()
    seen = attributes(jaeger.spans[0].attributes)
    kept = {
        what: seen[f"of {what}"]
        for what, (_, secret) in secrets.items()
        if any(part in seen[f"of {what}"] for part in re.split(r"\W+", secret) if len(part) > 3)
    }
    assert kept == {}
    assert [seen[f"text {number}"] for number in range(len(PROSE))] == PROSE


def test_spans_wait_on_disk_for_jaeger_also_when_the_collector_is_killed(collector: Collector) -> None:
    provider = collector.traced()
    tracer = provider.get_tracer("t")
    for number in range(5):
        with tracer.start_as_current_span(f"before {number}"):
            pass
    until(lambda: collector.own("otelcol_exporter_queue_size") == 5)
    assert collector.healthy(), "Jaeger's absence is no reason to restart the collector"
    collector.end(signal.SIGKILL)
    collector.start()
    with tracer.start_as_current_span("after"):
        pass
    with Jaeger(collector.ports.jaeger_otlp) as jaeger:
        until(lambda: len({span.span_id for span in jaeger.spans}) == 6)
    assert {span.name for span in jaeger.spans} == {"after", *(f"before {number}" for number in range(5))}
    provider.shutdown()


# --- metrics ---


def test_each_process_has_its_own_series_with_its_labels(collector: Collector) -> None:
    for instance, calls in (("one", 100), ("two", 7)):
        provider = collector.metered(instance)
        meter = provider.get_meter("otel_tools")
        counter = meter.create_counter("otel_tools.calls", unit="{call}")
        for outcome, count in (("ok", calls), ("error", 0)):
            counter.add(count, {"gen_ai.tool.name": "search", "otel_tools.outcome": outcome})
        provider.force_flush()
        provider.shutdown()
    labels = (
        'deployment_environment_name="production",gen_ai_tool_name="search",instance="{}",job="agent",'
        'otel_tools_outcome="{}",service_name="agent"'
    )
    seen = {line for line in collector.page() if line.startswith("otel_tools_calls_total")}
    assert seen == {
        f"otel_tools_calls_total{{{labels.format('one', 'ok')}}} 100.0",
        f"otel_tools_calls_total{{{labels.format('one', 'error')}}} 0.0",
        f"otel_tools_calls_total{{{labels.format('two', 'ok')}}} 7.0",
        f"otel_tools_calls_total{{{labels.format('two', 'error')}}} 0.0",
    }


def test_a_duration_has_an_exemplar_of_its_trace(collector: Collector) -> None:
    meters = collector.metered("one")
    histogram = meters.get_meter("otel_tools").create_histogram(
        "gen_ai.execute_tool.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1]
    )
    with TracerProvider().get_tracer("t").start_as_current_span("execute_tool search") as span:
        histogram.record(0.5, {"gen_ai.tool.name": "search"})
    meters.force_flush()
    # Read before the shutdown, which exports once more: an exemplar is sent in one export only.
    (bucket,) = [line for line in collector.page() if 'le="1.0"' in line]
    assert bucket.startswith("gen_ai_execute_tool_duration_seconds_bucket{")
    assert f'trace_id="{span.get_span_context().trace_id:032x}"' in bucket
    meters.shutdown()


def test_a_secret_in_a_resource_does_not_become_a_label(collector: Collector) -> None:
    meters = collector.metered("one")
    meters.get_meter("otel_tools").create_counter("otel_tools.calls").add(1)
    meters.force_flush()
    meters.shutdown()
    (info,) = [line for line in collector.page() if line.startswith("target_info")]
    assert "process_command_args" in info
    assert "sk-0123" not in info


def test_delta_metrics_are_accumulated(collector: Collector) -> None:
    meters = collector.metered("one", preferred_temporality={Counter: AggregationTemporality.DELTA})
    counter = meters.get_meter("otel_tools").create_counter("otel_tools.calls", unit="{call}")
    for _ in range(3):
        counter.add(5, {"gen_ai.tool.name": "search"})
        meters.force_flush()
    meters.shutdown()
    (line,) = [line for line in collector.page() if line.startswith("otel_tools_calls_total{")]
    assert line.split(" # ")[0].endswith(" 15.0")


# --- logs ---


def test_logs_are_written_to_a_file_without_their_secrets(collector: Collector) -> None:
    provider = LoggerProvider(resource=Resource.create({"service.name": "agent"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{collector.otlp}/v1/logs")))
    provider.get_logger("t").emit(
        LogRecord(body="the key is sk-0123456789abcdef0123", severity_number=SeverityNumber.ERROR)
    )
    provider.shutdown()
    path = collector.folder / "data" / "logs" / "logs.otlp.jsonl"
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    (line,) = path.read_text().splitlines()
    record = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert record["body"] == {"stringValue": "the key is ****"}


# --- who can reach it ---


def test_it_listens_only_on_loopback(collector: Collector) -> None:
    listening = "0A"
    assert collector.process
    sockets = set()
    for path in Path(f"/proc/{collector.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            sockets.add(str(path.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == listening and f"socket:[{parts[9]}]" in sockets:
                address, port = parts[1].split(":")
                assert address == "0100007F", "127.0.0.1, as the kernel writes it"
                found.add(int(port, 16))
    ports = collector.ports
    assert found == {
        ports.otlp_grpc,
        ports.otlp_http,
        ports.collector_health,
        ports.exporter,
        ports.collector_metrics,
    }
