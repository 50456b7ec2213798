"""`exporter="file"`: valid OTLP JSON lines, also where several processes write one file."""

from __future__ import annotations

import base64
import json
import re
import stat
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.export.program import Program, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

    from tests.export.program import Ended

KINDS: Final[dict[str, type[Message]]] = {
    "resourceSpans": TracesData,
    "resourceMetrics": MetricsData,
    "resourceLogs": LogsData,
}
ID_LENGTHS: Final = {"traceId": 32, "spanId": 16, "parentSpanId": 16}

SCRIPT: Final = """
configure(service_name="s", exporter="file", file=os.environ["TO"])
with agent("planner"):
    for n in range(3): work(n)
try:
    fail()
except ValueError:
    pass
report(flush=flush())
work()
"""

CROWD: Final = """
import multiprocessing
def child(count):
    for n in range(count): work("x" * 3000)
if __name__ == "__main__":
    configure(service_name="s", exporter="file", file=os.environ["TO"], capture_content=True)
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=child, args=(150,)) for _ in range(4)]
    for process in processes: process.start()
    child(150)
    for process in processes: process.join()
    report(shutdown=shutdown())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("file")


@pytest.fixture(scope="module")
def ended(folder: Path) -> dict[str, Ended]:
    (folder / "before.jsonl").write_text('{"resourceSpans":[]}\n')
    often = {"OTEL_METRIC_EXPORT_INTERVAL": "20", "OTEL_BSP_SCHEDULE_DELAY": "5"}
    logs = {"OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "logs/dup"}
    content = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
    delta = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    return run_all(
        {
            "one": Program(SCRIPT, {"TO": str(folder / "one.jsonl"), **logs}),
            "before": Program(SCRIPT, {"TO": str(folder / "before.jsonl")}),
            "delta": Program(SCRIPT, {"TO": str(folder / "delta.jsonl"), **delta}),
            "content": Program(SCRIPT, {"TO": str(folder / "content.jsonl"), **content}),
            "crowd": Program(CROWD, {"TO": str(folder / "crowd.jsonl"), **often}),
            "gone": Program(
                """
                import shutil
                folder = os.environ["TO"]
                os.mkdir(folder)
                configure(service_name="s", exporter="file", file=folder + "/telemetry.jsonl")
                work()
                shutil.rmtree(folder)
                report(lost=flush())
                os.mkdir(folder)
                work()
                report(found=flush())
                """,
                {"TO": str(folder / "gone")},
            ),
            "limited": Program(
                """
                import resource
                resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
                configure(service_name="s", exporter="file", file=os.environ["TO"])
                for n in range(5): work(n)
                report(flush=flush(), shutdown=shutdown(), ok=calls())
                """,
                {"TO": str(folder / "limited.jsonl")},
                measured=False,
            ),
            "full": Program(
                """
                configure(service_name="s", exporter="file", file="/dev/full")
                for n in range(5): work(n)
                report(flush=flush(), shutdown=shutdown(), ok=calls())
                """
            ),
        }
    )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def every(value: Any, key: str) -> list[Any]:
    """All values under a key, at any depth."""
    if isinstance(value, list):
        return [found for item in value for found in every(item, key)]
    if not isinstance(value, dict):
        return []
    return [found for name, item in value.items() for found in ([item] if name == key else every(item, key))]


def parsed(line: dict[str, Any]) -> Message:
    """A line parsed by protobuf's JSON reader, which needs ids in base64; OTLP JSON has them in hexadecimal."""

    def with_base64_ids(value: Any) -> Any:
        if isinstance(value, list):
            return [with_base64_ids(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in ID_LENGTHS else with_base64_ids(item)
            for key, item in value.items()
        }

    [kind] = line
    return json_format.ParseDict(with_base64_ids(line), KINDS[kind]())


def test_each_line_is_one_otlp_object(folder: Path, ended: dict[str, Ended]) -> None:
    assert (ended["one"].code, ended["one"].err, ended["one"].reported) == (0, "", {"flush": True})
    lines = read(folder / "one.jsonl")
    assert {kind for line in lines for kind in line} == set(KINDS)
    assert (folder / "one.jsonl").read_bytes().endswith(b"}\n")
    spans = [span for line in lines for spans in every(line, "spans") for span in spans]
    assert [span["name"] for span in spans].count("execute_tool work") == 4
    for line in lines:
        assert parsed(line).ByteSize() > 0
        assert every(line, "resource")


def test_ids_are_hexadecimal_enums_numbers_and_long_integers_texts(folder: Path, ended: dict[str, Ended]) -> None:
    lines = read(folder / "one.jsonl")
    for key, length in ID_LENGTHS.items():
        ids = every(lines, key)
        assert ids
        assert all(re.fullmatch(f"[0-9a-f]{{{length}}}", each) for each in ids if each), ids
    for key in ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "asInt", "count"):
        assert every(lines, key)
        assert all(isinstance(each, str) and each.isdigit() for each in every(lines, key)), key
    assert all(isinstance(each, str) for counts in every(lines, "bucketCounts") for each in counts)
    assert set(every(lines, "kind")) == {1}
    assert set(every(lines, "aggregationTemporality")) == {2}
    assert {status.get("code") for status in every(lines, "status")} == {None, 2}
    assert set(every(lines, "severityNumber")) == {17}
    assert all(isinstance(each, (float, dict)) for each in every(lines, "sum"))


def test_the_file_is_appended_to(folder: Path, ended: dict[str, Ended]) -> None:
    lines = read(folder / "before.jsonl")
    assert lines[0] == {"resourceSpans": []}
    assert len(lines) > 2


def test_nobody_else_reads_a_file_with_arguments_and_results(folder: Path, ended: dict[str, Ended]) -> None:
    assert ended["content"].code == 0
    assert stat.S_IMODE((folder / "content.jsonl").stat().st_mode) == 0o600


def test_the_variable_sets_the_temporality(folder: Path, ended: dict[str, Ended]) -> None:
    lines = read(folder / "delta.jsonl")
    durations = [metric for metrics in every(lines, "metrics") for metric in metrics if "histogram" in metric]
    counts = [
        point["count"]
        for metric in durations
        for point in metric["histogram"]["dataPoints"]
        if {"key": "gen_ai.tool.name", "value": {"stringValue": "work"}} in point["attributes"]
    ]
    assert {metric["histogram"]["aggregationTemporality"] for metric in durations} == {1}
    assert counts == ["3", "1"]


def test_processes_that_share_a_file_write_whole_lines(folder: Path, ended: dict[str, Ended]) -> None:
    assert (ended["crowd"].code, ended["crowd"].reported) == (0, {"shutdown": True}), ended["crowd"].err
    path = folder / "crowd.jsonl"
    assert path.stat().st_size > 5 * 150 * 3000
    lines = read(path)
    spans = [span for line in lines for spans in every(line, "spans") for span in spans]
    assert len({span["spanId"] for span in spans}) == len(spans) == 5 * 150
    instances = {
        attribute["value"]["stringValue"]
        for attributes in every(lines, "attributes")
        for attribute in attributes
        if attribute["key"] == "service.instance.id"
    }
    assert len(instances) == 5


def test_items_for_a_missing_or_full_file_count_as_dropped(ended: dict[str, Ended]) -> None:
    assert ended["gone"].code == 0
    assert (ended["gone"].reported["lost"], ended["gone"].reported["found"]) == (False, True)
    [line] = ended["gone"].lines
    assert "telemetry.jsonl (" in line
    assert "No such file" in line
    assert (ended["full"].code, ended["full"].reported) == (0, {"flush": False, "shutdown": False, "ok": 5})
    [line] = ended["full"].lines
    assert "telemetry cannot be delivered to /dev/full (" in line
    assert "No space left" in line
    assert (ended["limited"].code, ended["limited"].reported) == (0, {"flush": False, "shutdown": False, "ok": 5})
    [line] = ended["limited"].lines
    assert "only a part of a line" in line or "File too large" in line
