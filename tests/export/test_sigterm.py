"""SIGTERM where nobody else handles it: what was counted leaves, and then the process ends as it would have."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import IN_TIME, SLOW_COLLECTOR, Ended, Program, Running, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.seen import Seen

CALLS: Final = "configure(service_name=os.environ['CASE'])\nfor n in range(5): work(n)\n"
WAIT: Final = "say(ready=True)\nwhile True: time.sleep(60)\n"

SCRIPTS: Final = {
    "sleeping": CALLS + WAIT,
    "dead": CALLS + WAIT,
    "hanging": CALLS + WAIT,
    "hanging grpc": CALLS + WAIT,
    "busy": CALLS
    + """
def load():
    while True: work()
threading.Thread(target=load, daemon=True).start()
say(ready=True)
while True: work()
""",
    "in a lock": CALLS + "lock = threading.Lock()\nlock.acquire()\nsay(ready=True)\nlock.acquire()\n",
    "asyncio": CALLS + "import asyncio\nsay(ready=True)\nasyncio.run(asyncio.sleep(60))\n",
    "second": CALLS + WAIT,
    "own handler before": """
def end(*_):
    say(handled=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, end)
"""
    + CALLS
    + "say(same=signal.getsignal(signal.SIGTERM) is end)\n"
    + WAIT,
    "own handler after": CALLS + "def end(*_):\n    sys.exit(9)\nsignal.signal(signal.SIGTERM, end)\n" + WAIT,
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + CALLS
    + "say(same=signal.getsignal(signal.SIGTERM) == signal.SIG_IGN)\nsay(ready=True)\ntime.sleep(0.5)\n",
    "other thread": """
thread = threading.Thread(target=configure, kwargs={"service_name": "other thread"})
thread.start()
thread.join()
for n in range(5): work(n)
say(same=signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=flush())
"""
    + WAIT,
    "while it exits": CALLS + "import atexit\natexit.register(lambda: (say(ready=True), time.sleep(0.7)))\n",
    "no more threads": CALLS
    + """
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    + WAIT,
    "theirs is slow": CALLS
    + """
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
class Slow(SpanProcessor):
    def shutdown(self):
        time.sleep(120)
trace.get_tracer_provider().add_span_processor(Slow())
"""
    + WAIT,
}


def terminate(running: Running) -> None:
    running.told("ready")
    running.said["end"] = time.time()
    running.send(signal.SIGTERM)


def terminate_twice(running: Running) -> None:
    terminate(running)
    time.sleep(0.2)
    running.said["end"] = time.time()
    running.send(signal.SIGTERM)


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Seen, dict[str, Ended]]]:
    with HttpReceiver() as receiver, HttpReceiver("hang") as hanging, GrpcReceiver("hang") as hanging_grpc:
        endpoints = {
            "dead": f"http://127.0.0.1:{free_port()}",
            "hanging": hanging.url,
            "second": hanging.url,
            "hanging grpc": hanging_grpc.url,
        }
        programs = {
            case: Program(
                script,
                {
                    **SLOW_COLLECTOR,
                    "CASE": case,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": endpoints.get(case, receiver.url),
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if case.endswith("grpc") else "http/protobuf",
                },
                meanwhile=terminate_twice if case == "second" else terminate,
                patient=case not in {*endpoints, "theirs is slow"},
                measured=False,
            )
            for case, script in SCRIPTS.items()
        }
        yield receiver, run_all(programs)
        assert receiver.problems == []


@pytest.mark.parametrize("case", ["sleeping", "in a lock", "asyncio", "theirs is slow"])
def test_it_flushes_and_dies_of_the_signal(lab: tuple[Seen, dict[str, Ended]], case: str) -> None:
    seen, ended = lab
    assert ended[case].code == -signal.SIGTERM
    assert ended[case].err == ""
    assert ended[case].tail < IN_TIME
    assert len(seen.of(case).spans_of("work")) == seen.of(case).calls("work") == 5


@pytest.mark.parametrize("case", ["dead", "hanging", "hanging grpc"])
def test_without_a_collector_it_dies_in_time(lab: tuple[Seen, dict[str, Ended]], case: str) -> None:
    ended = lab[1][case]
    assert ended.code == -signal.SIGTERM
    assert ended.tail < IN_TIME
    assert len(ended.lines) == 1


def test_a_main_thread_in_a_tight_loop_of_calls_is_no_deadlock(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    assert ended["busy"].code == -signal.SIGTERM
    assert ended["busy"].tail < IN_TIME
    assert seen.of("busy").calls("work") > 5


def test_where_no_thread_can_be_started_it_dies_nevertheless(lab: tuple[Seen, dict[str, Ended]]) -> None:
    ended = lab[1]["no more threads"]
    assert ended.code == -signal.SIGTERM
    assert ended.tail < IN_TIME


def test_a_second_signal_kills_at_once(lab: tuple[Seen, dict[str, Ended]]) -> None:
    ended = lab[1]["second"]
    assert ended.code == -signal.SIGTERM
    assert ended.tail < IN_TIME


@pytest.mark.parametrize("case", ["own handler before", "own handler after"])
def test_the_applications_handler_is_left_alone(lab: tuple[Seen, dict[str, Ended]], case: str) -> None:
    seen, ended = lab
    assert ended[case].code == 9
    assert ended[case].said.get("same", True) is True
    assert len(seen.of(case).spans) == seen.of(case).calls("work") == 5


def test_an_ignored_signal_stays_ignored(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    assert ended["ignored"].code == 0
    assert ended["ignored"].said["same"] is True
    assert seen.of("ignored").calls("work") == 5


def test_configure_in_another_thread_works_without_the_handler(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    assert ended["other thread"].said["same"] is True
    assert ended["other thread"].said["flush"] is True
    assert ended["other thread"].code == -signal.SIGTERM
    assert seen.of("other thread").calls("work") == 5


def test_a_signal_during_the_exit_loses_nothing(lab: tuple[Seen, dict[str, Ended]]) -> None:
    seen, ended = lab
    assert ended["while it exits"].code in {0, -signal.SIGTERM}
    assert ended["while it exits"].err == ""
    assert len(seen.of("while it exits").spans) == seen.of("while it exits").calls("work") == 5
