"""What the encoder cannot take is cleaned, or lost alone: the other items of its batch arrive."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from otel_tools import agent
from otel_tools._export.cleaning import clean_logs, clean_metrics, clean_spans
from otel_tools._telemetry.content.surrogates import without_surrogates
from otel_tools.testing import capture
from tests.export.pipelines import Exports, exports
from tests.export.program import Program
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HALF: Final = "a\ud800b"
REPLACED: Final = "a\ufffdb"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


ODD_VALUES: Final[dict[str, Any]] = {
    "half a pair": HALF,
    "a pair in halves": "\ud83d\ude00",
    "an integer of 64 bits": 2**63 - 1,
    "one more": 2**63,
    "one less": -(2**63) - 1,
    "an endless integer": 10**5000,
    "nan": math.nan,
    "inf": math.inf,
    "bytes": b"\xff\x00",
    "none in a list": ["a", None],
    "a mixed list": ["a", 1, 2.5, True, HALF, 2**70],
    "a dictionary": {HALF: {"deep": [HALF]}},
    "an empty list": [],
    "a set": {"a"},
    "an object": object(),
    "a class": Exports,
}

CONTEXT: Final = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))

ODD_SPANS: Final[dict[str, Callable[[Exports], None]]] = {
    "name": lambda sent: sent.tracers.get_tracer("t").start_span(HALF).end(),
    "attribute key": lambda sent: sent.tracers.get_tracer("t").start_span("odd", attributes={HALF: 1}).end(),
    "status": lambda sent: _with(sent, lambda span: span.set_status(Status(StatusCode.ERROR, HALF))),
    "event name": lambda sent: _with(sent, lambda span: span.add_event(HALF)),
    "event attribute": lambda sent: _with(sent, lambda span: span.add_event("e", {HALF: HALF})),
    "exception": lambda sent: _with(sent, lambda span: span.record_exception(ValueError(HALF))),
    "link attribute": lambda sent: (
        sent.tracers.get_tracer("t").start_span("odd", links=[Link(CONTEXT, {HALF: HALF})]).end()
    ),
    "scope name": lambda sent: sent.tracers.get_tracer(HALF).start_span("odd").end(),
    "scope version": lambda sent: sent.tracers.get_tracer("t", HALF).start_span("odd").end(),
    "scope schema": lambda sent: sent.tracers.get_tracer("t", schema_url=HALF).start_span("odd").end(),
    "scope attribute": lambda sent: sent.tracers.get_tracer("t", attributes={HALF: HALF}).start_span("odd").end(),
}


def _with(sent: Exports, change: Callable[[Any], None]) -> None:
    span = sent.tracers.get_tracer("t").start_span("odd")
    change(span)
    span.end()


ODD_LOGS: Final[dict[str, dict[str, Any]]] = {
    "body": {"body": HALF},
    "attribute key": {"attributes": {HALF: 1}},
    "attribute value": {"attributes": {"k": HALF}},
    "severity": {"severity_text": HALF},
    "event name": {"event_name": HALF},
    "an object without a text": {"body": Unprintable()},
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")


@pytest.fixture(params=["http/protobuf", "grpc"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver | GrpcReceiver]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    with GrpcReceiver() if request.param == "grpc" else HttpReceiver() as receiver:
        yield receiver


@pytest.mark.parametrize("place", ODD_SPANS)
def test_a_span_with_half_a_surrogate_pair_arrives_with_its_batch(
    either: HttpReceiver | GrpcReceiver, place: str
) -> None:
    with exports(endpoint=either.url) as sent:
        sent.send(3)
        ODD_SPANS[place](sent)
        sent.send(3)
        assert sent.flush()
        assert sent.dropped == {}
        names = [span.name for span in either.spans]
        assert len(names) == 7
        assert REPLACED in names or "odd" in names


@pytest.mark.parametrize("value", ODD_VALUES)
def test_an_odd_attribute_arrives(receiver: HttpReceiver, value: str) -> None:
    odd = ODD_VALUES[value]
    attributes: dict[str, Any] = {"odd": odd, "good": 1}
    with exports(endpoint=receiver.url) as sent:
        sent.send(2)
        sent.tracers.get_tracer("t").start_span("odd", attributes=attributes).end()
        sent.loggers.get_logger("t").emit(body=odd, attributes={"odd": odd})
        assert sent.flush()
        assert sent.dropped == {}
        assert (len(receiver.spans), len(receiver.logs)) == (3, 3)
        [span] = [span for span in receiver.spans if span.name == "odd"]
        assert span.attributes["good"] == 1
        assert "odd" in span.attributes


def test_the_cleaned_values(receiver: HttpReceiver) -> None:
    with exports(endpoint=receiver.url) as sent:
        values: dict[str, Any] = {
            "half": HALF,
            "pair": "\ud83d\ude00",
            "most": 2**63 - 1,
            "more": 2**63,
            "list": [1, HALF],
        }
        sent.tracers.get_tracer("t").start_span(HALF, attributes=values).end()
        assert sent.flush()
        [span] = receiver.spans
        assert span.name == REPLACED
        assert span.attributes == {
            "half": REPLACED,
            "pair": "\U0001f600",
            "most": 2**63 - 1,
            "more": str(2**63),
            "list": (1, REPLACED),
        }


@pytest.mark.parametrize("place", ODD_LOGS)
def test_a_log_record_with_half_a_surrogate_pair_arrives_with_its_batch(
    either: HttpReceiver | GrpcReceiver, place: str
) -> None:
    with exports(endpoint=either.url) as sent:
        sent.send(2)
        sent.loggers.get_logger("t").emit(**ODD_LOGS[place])
        sent.loggers.get_logger(HALF, HALF).emit(body="odd scope")
        assert sent.flush()
        assert sent.dropped == {}
        assert len(either.logs) == 4


@pytest.mark.parametrize("time", [-1, 2**64, "now"])
def test_a_span_that_cannot_be_encoded_is_lost_alone(
    either: HttpReceiver | GrpcReceiver, caplog: pytest.LogCaptureFixture, time: Any
) -> None:
    with exports(endpoint=either.url) as sent:
        sent.send(3)
        sent.tracers.get_tracer("t").start_span("odd", start_time=time).end()
        sent.send(3)
        assert sent.flush() is False
        assert sent.dropped == {"traces": 1}
        assert len(either.spans) == 6
        assert "(1 of traces cannot be encoded: " in caplog.text


def test_a_log_record_that_cannot_be_encoded_is_lost_alone(
    either: HttpReceiver | GrpcReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with exports(endpoint=either.url) as sent:
        sent.send(3)
        sent.loggers.get_logger("t").emit(body=_cycle())
        assert sent.flush() is False
        assert sent.dropped == {"logs": 1}
        assert len(either.logs) == 3
        assert len(either.spans) == 3
        assert "1 of logs cannot be encoded" in caplog.text


@pytest.mark.parametrize("place", ["attribute", "description", "scope", "great value", "exemplar"])
def test_odd_metrics_arrive(either: HttpReceiver | GrpcReceiver, place: str) -> None:
    with exports(endpoint=either.url) as sent:
        assert sent.meters is not None
        sent.send(3)
        meter = sent.meters.get_meter(HALF if place == "scope" else "t")
        odd = meter.create_counter("odd", description=HALF if place == "description" else "")
        odd.add(2**70 if place == "great value" else 1, {HALF: HALF} if place == "attribute" else {})
        with sent.tracers.get_tracer("t").start_as_current_span("s"):
            odd.add(1, {"k": HALF})
        assert sent.flush()
        assert sent.dropped == {}
        metrics = [point.metric for point in either.points]
        assert (metrics.count("counted"), metrics.count("odd")) == (3, 2)


def test_a_point_that_cannot_be_encoded_is_lost_alone(
    either: HttpReceiver | GrpcReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with exports(endpoint=either.url) as sent:
        assert sent.meters is not None
        sent.send(3)
        odd = sent.meters.get_meter("t").create_counter("odd")
        odd.add(1, {"n": "good"})
        for _ in range(20):
            odd.add(10**308, {"n": "odd"})  # the sum is more than a float can be
        assert sent.flush() is False
        assert sent.dropped == {"metrics": 1}
        metrics = [point.metric for point in either.points]
        assert (metrics.count("counted"), metrics.count("odd")) == (3, 1)
        assert "1 of metrics cannot be encoded" in caplog.text


def test_the_file_has_the_other_items(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    with exports(exporter="file", file=str(file)) as sent:
        sent.send(2)
        sent.tracers.get_tracer("t").start_span(HALF).end()
        sent.loggers.get_logger("t").emit(body=_cycle())
        assert sent.flush() is False
        assert sent.dropped == {"logs": 1}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    spans = [span for line in lines for each in line.get("resourceSpans", ()) for span in each["scopeSpans"]]
    assert sum(len(scope["spans"]) for scope in spans) == 3


def test_names_of_an_application_with_half_a_surrogate_pair(receiver: HttpReceiver) -> None:
    ended = Program(
        r"""
        configure(service_name="ser\ud800vice", environment="\udcff")
        with agent("plan\ud800ner", conversation_id="c\udfff"):
            for n in range(3): work(n)
            try: tool(name="raises")(fail.tool.function)()
            except ValueError: pass
            @tool
            def broken():
                raise ValueError("\ud800" * 3)
            try: broken()
            except ValueError: pass
        report(flush=flush(), shutdown=shutdown())
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
    ).run()
    assert ended.reported == {"flush": True, "shutdown": True}
    assert ended.err == ""
    assert len(receiver.spans) == 6
    assert {span.resource["service.name"] for span in receiver.spans} == {"ser\ufffdvice"}
    assert receiver.calls("work") == 3
    assert [span.name for span in receiver.spans if span.name.startswith("invoke")] == ["invoke_agent plan\ufffdner"]


def test_an_agents_name_is_clean_under_a_provider_of_the_application() -> None:
    with capture() as seen, agent(HALF, conversation_id=HALF):
        pass
    [span] = seen.spans
    assert span.name == f"invoke_agent {REPLACED}"
    assert encode_spans([span]).ByteSize() > 0
    assert span.attributes is not None
    assert (span.attributes["gen_ai.agent.name"], span.attributes["gen_ai.conversation.id"]) == (REPLACED, REPLACED)


def test_a_name_of_a_variable_in_another_encoding(receiver: HttpReceiver) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": os.fsdecode(b"caf\xe9")}
    ended = Program("configure()\nwork()\nreport(flush=flush())", env).run()
    assert ended.reported["flush"] is True
    assert {span.resource["service.name"] for span in receiver.spans} == {"caf\ufffd"}


def test_what_is_clean_is_passed_on_as_it_is() -> None:
    with exports(exporter="console") as sent:
        span = sent.tracers.get_tracer("t").start_span("ä €", attributes={"é": "ü", "n": 1, "list": ["a", 1]})
        span.add_event("e", {"k": "v"})
        span.end()
        ended: list[Any] = [span]
        assert clean_spans(ended) == ended
    assert clean_logs([]) == []
    data = InMemoryMetricReader().get_metrics_data()
    assert data is None or clean_metrics(data) is not None


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("ascii", "ascii"),
        ("ä€\U0001f600", "ä€\U0001f600"),
        (HALF, REPLACED),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("", ""),
    ],
)
def test_the_text_without_halves(text: str, clean: str) -> None:
    assert without_surrogates(text) == clean
