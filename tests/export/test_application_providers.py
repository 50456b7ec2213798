"""Providers that the application has set: `configure()` keeps them and logs one line; tools use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import Received

THEIRS: Final = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, reader = InMemorySpanExporter(), InMemoryMetricReader()

def their_traces():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    return provider

def their_metrics():
    provider = MeterProvider([reader])
    metrics.set_meter_provider(provider)
    return provider

def counted():
    data = reader.get_metrics_data()
    return {
        metric.name: sum(getattr(point, "value", getattr(point, "count", 0)) for point in metric.data.data_points)
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
"""

SCRIPTS: Final = {
    "both": """
        tracer_provider, meter_provider = their_traces(), their_metrics()
        before = signal.getsignal(signal.SIGTERM)
        configure(service_name="both")
        configure(service_name="both")
        for n in range(3): work(n)
        report(spans=len(spans.get_finished_spans()), counted=counted(), flush=flush(), shutdown=shutdown(),
            same=[trace.get_tracer_provider() is tracer_provider, metrics.get_meter_provider() is meter_provider],
            handler=signal.getsignal(signal.SIGTERM) is before)
        work()
        report(after=len(spans.get_finished_spans()))
        """,
    "traces": """
        provider = their_traces()
        configure(service_name="traces")
        for n in range(3): work(n)
        report(spans=len(spans.get_finished_spans()), flush=flush(), same=trace.get_tracer_provider() is provider)
        """,
    "metrics": """
        provider = their_metrics()
        configure(service_name="metrics")
        for n in range(3): work(n)
        report(counted=counted(), flush=flush(), same=metrics.get_meter_provider() is provider)
        """,
    "flushed": """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        provider = TracerProvider(resource=Resource({"service.name": "flushed-by-them", "service.instance.id": "1"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=3600_000))
        trace.set_tracer_provider(provider)
        configure(service_name="flushed", endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], sample_ratio=1.0)
        for n in range(3): work(n)
        report(flush=flush(), ended=time.monotonic())
        os._exit(0)
        """,
    "their-variables": """
        their_traces(), their_metrics()
        os.environ.update(OTEL_METRICS_EXPORTER="prometheus", OTEL_TRACES_EXPORTER="zipkin", OTEL_SERVICE_NAME="x")
        os.environ.update(OTEL_EXPORTER_OTLP_HEADERS="Authorization: Bearer s3cret")
        configure()
        work()
        report(spans=len(spans.get_finished_spans()))
        """,
    "off": """
        os.environ.update(OTEL_SDK_DISABLED="true", OTEL_METRICS_EXPORTER="prometheus")
        configure(service_name="off")
        """,
    "without-configure": """
        flushed = []
        class Provider(TracerProvider):
            def force_flush(self, timeout_millis=30000):
                flushed.append(timeout_millis)
                return False
        trace.set_tracer_provider(Provider())
        report(flush=flush(2.5), flushed=flushed)
        """,
    "stuck": """
        class Provider(TracerProvider):
            def force_flush(self, timeout_millis=30000):
                time.sleep(60)
        trace.set_tracer_provider(Provider())
        class Meters(MeterProvider):
            def force_flush(self, timeout_millis=30000):
                raise RuntimeError("no")
        metrics.set_meter_provider(Meters())
        configure(service_name="stuck")
        began = time.monotonic()
        report(flush=flush(0.2), took=time.monotonic() - began)
        os._exit(0)
        """,
    "later": """
        work()
        their_traces(), their_metrics()
        for n in range(3): work(n)
        try: fail()
        except ValueError: pass
        report(spans=len(spans.get_finished_spans()), counted=counted(), mine=calls())
        """,
    "twice": """
        configure(service_name="twice")
        work()
        configure(service_name="twice")
        configure()
        configure(capture_content=True)
        work("secret")
        configure(redact=["secret"])
        work("secret")
        configure(capture_content=False)
        work("secret")
        configure(service_name="other")
        configure(service_name="other", sample_ratio=0.5)
        work()
        """,
    "instruments": """
        configure(service_name="instruments")
        from opentelemetry import metrics, trace
        metrics.get_meter("application").create_counter("orders").add(2)
        with trace.get_tracer("application").start_as_current_span("request"):
            work()
        """,
    "again": """
        configure(service_name="again")
        work()
        shutdown()
        configure(service_name="again")
        work()
        report(ok=calls())
        """,
}

WITH_THEIRS: Final = {"both", "their-variables", "traces", "metrics", "flushed", "without-configure", "stuck", "later"}


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[Received, dict[str, Ended]]]:
    with HttpReceiver() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        programs = {
            name: Program(THEIRS if name in WITH_THEIRS else "", env, then=script) for name, script in SCRIPTS.items()
        }
        ended = run_all(programs)
        assert {name: each.err for name, each in ended.items() if each.code} == {}
        yield receiver, ended


def test_all_signals_are_left_to_the_application(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    reported = ended["both"].reported
    assert reported["spans"] == 3
    assert reported["counted"]["otel_tools.calls"] == 3
    assert reported["counted"]["gen_ai.execute_tool.duration"] == 3
    assert reported["same"] == [True, True]
    assert reported["handler"] is True
    assert (reported["flush"], reported["shutdown"], reported["after"]) == (True, True, 4)
    assert seen.service("both").requests == []
    assert ended["both"].lines == [
        (
            "the application has set its own provider for metrics and traces: configure() leaves it alone; "
            "not used there: service_name="
        )
    ]


def test_one_signal_is_left_to_the_application_and_the_other_is_set_up(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    traces, metrics = ended["traces"], ended["metrics"]
    assert (traces.reported["spans"], traces.reported["flush"], traces.reported["same"]) == (3, True, True)
    assert (
        seen.service("traces").spans,
        seen.service("traces").calls("work"),
        seen.service("traces").durations("work"),
    ) == ([], 3, 3)
    left_alone = "the application has set its own provider for {}: configure() leaves it alone; not used there: {}"
    assert traces.lines == [left_alone.format("traces", "service_name=")]

    assert metrics.reported["counted"]["otel_tools.calls"] == 3
    assert (metrics.reported["flush"], metrics.reported["same"]) == (True, True)
    assert (len(seen.service("metrics").spans), seen.service("metrics").points) == (3, [])
    assert metrics.lines == [left_alone.format("metrics", "service_name=")]


def test_flush_flushes_a_provider_of_the_application(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    # The process ends without any handler, so that only flush() can have sent them.
    assert ended["flushed"].reported["flush"] is True
    assert len(seen.service("flushed-by-them").spans) == 3
    assert seen.service("flushed").calls("work") == 3
    [line] = ended["flushed"].lines
    assert line.endswith("configure() leaves it alone; not used there: service_name=, endpoint=, sample_ratio=")
    assert ended["without-configure"].reported == {"flush": False, "flushed": [2500]}


def test_variables_that_are_not_used_are_not_refused(runs: tuple[Received, dict[str, Ended]]) -> None:
    ended = runs[1]
    assert ended["their-variables"].reported == {"spans": 1}
    assert ended["their-variables"].lines == [
        "the application has set its own provider for metrics and traces: configure() leaves it alone"
    ]
    assert ended["off"].err == ""


def test_a_provider_that_does_not_answer_makes_flush_false_in_time(runs: tuple[Received, dict[str, Ended]]) -> None:
    reported = runs[1]["stuck"].reported
    assert reported["flush"] is False
    assert reported["took"] < 30


def test_providers_that_are_set_after_decoration_are_found(runs: tuple[Received, dict[str, Ended]]) -> None:
    reported = runs[1]["later"].reported
    assert reported["mine"] == 4
    # The counter includes the call before any provider was set; that call has no span and no histogram point.
    assert reported["spans"] == 4
    assert reported["counted"]["otel_tools.calls"] == 5
    assert reported["counted"]["gen_ai.execute_tool.duration"] == 4
    assert runs[1]["later"].err == ""


def test_a_second_call_changes_content_and_redaction_and_nothing_else(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    spans = seen.service("twice").spans
    assert [span.attributes.get("gen_ai.tool.call.arguments") for span in spans] == [
        None,
        '{"n":"secret"}',
        '{"n":"[REDACTED]"}',
        None,
        None,
    ]
    assert not seen.service("other").spans
    assert seen.service("twice").calls("work") == 5
    name, with_ratio = ended["twice"].lines
    assert name == (
        "configure() was called before with other arguments; the first configuration stays: "
        "service_name='other' is not used, service_name='twice' is"
    )
    assert with_ratio == f"{name}, sample_ratio=0.5 is not used"


def test_our_providers_export_the_applications_instruments(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen = runs[0].service("instruments")
    assert seen.value("orders") == 2
    [request] = [span for span in seen.spans if span.name == "request"]
    assert [span.parent for span in seen.spans_of("work")] == [request.id]


def test_configure_after_shutdown_warns_and_starts_nothing(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    assert ended["again"].reported["ok"] == 2
    assert len(seen.service("again").spans) == 1
    again, late = ended["again"].lines
    assert again.startswith("configure() after shutdown()")
    assert late.startswith("calls go on after shutdown()")
