"""Processes of `multiprocessing`, by each start method, deliver their telemetry before they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import Received

FORK: Final = """
import multiprocessing

def child(count):
    for n in range(count): work(n)
    mine = stats()["work"]
    return [mine.calls.ok, mine.active]

def fails(count):
    child(count)
    raise SystemExit(5)

def killed(count, ready):
    child(count)
    ready.set()
    time.sleep(60)

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    configure(service_name="s")
    work()
    flush()
    processes = [fork.Process(target=child, args=(count,)) for count in (3, 4)]
    processes.append(fork.Process(target=fails, args=(5,)))
    for process in processes: process.start()
    for process in processes: process.join()
    report(codes=[process.exitcode for process in processes])

    ready = fork.Event()
    process = fork.Process(target=killed, args=(6, ready))
    process.start()
    ready.wait()
    process.terminate()
    process.join()
    report(terminated=process.exitcode)

    pool = fork.Pool(2)
    report(closed=pool.map(child, [1] * 8, chunksize=1))
    pool.close()
    pool.join()
    with fork.Pool(2) as pool:
        report(left=pool.map(child, [1] * 8, chunksize=1))
    report(end=time.time())
"""

OTHERS: Final = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def child(count):
    configure(service_name="s")
    for n in range(count): work(n)

if __name__ == "__main__":
    context = multiprocessing.get_context(os.environ["WAY"])
    processes = [context.Process(target=child, args=(count,)) for count in (3, 4)]
    for process in processes: process.start()
    for process in processes: process.join()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(child, 5).result()
    report(codes=[process.exitcode for process in processes])
"""

Runs = tuple["dict[str, Received]", dict[str, Ended]]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with (
        HttpReceiver() as fork,
        GrpcReceiver() as fork_grpc,
        HttpReceiver() as spawn,
        HttpReceiver() as forkserver,
        HttpReceiver() as own,
    ):
        seen: dict[str, HttpReceiver | GrpcReceiver] = {
            "fork": fork,
            "fork grpc": fork_grpc,
            "spawn": spawn,
            "forkserver": forkserver,
            "own": own,
        }
        programs = {
            way: Program(
                FORK if way in {"fork", "fork grpc"} else OTHERS,
                {
                    # Forked from a parent that is not configured, as by servers with a hook that runs in each worker.
                    "WAY": "fork" if way == "own" else way,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if way.endswith("grpc") else "http/protobuf",
                },
                measured=False,
            )
            for way, receiver in seen.items()
        }
        yield dict(seen), run_all(programs)


def totals(seen: Received) -> list[float]:
    """The calls of each process, which its spans and its histogram agree on."""
    found = []
    for instance in seen.instances:
        calls = seen.calls("work", instance=instance)
        assert calls == seen.durations("work", instance) == len(seen.spans_of("work", instance))
        found.append(calls)
    return sorted(found)


@pytest.mark.parametrize("way", ["fork", "fork grpc"])
def test_forked_processes_and_pools_deliver_their_own(runs: Runs, way: str) -> None:
    seen, ended = runs[0][way], runs[1][way]
    assert (ended.code, ended.err) == (0, "")
    assert ended.reported["codes"] == [0, 0, 5]
    assert ended.reported["terminated"] == -15
    assert seen.problems == seen.duplicate_span_ids() == []
    # The parent, three processes, the one that was terminated, and two pools whose two workers share eight calls.
    numbers = totals(seen)
    assert {1, 3, 4, 5, 6} <= set(numbers)
    assert sum(numbers) == (1 + 3 + 4 + 5 + 6) + 8 + 8


@pytest.mark.parametrize("way", ["spawn", "forkserver", "own"])
def test_processes_that_configure_themselves_deliver_their_own(runs: Runs, way: str) -> None:
    seen, ended = runs[0][way], runs[1][way]
    assert (ended.code, ended.err) == (0, "")
    assert ended.reported["codes"] == [0, 0]
    assert totals(seen) == [3, 4, 5]
    assert seen.problems == seen.duplicate_span_ids() == []
