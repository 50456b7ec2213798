"""SIGTERM and SIGHUP without a handler of the application: telemetry is delivered, then the process ends by them."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import IN_TIME, SLOW_COLLECTOR, Ended, Program, Running, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.export.received import Received

CALLS: Final = "configure(service_name=os.environ['CASE'])\nfor n in range(5): work(n)\n"
WAIT: Final = "report(ready=True)\nwhile True: time.sleep(60)\n"

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
report(ready=True)
while True: work()
""",
    "in a lock": CALLS + "lock = threading.Lock()\nlock.acquire()\nreport(ready=True)\nlock.acquire()\n",
    # Another thread can run meanwhile, but no handler of `signal.signal`.
    "in C": CALLS + "import hashlib\nreport(ready=True)\nhashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)\n",
    "files closed": CALLS
    + """
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
os.closerange(3, 5000)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGTERM)
"""
    + WAIT,
    "no more files": CALLS
    + """
import resource
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
child = os.fork()
if child == 0:
    time.sleep(60)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
os.kill(child, signal.SIGTERM)
report(child=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    + WAIT,
    "asyncio": CALLS + "import asyncio\nreport(ready=True)\nasyncio.run(asyncio.sleep(60))\n",
    "second": CALLS + WAIT,
    "own handler before": """
def end(*_):
    report(handled=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, end)
"""
    + CALLS
    + "report(same=signal.getsignal(signal.SIGTERM) is end)\n"
    + WAIT,
    "own handler after": CALLS + "def end(*_):\n    sys.exit(9)\nsignal.signal(signal.SIGTERM, end)\n" + WAIT,
    "handler in C": "import faulthandler\nfaulthandler.register(signal.SIGTERM, sys.stderr)\n"
    + CALLS
    + "os.kill(os.getpid(), signal.SIGTERM)\nfor n in range(2): work(n)\nsys.exit(9)\n",
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + CALLS
    + "report(same=signal.getsignal(signal.SIGTERM) == signal.SIG_IGN)\nreport(ready=True)\ntime.sleep(0.5)\n",
    "other thread": """
thread = threading.Thread(target=configure, kwargs={"service_name": "other thread"})
thread.start()
thread.join()
for n in range(5): work(n)
"""
    + WAIT,
    "hung up": CALLS + WAIT,
    "switched off": """
configure(service_name="switched off", handle_signals=False)
report(same=[signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGHUP)])
"""
    + WAIT,
    "while it exits": CALLS + "import atexit\natexit.register(lambda: (report(ready=True), time.sleep(0.7)))\n",
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
    running.wait_for("ready")
    running.reported["end"] = time.time()
    running.send(signal.SIGTERM)


def hang_up(running: Running) -> None:
    running.wait_for("ready")
    running.reported["end"] = time.time()
    running.send(signal.SIGHUP)


def terminate_twice(running: Running) -> None:
    terminate(running)
    time.sleep(0.2)
    running.reported["end"] = time.time()
    running.send(signal.SIGTERM)


SENDERS: Final[dict[str, Callable[[Running], None] | None]] = {
    "second": terminate_twice,
    "hung up": hang_up,
    # They send it to themselves.
    "files closed": None,
    "handler in C": None,
}


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[Received, dict[str, Ended]]]:
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
                while_running={
                    "second": terminate_twice,
                    "hung up": hang_up,
                    "files closed": None,
                    "handler in C": None,
                }.get(case, terminate),
                patient=case not in {*endpoints, "theirs is slow"},
                measured=False,
            )
            for case, script in SCRIPTS.items()
        }
        yield receiver, run_all(programs)
        assert receiver.problems == []


@pytest.mark.parametrize(
    "case", ["sleeping", "in a lock", "in C", "asyncio", "theirs is slow", "other thread", "hung up"]
)
def test_the_process_flushes_and_ends_by_the_signal(runs: tuple[Received, dict[str, Ended]], case: str) -> None:
    seen, ended = runs
    assert ended[case].code == -(signal.SIGHUP if case == "hung up" else signal.SIGTERM)
    assert ended[case].err == ""
    assert ended[case].exit_seconds < IN_TIME
    assert len(seen.service(case).spans_of("work")) == seen.service(case).calls("work") == 5


@pytest.mark.parametrize("case", ["dead", "hanging", "hanging grpc"])
def test_without_a_collector_the_process_ends_in_time(runs: tuple[Received, dict[str, Ended]], case: str) -> None:
    ended = runs[1][case]
    assert ended.code == -signal.SIGTERM
    assert ended.exit_seconds < IN_TIME
    assert len(ended.lines) == 1


def test_a_main_thread_in_a_tight_loop_of_calls_does_not_deadlock(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    assert ended["busy"].code == -signal.SIGTERM
    assert ended["busy"].exit_seconds < IN_TIME
    assert seen.service("busy").calls("work") > 5


def test_the_process_ends_where_no_thread_can_be_started(runs: tuple[Received, dict[str, Ended]]) -> None:
    ended = runs[1]["no more threads"]
    assert ended.code == -signal.SIGTERM
    assert ended.exit_seconds < IN_TIME


def test_a_second_signal_does_not_make_the_end_longer(runs: tuple[Received, dict[str, Ended]]) -> None:
    ended = runs[1]["second"]
    assert ended.code == -signal.SIGTERM
    assert ended.exit_seconds < IN_TIME


def test_a_second_signal_loses_nothing() -> None:
    def terminate_while_it_flushes(running: Running) -> None:
        terminate(running)
        receiver.wait(lambda _: receiver.attempts)
        running.send(signal.SIGTERM)
        receiver.go_on.set()

    with HttpReceiver() as receiver:
        receiver.hold.add("/v1/traces")
        env = {**SLOW_COLLECTOR, "CASE": "twice", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        ended = Program(CALLS + WAIT, env, while_running=terminate_while_it_flushes, measured=False).run()
        assert ended.code == -signal.SIGTERM
        assert len(receiver.spans) == receiver.calls("work") == 5


@pytest.mark.parametrize("case", ["own handler before", "own handler after"])
def test_the_applications_handler_is_left_alone(runs: tuple[Received, dict[str, Ended]], case: str) -> None:
    seen, ended = runs
    assert ended[case].code == 9
    assert ended[case].reported.get("same", True) is True
    assert len(seen.service(case).spans) == seen.service(case).calls("work") == 5


def test_a_handler_in_c_is_left_alone(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    assert ended["handler in C"].code == 9
    assert "most recent call first" in ended["handler in C"].err
    assert len(seen.service("handler in C").spans) == seen.service("handler in C").calls("work") == 7


def test_a_signal_to_a_child_without_files_of_its_own_is_not_the_parents(
    runs: tuple[Received, dict[str, Ended]],
) -> None:
    seen, ended = runs
    assert ended["no more files"].reported["child"] == ended["no more files"].code == -signal.SIGTERM
    assert len(seen.service("no more files").spans) == 5


def test_a_daemon_that_has_closed_all_files_ends_by_the_signal(runs: tuple[Received, dict[str, Ended]]) -> None:
    assert runs[1]["files closed"].code == 256 - signal.SIGTERM


def test_an_ignored_signal_stays_ignored(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    assert ended["ignored"].code == 0
    assert ended["ignored"].reported["same"] is True
    assert seen.service("ignored").calls("work") == 5


def test_the_handler_can_be_switched_off(runs: tuple[Received, dict[str, Ended]]) -> None:
    ended = runs[1]["switched off"]
    assert ended.reported["same"] == [True, True]
    assert ended.code == -signal.SIGTERM


def test_a_signal_during_the_exit_loses_nothing(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    assert ended["while it exits"].code in {0, -signal.SIGTERM}
    assert ended["while it exits"].err == ""
    assert len(seen.service("while it exits").spans) == seen.service("while it exits").calls("work") == 5
