"""Processes made by `multiprocessing`, by each of its ways: what they counted has left when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.seen import Seen

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
    say(codes=[process.exitcode for process in processes])

    ready = fork.Event()
    process = fork.Process(target=killed, args=(6, ready))
    process.start()
    ready.wait()
    process.terminate()
    process.join()
    say(terminated=process.exitcode)

    pool = fork.Pool(2)
    say(closed=pool.map(child, [1] * 8, chunksize=1))
    pool.close()
    pool.join()
    with fork.Pool(2) as pool:
        say(left=pool.map(child, [1] * 8, chunksize=1))
    say(end=time.time())
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
    say(codes=[process.exitcode for process in processes])
"""

Lab = tuple["dict[str, Seen]", dict[str, Ended]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
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
                    # Forked from a parent that configured nothing, as servers do that have a hook for it.
                    "WAY": "fork" if way == "own" else way,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if way.endswith("grpc") else "http/protobuf",
                },
                measured=False,
            )
            for way, receiver in seen.items()
        }
        yield dict(seen), run_all(programs)


def totals(seen: Seen) -> list[float]:
    """The calls of each process, which its spans and its histogram agree on."""
    found = []
    for instance in seen.instances:
        calls = seen.calls("work", instance=instance)
        assert calls == seen.durations("work", instance) == len(seen.spans_of("work", instance))
        found.append(calls)
    return sorted(found)


@pytest.mark.parametrize("way", ["fork", "fork grpc"])
def test_forked_processes_and_pools(lab: Lab, way: str) -> None:
    seen, ended = lab[0][way], lab[1][way]
    assert (ended.code, ended.err) == (0, "")
    assert ended.said["codes"] == [0, 0, 5]
    assert ended.said["terminated"] == -15
    assert seen.problems == seen.twice() == []
    # The parent, three processes, the one that was terminated, and two pools whose two workers share eight calls.
    numbers = totals(seen)
    assert {1, 3, 4, 5, 6} <= set(numbers)
    assert sum(numbers) == (1 + 3 + 4 + 5 + 6) + 8 + 8


@pytest.mark.parametrize("way", ["spawn", "forkserver", "own"])
def test_processes_that_configure_themselves(lab: Lab, way: str) -> None:
    seen, ended = lab[0][way], lab[1][way]
    assert (ended.code, ended.err) == (0, "")
    assert ended.said["codes"] == [0, 0]
    assert totals(seen) == [3, 4, 5]
    assert seen.problems == seen.twice() == []
