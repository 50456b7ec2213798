"""What is said to be lost at the end of a process is lost: what was sent may have arrived, and is counted apart."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.export.program import SLOW_COLLECTOR, Ended, Program
from tests.export.receiver import GrpcReceiver, HttpReceiver

CALLS: Final = 661
BATCH: Final = 512
"""Spans that one request takes."""

Runs = dict[str, tuple[HttpReceiver | GrpcReceiver, Ended]]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """A collector that takes the first batch, and answers when the process has ended."""
    program = f'configure(service_name="s")\nfor n in range({CALLS}): work(n)\n'
    receivers: dict[str, HttpReceiver | GrpcReceiver] = {"http/protobuf": HttpReceiver(), "grpc": GrpcReceiver()}
    done: Runs = {}
    for protocol, receiver in receivers.items():
        with receiver:
            receiver.hold.add("/v1/traces")
            env = {
                **SLOW_COLLECTOR,
                "OTEL_BSP_SCHEDULE_DELAY": "60000",
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            }
            done[protocol] = receiver, Program(program, env, patient=False, measured=False).run()
            receiver.go_on.set()
            receiver.wait(lambda seen: seen.spans)
    return done


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_was_not_sent_is_counted_and_what_was_sent_is_not(runs: Runs, protocol: str) -> None:
    seen, ended = runs[protocol]
    [line] = ended.lines
    [dropped] = re.findall(r"dropped so far: (\d+) of traces", line)
    assert len(seen.spans) == BATCH
    assert len(seen.spans) + int(dropped) == CALLS
    assert f"sent, but not answered: {BATCH} of traces" in line


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_metric_says_the_same(runs: Runs, protocol: str) -> None:
    seen, _ = runs[protocol]
    # On a busy machine the metrics may come too late as well, and are then said to be lost.
    if not seen.points:
        assert " of metrics" in runs[protocol][1].err
        return
    assert seen.calls("work") == CALLS
    assert seen.value("otel_tools.export.dropped", otel_tools__export__signal="traces") == CALLS - BATCH
