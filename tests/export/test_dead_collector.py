"""With a collector that is gone, hangs or refuses, a process ends in time and logs one line a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import IN_TIME, SLOW_COLLECTOR, Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG: Final = """
from otel_tools._telemetry.instruments import dropped
configure(service_name="s")
ends = time.monotonic() + 1.5
def lost_often():
    work()
    lost = dropped["metrics"] > 10 and dropped["traces"] > calls() / 2
    return calls() > 50 and lost and time.monotonic() > ends
until(lost_often)
report(ok=calls(), dropped=dropped, end=time.time())
"""
"""Time for many batches and export intervals; each is given up after a quarter of a second."""

SHORT: Final = """
configure(service_name="s")
for n in range(7): work(n)
report(end=time.time())
"""

OFTEN: Final = {
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0.25",
}

FAILURES: Final = ("closed port", "hangs", "refuses", "overloaded", "no such host")


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Ended]]:
    with (
        HttpReceiver("hang") as hanging,
        HttpReceiver("refuse") as refusing,
        HttpReceiver("overloaded") as overloaded,
        GrpcReceiver("hang") as hanging_grpc,
        GrpcReceiver("refuse") as refusing_grpc,
        GrpcReceiver("overloaded") as overloaded_grpc,
    ):
        dead = f"127.0.0.1:{free_port()}"
        nowhere = "http://collector.invalid:4318"
        endpoints = {
            "http": dict(
                zip(
                    FAILURES,
                    (f"http://user:s3cret@{dead}", hanging.url, refusing.url, overloaded.url, nowhere),
                    strict=True,
                )
            ),
            "grpc": dict(
                zip(
                    FAILURES,
                    (f"http://{dead}", hanging_grpc.url, refusing_grpc.url, overloaded_grpc.url, nowhere),
                    strict=True,
                )
            ),
        }
        programs = {}
        for protocol, urls in endpoints.items():
            for failure, url in urls.items():
                env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
                if protocol == "grpc":
                    env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
                programs[f"{protocol} long {failure}"] = Program(LONG, {**env, **OFTEN}, patient=False, measured=False)
                programs[f"{protocol} short {failure}"] = Program(
                    SHORT, {**env, **SLOW_COLLECTOR}, patient=False, measured=False
                )
        secret = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:s3cret@{dead}?key=k3y",
        }
        programs["grpc secret"] = Program(SHORT, {**secret, **SLOW_COLLECTOR}, patient=False, measured=False)
        yield run_all(programs, at_once=6)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("length", ["long", "short"])
def test_the_process_ends_in_time_and_logs_one_line(
    runs: dict[str, Ended], protocol: str, length: str, failure: str
) -> None:
    ended = runs[f"{protocol} {length} {failure}"]
    assert ended.in_time
    assert ended.code == 0
    assert ended.exit_seconds < IN_TIME
    [line] = ended.lines
    assert line.startswith("telemetry cannot be delivered to http://")
    assert "dropped so far: " in line
    assert "otel-tools doctor" in line


def test_a_password_in_the_url_is_not_in_the_line(runs: dict[str, Ended]) -> None:
    for case in ("http long closed port", "http short closed port", "grpc secret"):
        for line in runs[case].lines:
            assert "127.0.0.1" in line
        assert "s3cret" not in runs[case].err
        assert "k3y" not in runs[case].err


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_short_program_logs_all_its_losses(runs: dict[str, Ended], protocol: str, failure: str) -> None:
    [line] = runs[f"{protocol} short {failure}"].lines
    assert "7 of traces, " in line
    assert " of metrics" in line


def test_the_logged_reason_is_the_collectors_error(runs: dict[str, Ended]) -> None:
    for protocol in ("http", "grpc"):
        assert "onnection refused" in runs[f"{protocol} short closed port"].lines[0]
    assert "500" in runs["http short refuses"].lines[0]
    assert "INTERNAL" in runs["grpc short refuses"].lines[0]
    assert "Service Unavailable" in runs["http short overloaded"].lines[0]
    assert "UNAVAILABLE" in runs["grpc short overloaded"].lines[0]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_many_failed_batches_make_one_line(runs: dict[str, Ended], protocol: str) -> None:
    reported = runs[f"{protocol} long refuses"].reported
    assert reported["ok"] > 50
    assert reported["dropped"]["traces"] > reported["ok"] / 2
    assert reported["dropped"]["metrics"] > 10
