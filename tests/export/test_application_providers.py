"""The application's own providers stay: `configure()` steps aside with one line, and tools find what is set later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.seen import Seen

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
        say(spans=len(spans.get_finished_spans()), counted=counted(), flush=flush(), shutdown=shutdown(),
            same=[trace.get_tracer_provider() is tracer_provider, metrics.get_meter_provider() is meter_provider],
            handler=signal.getsignal(signal.SIGTERM) is before)
        work()
        say(after=len(spans.get_finished_spans()))
        """,
    "traces": """
        provider = their_traces()
        configure(service_name="traces")
        for n in range(3): work(n)
        say(spans=len(spans.get_finished_spans()), flush=flush(), same=trace.get_tracer_provider() is provider)
        """,
    "metrics": """
        provider = their_metrics()
        configure(service_name="metrics")
        for n in range(3): work(n)
        say(counted=counted(), flush=flush(), same=metrics.get_meter_provider() is provider)
        """,
    "later": """
        work()
        their_traces(), their_metrics()
        for n in range(3): work(n)
        try: fail()
        except ValueError: pass
        say(spans=len(spans.get_finished_spans()), counted=counted(), mine=calls())
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
        say(ok=calls())
        """,
}


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Seen, dict[str, Ended]]]:
    with HttpReceiver() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        programs = {
            name: Program(THEIRS if name in {"both", "traces", "metrics", "later"} else "", env, then=script)
            for name, script in SCRIPTS.items()
        }
        ended = run_all(programs)
        assert {name: each.err for name, each in ended.items() if each.code} == {}
        yield receiver, ended


def test_all_providers_are_the_applications(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    said = ended["both"].said
    assert said["spans"] == 3
    assert said["counted"]["otel_tools.calls"] == 3
    assert said["counted"]["gen_ai.execute_tool.duration"] == 3
    assert said["same"] == [True, True]
    assert said["handler"] is True
    assert (said["flush"], said["shutdown"], said["after"]) == (True, True, 4)
    assert seen.of("both").requests == []
    assert ended["both"].lines == [
        "the application has set its own provider for metrics and traces: configure() leaves it alone"
    ]


def test_one_signal_is_the_applications_and_the_other_ours(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    traces, metrics = ended["traces"], ended["metrics"]
    assert (traces.said["spans"], traces.said["flush"], traces.said["same"]) == (3, True, True)
    assert (seen.of("traces").spans, seen.of("traces").calls("work"), seen.of("traces").durations("work")) == ([], 3, 3)
    assert traces.lines == ["the application has set its own provider for traces: configure() leaves it alone"]

    assert metrics.said["counted"]["otel_tools.calls"] == 3
    assert (metrics.said["flush"], metrics.said["same"]) == (True, True)
    assert (len(seen.of("metrics").spans), seen.of("metrics").points) == (3, [])
    assert metrics.lines == ["the application has set its own provider for metrics: configure() leaves it alone"]


def test_providers_that_are_set_after_decoration_are_found(lab: tuple[Seen, dict[str, Ended]]) -> None:
    said = lab[1]["later"].said
    assert said["mine"] == 4
    # The call before there was any is in the numbers; it has no span, and the histogram did not see it.
    assert said["spans"] == 4
    assert said["counted"]["otel_tools.calls"] == 5
    assert said["counted"]["gen_ai.execute_tool.duration"] == 4
    assert lab[1]["later"].err == ""


def test_a_second_call_changes_content_and_redaction_and_nothing_else(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    spans = seen.of("twice").spans
    assert [span.attributes.get("gen_ai.tool.call.arguments") for span in spans] == [
        None,
        '{"n":"secret"}',
        '{"n":"[REDACTED]"}',
        None,
        None,
    ]
    assert not seen.of("other").spans
    assert seen.of("twice").calls("work") == 5
    assert ended["twice"].lines == [
        "configure() was called before with other arguments; the first configuration stays",
        "configure() was called before with other arguments; the first configuration stays",
    ]


def test_the_applications_instruments_leave_by_our_providers(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen = lab[0].of("instruments")
    assert seen.value("orders") == 2
    [request] = [span for span in seen.spans if span.name == "request"]
    assert [span.parent for span in seen.spans_of("work")] == [request.id]


def test_after_shutdown_there_is_no_second_start_and_that_is_said(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    assert ended["again"].said["ok"] == 2
    assert len(seen.of("again").spans) == 1
    [line] = ended["again"].lines
    assert "shutdown()" in line
