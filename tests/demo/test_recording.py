"""What the demo reads back from a file of OTLP JSON lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from otel_tools._demo.recording import Histogram, read_recording

RECORDED = Path(__file__).parent / "recorded.jsonl"
BOUNDS = [0.01, 0.02]


def resource(instance: str) -> dict[str, Any]:
    return {"attributes": attributes({"service.instance.id": instance})}


def attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def calls(instance: str, count: int, temporality: Any = 2, outcome: str = "ok") -> dict[str, Any]:
    labels = attributes({"gen_ai.tool.name": "f", "otel_tools.outcome": outcome})
    data = {
        "aggregationTemporality": temporality,
        "dataPoints": [{"asInt": str(count), "attributes": labels}],
    }
    return metric(instance, {"name": "otel_tools.calls", "sum": data})


def durations(instance: str, counts: list[int], total: float, temporality: Any = 2, **point: Any) -> dict[str, Any]:
    error = point.pop("error", None)
    labels = attributes({"gen_ai.tool.name": "f"} | ({"error.type": error} if error else {}))
    point |= {"bucketCounts": [str(each) for each in counts], "explicitBounds": BOUNDS, "sum": total}
    data = {"aggregationTemporality": temporality, "dataPoints": [point | {"attributes": labels}]}
    return metric(instance, {"name": "gen_ai.execute_tool.duration", "histogram": data})


def metric(instance: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"resourceMetrics": [{"resource": resource(instance), "scopeMetrics": [{"metrics": [data]}]}]}


def write(path: Path, *messages: Any) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in messages), encoding="utf-8")
    return path


def test_a_cumulative_point_replaces_the_previous_one(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x",
        calls("a", 1),
        calls("a", 3),
        durations("a", [1, 0, 0], 0.5),
        durations("a", [3, 0, 0], 1.5),
    )
    (tool,) = read_recording(file).tools("a")
    assert tool.outcomes == {"ok": 3}
    assert tool.duration.mean == 0.5


@pytest.mark.parametrize("temporality", [1, "AGGREGATION_TEMPORALITY_DELTA"])
def test_a_delta_point_is_added(tmp_path: Path, temporality: Any) -> None:
    messages = [calls("a", 1, temporality), durations("a", [1, 0, 0], 0.5, temporality)]
    (tool,) = read_recording(write(tmp_path / "x", *messages, *messages)).tools("a")
    assert tool.outcomes == {"ok": 2}
    assert tool.duration.counts == (2, 0, 0)


def test_each_process_has_its_own_numbers(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "x", calls("a", 1), calls("b", 5), durations("b", [5, 0, 0], 0.0)))
    assert recording.tools("a")[0].outcomes == {"ok": 1}
    assert recording.tools("b")[0].outcomes == {"ok": 5}
    assert recording.tools("c") == []


def test_durations_of_success_and_failure_are_merged(tmp_path: Path) -> None:
    messages = [
        calls("a", 3),
        calls("a", 1, outcome="error"),
        durations("a", [3, 0, 0], 0.006, min=0.001, max=0.003),
        durations("a", [0, 0, 1], 0.034, min=0.034, max=0.034, error="LookupError"),
    ]
    (tool,) = read_recording(write(tmp_path / "x", *messages)).tools("a")
    assert tool.success_rate == 0.75
    assert tool.duration.mean == pytest.approx(0.01)
    assert tool.duration.quantile(0.95) == pytest.approx(0.02 + (0.034 - 0.02) * 0.8)


def test_invalid_and_cancelled_calls_do_not_count_in_the_success_rate(tmp_path: Path) -> None:
    messages = [calls("a", 1), calls("a", 7, outcome="invalid"), calls("a", 7, outcome="cancelled")]
    assert read_recording(write(tmp_path / "x", *messages)).tools("a")[0].success_rate == 1.0
    assert read_recording(write(tmp_path / "x", *messages[1:])).tools("a")[0].success_rate is None


def test_a_quantile_is_between_minimum_and_maximum() -> None:
    fast = Histogram((0.01, 0.02), (10, 0, 0), 0.005, minimum=0.0004, maximum=0.0006)
    assert fast.quantile(0.95) == 0.0006
    assert fast.quantile(0.0001) == 0.0004
    assert Histogram((1.0,), (0, 0)).quantile(0.5) is None
    assert Histogram((1.0,), (0, 0)).mean is None


def test_histograms_with_different_buckets_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="different buckets"):
        Histogram((1.0,), (1, 0)) + Histogram((2.0,), (1, 0))


def test_a_truncated_line_is_counted_and_skipped(tmp_path: Path) -> None:
    file = write(tmp_path / "x", calls("a", 1))
    with file.open("a") as lines:
        lines.write('\n{"resourceSpans": [')
    recording = read_recording(file)
    assert recording.unreadable == 1
    assert len(recording.tools("a")) == 1


def test_every_encoding_that_the_format_allows_is_read(tmp_path: Path) -> None:
    span = {
        "traceId": "AB" * 16,
        "spanId": "CD" * 8,
        "name": "s",
        "startTimeUnixNano": 1_000_000_000,
        "endTimeUnixNano": "3000000000",
        "status": {"code": "STATUS_CODE_ERROR"},
        "attributes": [
            {"key": "i", "value": {"intValue": "7"}},
            {"key": "b", "value": {"boolValue": False}},
            {"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
            {"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}}},
            {"key": "none", "value": {}},
        ],
    }
    message = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}], "resourceLogs": []}
    (found,) = read_recording(write(tmp_path / "x", message)).trace("ab" * 16)
    assert (found.span_id, found.parent_id, found.instance) == ("cd" * 8, "", "")
    assert found.seconds == 2.0
    assert found.failed
    assert found.attributes == {"i": 7, "b": False, "a": ("x",), "m": (("k", 0.5),), "none": None}


def test_a_recording_of_the_demo_has_its_spans_and_numbers() -> None:
    recording = read_recording(RECORDED)
    assert recording.unreadable == 0
    (trace_id,) = {span.trace_id for span in recording.spans}
    agent, *calls_made = recording.trace(trace_id)
    assert agent.name == "invoke_agent travel-assistant"
    assert [call.attributes["otel_tools.outcome"] for call in calls_made] == [
        "ok",
        "error",
        "ok",
        "error",
        "ok",
        "ok",
    ]
    assert {call.parent_id for call in calls_made} == {agent.span_id}
    tools = {tool.name: tool for tool in recording.tools(agent.instance)}
    assert tools["get_stock_price"].outcomes == {"ok": 1, "error": 2}
    assert tools["get_weather"].outcomes == {"ok": 1, "error": 0}
    for name, tool in tools.items():
        seconds = [call.seconds for call in calls_made if call.attributes["gen_ai.tool.name"] == name]
        assert tool.duration.mean == pytest.approx(sum(seconds) / len(seconds))
        assert tool.duration.maximum == pytest.approx(max(seconds))
