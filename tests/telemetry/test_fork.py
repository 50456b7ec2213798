"""In the child of a fork counters start at zero, locks are free, and the parent's calls are not reported."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import tool
from otel_tools._telemetry.counters import metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools.testing import Captured

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@tool
def work() -> int:
    """Work."""
    return 1


@tool
def items() -> Iterator[int]:
    """Count."""
    yield 1
    yield 2


def in_child(report: Callable[[], Any]) -> Any:
    """What a function gives in the child of a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(report()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_the_child_counts_from_zero_and_the_parent_goes_on(seen: Captured) -> None:
    work()
    work()

    def report() -> Any:
        before = work.tool.stats().as_dict()
        work()
        return before, work.tool.stats().as_dict()

    before, after = in_child(report)

    assert before["calls"]["ok"] == 0
    assert before["mean"] is None
    assert after["calls"]["ok"] == 1
    assert after["mean"] == after["p95"] or after["p95"] <= 0.01
    assert work.tool.stats().calls.ok == 2


def test_a_call_that_was_running_is_reported_by_the_parent(seen: Captured) -> None:
    running = items()
    next(running)

    def report() -> Any:
        active = items.tool.stats().active
        rest = list(running)
        return active, rest, items.tool.stats().as_dict(), len(seen.spans)

    active, rest, numbers, spans = in_child(report)

    assert (active, rest, spans) == (0, [2], 0)
    assert sum(numbers["calls"].values()) == 0
    assert numbers["active"] == 0
    assert list(running) == [2]
    assert items.tool.stats().calls.ok == 1


def test_a_lock_that_another_thread_held_is_free_in_the_child(seen: Captured) -> None:
    counts = metrics_of("work").counters
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with counts.lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        assert in_child(lambda: [work(), work.tool.stats().calls.ok]) == [1, 1]
    finally:
        done.set()
        thread.join()
