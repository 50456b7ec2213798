"""A process that is frozen between two pieces of work, as by AWS Lambda: `flush` at the end of each delivers it all."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Program, Running
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from pathlib import Path

INVOCATIONS: Final = """
configure(service_name="s", logs="otlp")
for invocation in range(3):
    for n in range(5): work(n)
    report(**{f"flush {invocation}": flush()})
    until(lambda: os.path.exists(os.environ["THAWED"] + str(invocation)))
os._exit(0)
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_each_invocation_delivers_its_calls_before_the_freeze(tmp_path: Path, protocol: str) -> None:
    arrived = []

    def freeze(running: Running) -> None:
        for invocation in range(3):
            assert running.wait_for(f"flush {invocation}") is True
            running.send(signal.SIGSTOP)
            arrived.append((len(receiver.spans), receiver.calls("work"), receiver.durations("work")))
            if isinstance(receiver, HttpReceiver):
                receiver.disconnect()
            running.send(signal.SIGCONT)
            (tmp_path / str(invocation)).touch()

    with (GrpcReceiver if protocol == "grpc" else HttpReceiver)() as receiver:
        env = {
            "THAWED": f"{tmp_path}/",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            # Nothing but a flush exports.
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        }
        ended = Program(INVOCATIONS, env, while_running=freeze).run()
        assert (ended.code, ended.err) == (0, "")
        assert arrived == [(5, 5, 5), (10, 10, 10), (15, 15, 15)]
        assert receiver.duplicate_span_ids() == receiver.problems == []
