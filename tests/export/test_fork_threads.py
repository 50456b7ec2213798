"""Forks while other threads call tools and export: no lock that they hold stops the child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import IN_TIME, SLOW_COLLECTOR, Ended, Program, Running, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.export.received import Received

FORKS: Final = 20
TRACES: Final = {"otel_tools__export__signal": "traces"}

SCRIPT: Final = """
import faulthandler
if os.environ.get("TO_FILE"):
    configure(service_name="s", exporter="file", file=os.environ["TO_FILE"])
else:
    configure(service_name="s")
over = threading.Event()
def load():
    while not over.is_set():
        work()
        stats()
threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads: thread.start()
from opentelemetry import metrics
orders = metrics.get_meter("application").create_counter("orders")
codes = []
for _ in range(20):
    orders.add(1)
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(100, exit=True)
        for n in range(3): work(n)
        mine = stats()["work"]
        if (mine.calls.ok, mine.active) != (3, 0):
            os._exit(2)
        started = time.monotonic()
        if not shutdown(90):
            os._exit(3)
        # Longer, and a thread has waited for a lock that a thread of the parent holds.
        os._exit(0 if time.monotonic() - started < 80 else 4)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
for thread in threads: thread.join()
report(codes=codes, ok=calls())
"""

OFTEN: Final = {"OTEL_METRIC_EXPORT_INTERVAL": "20", "OTEL_BSP_SCHEDULE_DELAY": "5", "OTEL_BSP_MAX_QUEUE_SIZE": "1000"}

Runs = tuple["dict[str, Received]", dict[str, Ended]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    file = tmp_path_factory.mktemp("fork") / "telemetry.jsonl"
    with HttpReceiver() as http, GrpcReceiver() as grpc:
        programs = {
            "http": Program(SCRIPT, {**OFTEN, "OTEL_EXPORTER_OTLP_ENDPOINT": http.url}, measured=False),
            "grpc": Program(
                SCRIPT,
                {**OFTEN, "OTEL_EXPORTER_OTLP_ENDPOINT": grpc.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
                measured=False,
            ),
            "file": Program(SCRIPT, {**OFTEN, "TO_FILE": str(file)}, measured=False),
        }
        yield {"http": http, "grpc": grpc}, run_all(programs, at_once=3)


@pytest.mark.parametrize("way", ["http", "grpc", "file"])
def test_each_child_works_counts_its_own_and_ends(runs: Runs, way: str) -> None:
    ended = runs[1][way]
    assert ended.in_time
    assert ended.code == 0, ended.err
    assert ended.reported["codes"] == [0] * FORKS, ended.err
    assert ended.reported["ok"] > 100


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_every_number_arrives_once_and_under_its_own_process(runs: Runs, way: str) -> None:
    seen, ended = runs[0][way], runs[1][way]
    assert seen.problems == []
    assert seen.duplicate_span_ids() == []
    assert len(seen.instances) == FORKS + 1
    numbers = sorted(
        (
            seen.calls("work", instance=instance),
            seen.durations("work", instance),
            len(seen.spans_of("work", instance)) + seen.value("otel_tools.export.dropped", instance, **TRACES),
        )
        for instance in seen.instances
    )
    parents = ended.reported["ok"]
    assert numbers == [(3, 3, 3)] * FORKS + [(parents, parents, parents)]


def test_a_dead_collector_does_not_slow_down_one_that_forks_often() -> None:
    often = """
    def fork_often():
        started = time.monotonic()
        for _ in range(40):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        return time.monotonic() - started

    without = fork_often()
    configure(service_name="s")
    for n in range(600): work(n)
    time.sleep(0.3)
    report(without=without, seconds=fork_often())
    """
    with HttpReceiver("hang") as hanging, GrpcReceiver("hang") as hanging_grpc:
        ends = {
            "dead": f"http://127.0.0.1:{free_port()}",
            "hanging": hanging.url,
            "hanging grpc": hanging_grpc.url,
        }
        ended = run_all(
            {
                failure: Program(
                    often,
                    {
                        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if failure.endswith("grpc") else "http/protobuf",
                    },
                    patient=False,
                )
                for failure, url in ends.items()
            }
        )
    for each in ended.values():
        assert each.code == 0, each.err
        # Not a second each, beside what a fork takes on this machine.
        assert each.reported["seconds"] < 20 + 10 * each.reported["without"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_child_forked_during_a_hanging_export_delivers(tmp_path: Path, protocol: str) -> None:
    go_on = tmp_path / "go-on"

    def recover(running: Running) -> None:
        running.wait_for("stuck")
        # The hanging request stays unanswered; later requests are answered.
        receiver.answer = "ok"
        go_on.touch()

    with (GrpcReceiver if protocol == "grpc" else HttpReceiver)("hang") as receiver:
        ended = Program(
            """
            configure(service_name="s")
            from opentelemetry import metrics
            metrics.get_meter("application").create_counter("orders").add(1)
            for n in range(5): work(n)
            report(stuck=flush(0.3))
            until(lambda: os.path.exists(os.environ["GO_ON"]))
            child = os.fork()
            if child == 0:
                for n in range(3): work(n)
                started = time.monotonic()
                report(flush=flush(), shutdown=shutdown(), seconds=time.monotonic() - started)
                os._exit(0)
            report(code=os.waitpid(child, 0)[1])
            # Every other end waits for the request that is never answered.
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            {
                **SLOW_COLLECTOR,
                "GO_ON": str(go_on),
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            },
            while_running=recover,
        ).run()

        assert ended.reported["stuck"] is False
        assert (ended.reported["flush"], ended.reported["shutdown"], ended.reported["code"]) == (True, True, 0)
        assert ended.reported["seconds"] < IN_TIME
        assert len(receiver.spans) == receiver.calls("work") == receiver.durations("work") == 3
