"""Concurrency around real tools: what callers get and what is counted."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Concurrency, tool
from otel_tools._telemetry import names
from otel_tools.errors import ConcurrencyLimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from otel_tools.testing import Captured


def requests(seen: Captured, name: str) -> dict[str, int]:
    return {
        point.attributes[names.THROTTLING_RESULT]: point.value
        for point in seen.points(names.THROTTLING_REQUESTS.name)
        if point.attributes[names.TOOL_NAME] == name and point.attributes[names.THROTTLING_POLICY] == "concurrency"
        if point.value
    }


def queued(seen: Captured, name: str) -> int:
    return sum(
        point.value for point in seen.points(names.THROTTLING_QUEUED.name) if point.attributes[names.TOOL_NAME] == name
    )


def timed(seen: Captured, name: str) -> int:
    return sum(
        point.count for point in seen.points(names.THROTTLING_TIME.name) if point.attributes[names.TOOL_NAME] == name
    )


async def some_turns_of_the_loop() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_tasks_that_run_wait_are_refused_and_are_cancelled_are_each_counted_once(seen: Captured) -> None:
    concurrency = Concurrency(1, max_wait=60)
    go = asyncio.Event()

    @tool(name="busy", concurrency=concurrency)
    async def busy() -> int:
        await go.wait()
        return 1

    tasks = [asyncio.create_task(busy()) for _ in range(4)]
    await some_turns_of_the_loop()
    assert queued(seen, "busy") == 3
    tasks[2].cancel()
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [result for result in results if result == 1] == [1, 1, 1]
    assert isinstance(results[2], asyncio.CancelledError)
    assert requests(seen, "busy") == {"acquired": 3, "cancelled": 1}
    assert timed(seen, "busy") == 3
    assert queued(seen, "busy") == 0
    assert (concurrency.in_use, concurrency.waiting) == (0, 0)


def test_a_thread_that_waits_too_long_gets_concurrency_limited(seen: Captured) -> None:
    concurrency = Concurrency(1, max_wait=0.01)
    began, go = threading.Event(), threading.Event()

    @tool(name="busy", concurrency=concurrency)
    def busy() -> None:
        began.set()
        go.wait(60)

    thread = threading.Thread(target=busy)
    thread.start()
    assert began.wait(60)
    with pytest.raises(ConcurrencyLimited, match="'busy' was not started: the only slot is taken"):
        busy()
    go.set()
    thread.join()

    assert requests(seen, "busy") == {"acquired": 1, "rejected": 1}
    assert timed(seen, "busy") == 1
    assert queued(seen, "busy") == 0


def test_a_generator_holds_its_slot_until_its_iteration_ends() -> None:
    concurrency = Concurrency(1, max_wait=0)

    @tool(concurrency=concurrency)
    def items() -> Iterator[int]:
        yield 1
        yield 2

    first = items()
    assert next(first) == 1
    with pytest.raises(ConcurrencyLimited):
        next(items())
    assert list(first) == [2]
    assert list(items()) == [1, 2]
    given_up = items()
    next(given_up)
    given_up.close()  # type: ignore[attr-defined] # it is a generator
    assert concurrency.in_use == 0


async def test_an_async_generator_holds_its_slot_until_its_iteration_ends() -> None:
    concurrency = Concurrency(1)

    @tool(concurrency=concurrency)
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2

    first: Any = items()
    assert await anext(first) == 1
    waiting = asyncio.ensure_future(anext(items()))
    await some_turns_of_the_loop()
    assert concurrency.waiting == 1
    await first.aclose()
    assert await waiting == 1


def test_a_generator_that_is_dropped_frees_its_slot() -> None:
    concurrency = Concurrency(1)

    @tool(concurrency=concurrency)
    def items() -> Iterator[int]:
        yield 1

    first = items()
    next(first)
    assert concurrency.in_use == 1
    del first
    assert concurrency.in_use == 0


async def test_a_sync_tool_does_not_block_the_loop_that_the_holder_of_the_slot_needs(seen: Captured) -> None:
    slots = Concurrency(1)

    @tool(concurrency=slots)
    async def holding() -> None:
        await asyncio.sleep(0.05)

    @tool(concurrency=slots)
    def blocking() -> int:
        return 1

    task = asyncio.create_task(holding())
    await asyncio.sleep(0.01)
    with pytest.raises(ConcurrencyLimited, match="to wait would stop the event loop of this thread"):
        blocking()
    waiting = asyncio.to_thread(blocking)
    assert await waiting == 1
    await task
    assert blocking() == 1
