"""`flush(timeout)` and `shutdown()` return whether all was delivered, and do not wait for a hanging request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import IN_TIME, SLOW_COLLECTOR, Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT: Final = """
def timed(do, *args):
    started = time.monotonic()
    answer = do(*args)
    return [answer, time.monotonic() - started]

configure(service_name="s")
for n in range(10): work(n)
report(flush=timed(flush, float(os.environ["FLUSH_SECONDS"])))
for n in range(5): work(n)
report(again=timed(flush, float(os.environ["FLUSH_SECONDS"])), shutdown=timed(shutdown))
report(second=timed(shutdown), after=timed(flush))
from otel_tools._telemetry.instruments import dropped
before = dropped["traces"]
for n in range(5): work(n)
report(late=timed(flush), dropped=dropped["traces"] - before)
report(ok=calls(), active=stats()["work"].active, end=time.time())
"""

LATE: Final = "calls go on after shutdown(): their traces are dropped, and flush() returns False"

EMPTY: Final = """
configure(service_name="s")
report(flush=flush(), shutdown=shutdown())
"""

BUSY: Final = """
configure(service_name="s")
over = threading.Event()
def load():
    while not over.is_set():
        work()
        time.sleep(0.0005)
threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads: thread.start()
report(flushes=[flush() for _ in range(10)])
over.set()
for thread in threads: thread.join()
report(shutdown=shutdown(), ok=calls())
"""

RACE: Final = """
configure(service_name="s")
for n in range(50): work(n)
answers = []
threads = [threading.Thread(target=lambda: answers.append(shutdown())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
report(answers=answers)
"""


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Ended]]:
    with (
        HttpReceiver() as up,
        HttpReceiver("hang") as hanging,
        HttpReceiver("refuse") as refusing,
        HttpReceiver("overloaded") as overloaded,
        GrpcReceiver("hang") as hanging_grpc,
        HttpReceiver() as busy,
        HttpReceiver() as raced,
    ):
        dead = f"http://127.0.0.1:{free_port()}"
        endpoints = {
            "up": up.url,
            "down": dead,
            "hanging": hanging.url,
            "refusing": refusing.url,
            "overloaded": overloaded.url,
            "hanging grpc": hanging_grpc.url,
            "down grpc": dead,
        }
        programs = {
            name: Program(
                SCRIPT,
                {
                    **SLOW_COLLECTOR,
                    "FLUSH_SECONDS": "60" if name == "up" else "0.3",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if name.endswith("grpc") else "http/protobuf",
                },
                patient=name == "up",
            )
            for name, url in endpoints.items()
        }
        programs["nothing to send"] = Program(EMPTY, {"OTEL_EXPORTER_OTLP_ENDPOINT": up.url})
        programs["busy"] = Program(BUSY, {"OTEL_EXPORTER_OTLP_ENDPOINT": busy.url})
        programs["race"] = Program(RACE, {"OTEL_EXPORTER_OTLP_ENDPOINT": raced.url})
        ended = run_all(programs)
        assert {name: each.err for name, each in ended.items() if each.code} == {}
        assert (len(up.spans_of("work")), up.calls("work")) == (15, 15)
        assert len(busy.spans) == busy.calls("work") == ended["busy"].reported["ok"]
        assert len(raced.spans) == raced.calls("work") == 50
        yield ended


def test_flush_and_shutdown_are_true_with_a_receiver(runs: dict[str, Ended]) -> None:
    reported = runs["up"].reported
    assert [reported[each][0] for each in ("flush", "again", "shutdown", "second", "after")] == [True] * 5
    assert runs["up"].lines == [LATE]


@pytest.mark.parametrize("failure", ["down", "hanging", "refusing", "overloaded", "hanging grpc", "down grpc"])
def test_flush_and_shutdown_are_false_where_nothing_arrives(runs: dict[str, Ended], failure: str) -> None:
    reported = runs[failure].reported
    assert reported["flush"][0] is False
    assert reported["again"][0] is False
    assert reported["shutdown"][0] is False
    assert max(reported[each][1] for each in ("flush", "again", "shutdown")) < IN_TIME
    lost, late = runs[failure].lines
    assert "cannot be delivered" in lost
    assert late == LATE


@pytest.mark.parametrize("failure", ["up", "down", "hanging"])
def test_after_shutdown_tools_work_and_count_and_nothing_is_left_to_do(runs: dict[str, Ended], failure: str) -> None:
    reported = runs[failure].reported
    assert (reported["ok"], reported["active"]) == (20, 0)
    assert (reported["late"][0], reported["dropped"]) == (False, 5)
    for each in ("second", "after"):
        assert reported[each][0] is True
        assert reported[each][1] < IN_TIME
    assert runs[failure].exit_seconds < IN_TIME


def test_flush_is_true_where_nothing_waits(runs: dict[str, Ended]) -> None:
    assert runs["nothing to send"].reported == {"flush": True, "shutdown": True}


def test_calls_that_go_on_meanwhile_do_not_make_a_flush_fail(runs: dict[str, Ended]) -> None:
    assert runs["busy"].reported["flushes"] == [True] * 10
    assert runs["busy"].reported["shutdown"] is True


def test_shutdown_by_many_threads_at_once_waits_for_the_one_that_does_it(runs: dict[str, Ended]) -> None:
    assert runs["race"].reported["answers"] == [True] * 8
