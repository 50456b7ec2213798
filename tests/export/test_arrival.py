"""The resource, spans and metrics that arrive at a receiver after a bare `configure()` and some calls."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.export.program import Program
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.program import Ended
    from tests.export.received import Received, ReceivedPoint

SCRIPT = """
from otel_tools import Objective, tool

@tool(objective=Objective(success=0.995))
def search(query):
    return []

configure(
    service_name="travel-agent", service_version="1.4.0", environment="staging",
    endpoint=os.environ["RECEIVER"], headers={"X-Team": "search", "authorization": "Bearer abc"},
)
with agent("planner", conversation_id="c-1"):
    for n in range(5):
        work(n)
    search("x")
try:
    fail()
except ValueError:
    pass
report(flush=flush(), shutdown=shutdown(), again=shutdown())
"""

Arrived = tuple["Received", "Ended"]


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def arrived(request: pytest.FixtureRequest) -> Iterator[Arrived]:
    with GrpcReceiver() if request.param == "grpc" else HttpReceiver() as receiver:
        env = {"RECEIVER": receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": request.param}
        ended = Program(SCRIPT, env).run()
        assert ended.code == 0, ended.err
        yield receiver, ended


def test_everything_is_exported_without_a_log_line(arrived: Arrived) -> None:
    seen, ended = arrived
    assert ended.reported == {"flush": True, "shutdown": True, "again": True}
    assert ended.err == ""
    assert seen.problems == []


def test_the_resource_says_who_and_where(arrived: Arrived) -> None:
    seen, _ = arrived
    for each in seen.items:
        assert each.resource["service.name"] == "travel-agent"
        assert each.resource["service.version"] == "1.4.0"
        assert each.resource["deployment.environment.name"] == "staging"
        assert each.resource["telemetry.sdk.language"] == "python"
        assert uuid.UUID(each.resource["service.instance.id"]).version == 4
    assert len(seen.instances) == 1


def test_the_headers_go_with_each_request(arrived: Arrived) -> None:
    seen, _ = arrived
    assert {request.path for request in seen.requests} == {"/v1/traces", "/v1/metrics"}
    for request in seen.requests:
        assert request.headers["x-team"] == "search"
        assert request.headers["authorization"] == "Bearer abc"


def test_each_call_is_one_span_under_the_agents(arrived: Arrived) -> None:
    seen, _ = arrived
    assert sorted(span.name for span in seen.spans) == sorted(
        ["execute_tool work"] * 5 + ["execute_tool search", "execute_tool fail", "invoke_agent planner"]
    )
    assert seen.duplicate_span_ids() == []
    [parent] = [span for span in seen.spans if span.name == "invoke_agent planner"]
    for span in (*seen.spans_of("work"), *seen.spans_of("search")):
        assert (span.trace, span.parent) == (parent.trace, parent.id)
        assert span.attributes["otel_tools.outcome"] == "ok"
    [failed] = seen.spans_of("fail")
    assert failed.parent == ""
    assert failed.attributes["otel_tools.outcome"] == "error"
    assert failed.attributes["error.type"] == "ValueError"


def test_the_metrics_count_each_call_once(arrived: Arrived) -> None:
    seen, _ = arrived
    assert (seen.calls("work"), seen.calls("work", "error"), seen.durations("work")) == (5, 0, 5)
    assert (seen.calls("fail"), seen.calls("fail", "error"), seen.durations("fail")) == (0, 1, 1)
    assert seen.value("otel_tools.call.active") == 0
    assert seen.value("otel_tools.objective", gen_ai__tool__name="search") == 0.995
    assert seen.value("otel_tools.export.dropped", otel_tools__export__signal="traces") == 0
    assert seen.value("otel_tools.export.dropped", otel_tools__export__signal="metrics") == 0
    assert {point.metric: point.unit for point in seen.points} == {
        "gen_ai.execute_tool.duration": "s",
        "otel_tools.calls": "{call}",
        "otel_tools.call.active": "{call}",
        "otel_tools.objective": "",
        "otel_tools.export.dropped": "{item}",
    }


def test_exemplars_have_the_trace_id(arrived: Arrived) -> None:
    seen, _ = arrived

    def exemplars(tool: str) -> set[str]:
        def is_of(point: ReceivedPoint) -> bool:
            return point.attributes.get("gen_ai.tool.name") == tool

        return {trace for point in seen.points if is_of(point) for trace in point.exemplars}

    assert exemplars("fail") == {span.trace for span in seen.spans_of("fail")}
    assert exemplars("work") == {span.trace for span in seen.spans_of("work")}
