"""`flush(timeout)` and `shutdown()` say whether everything left, and do not wait for a request that hangs."""

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
say(flush=timed(flush, float(os.environ["FLUSH_SECONDS"])))
for n in range(5): work(n)
say(again=timed(flush, float(os.environ["FLUSH_SECONDS"])), shutdown=timed(shutdown))
say(second=timed(shutdown), after=timed(flush))
for n in range(5): work(n)
say(ok=calls(), active=stats()["work"].active, end=time.time())
"""

EMPTY: Final = """
configure(service_name="s")
say(flush=flush(), shutdown=shutdown())
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
say(flushes=[flush() for _ in range(10)])
over.set()
for thread in threads: thread.join()
say(shutdown=shutdown(), ok=calls())
"""

RACE: Final = """
configure(service_name="s")
for n in range(50): work(n)
answers = []
threads = [threading.Thread(target=lambda: answers.append(shutdown())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
say(answers=answers)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, Ended]]:
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
        assert len(busy.spans) == busy.calls("work") == ended["busy"].said["ok"]
        assert len(raced.spans) == raced.calls("work") == 50
        yield ended


def test_with_a_receiver_all_is_true(lab: dict[str, Ended]) -> None:
    said = lab["up"].said
    assert [said[each][0] for each in ("flush", "again", "shutdown", "second", "after")] == [True] * 5
    assert lab["up"].err == ""


@pytest.mark.parametrize("why", ["down", "hanging", "refusing", "overloaded", "hanging grpc", "down grpc"])
def test_what_did_not_leave_is_false_within_the_timeout(lab: dict[str, Ended], why: str) -> None:
    said = lab[why].said
    assert said["flush"][0] is False
    assert said["again"][0] is False
    assert said["shutdown"][0] is False
    assert max(said[each][1] for each in ("flush", "again", "shutdown")) < IN_TIME
    assert len(lab[why].lines) == 1


@pytest.mark.parametrize("why", ["up", "down", "hanging"])
def test_after_shutdown_tools_work_and_count_and_nothing_is_left_to_do(lab: dict[str, Ended], why: str) -> None:
    said = lab[why].said
    assert (said["ok"], said["active"]) == (20, 0)
    for each in ("second", "after"):
        assert said[each][0] is True
        assert said[each][1] < IN_TIME
    assert lab[why].tail < IN_TIME


def test_nothing_to_send_is_everything(lab: dict[str, Ended]) -> None:
    assert lab["nothing to send"].said == {"flush": True, "shutdown": True}


def test_calls_that_go_on_meanwhile_do_not_make_a_flush_fail(lab: dict[str, Ended]) -> None:
    assert lab["busy"].said["flushes"] == [True] * 10
    assert lab["busy"].said["shutdown"] is True


def test_shutdown_by_many_threads_at_once_waits_for_the_one_that_does_it(lab: dict[str, Ended]) -> None:
    assert lab["race"].said["answers"] == [True] * 8
