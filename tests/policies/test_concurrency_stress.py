"""Threads, event loops, timeouts and cancellations at once: at most ``limit`` run; all slots are free at the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from otel_tools import Concurrency
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.drive import coroutine_driver, function_driver
from otel_tools._call.plan import compile_plan
from otel_tools.errors import ConcurrencyLimited


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Gauge:
    """How many are inside, and how many were at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1


def driven(function: Any, concurrency: Concurrency, *, asynchronous: bool) -> Any:
    info = ToolInfo("work", function, asynchronous=asynchronous, generator=False, arguments=Arguments(function))
    plan = compile_plan(function, Call, [concurrency.policy(info)])
    return (coroutine_driver if asynchronous else function_driver)(plan)


def in_threads(*bodies: Any) -> None:
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


def fails(seconds: float) -> None:
    """One in five does."""
    if seconds > 0.0008:
        raise ValueError


async def some_are_cancelled(acall: Any, chance: random.Random) -> None:
    """Begin 150 tasks and cancel some of them, wherever they are."""
    tasks = []
    for _ in range(150):
        tasks.append(asyncio.create_task(acall(chance.uniform(0, 0.001))))
        if chance.random() < 0.4:
            await asyncio.sleep(chance.uniform(0, 0.002))
            chance.choice(tasks).cancel()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, (ValueError, ConcurrencyLimited, asyncio.CancelledError, type(None)))


@pytest.mark.parametrize("max_wait", [None, 0.002])
def test_threads_and_tasks_with_failures_and_cancellations_lose_no_slot(max_wait: float | None) -> None:
    concurrency = Concurrency(3, max_wait=max_wait)
    gauge = Gauge()

    def work(seconds: float) -> None:
        with gauge:
            time.sleep(seconds)
            fails(seconds)

    async def awork(seconds: float) -> None:
        with gauge:
            await asyncio.sleep(seconds)
            fails(seconds)

    call = driven(work, concurrency, asynchronous=False)
    acall = driven(awork, concurrency, asynchronous=True)
    seeds = iter(range(100))

    def in_a_thread() -> None:
        chance = random.Random(next(seeds))  # noqa: S311 - no secret
        for _ in range(60):
            with contextlib.suppress(ValueError, ConcurrencyLimited):
                call(chance.uniform(0, 0.001))

    def in_a_loop() -> None:
        asyncio.run(some_are_cancelled(acall, random.Random(next(seeds))))  # noqa: S311 - no secret

    in_threads(*[in_a_thread] * 8, *[in_a_loop] * 3)

    assert gauge.most <= 3
    assert gauge.inside == 0
    assert (concurrency.in_use, concurrency.waiting) == (0, 0)


def test_a_thousand_tasks_and_64_threads_all_get_their_turn() -> None:
    concurrency = Concurrency(4)
    gauge = Gauge()
    turns: list[None] = []

    def work() -> None:
        with gauge:
            turns.append(None)

    async def awork() -> None:
        with gauge:
            turns.append(None)
            await asyncio.sleep(0)

    call = driven(work, concurrency, asynchronous=False)
    acall = driven(awork, concurrency, asynchronous=True)

    async def in_a_loop() -> None:
        await asyncio.gather(*(acall() for _ in range(1000)))

    in_threads(*[call] * 64, lambda: asyncio.run(in_a_loop()))

    assert len(turns) == 1064
    assert gauge.most <= 4
    assert (concurrency.in_use, concurrency.waiting) == (0, 0)


async def test_a_task_that_is_cancelled_after_n_turns_of_the_loop_leaves_nothing_behind_for_all_n() -> None:
    for turns in range(12):
        concurrency = Concurrency(1)
        blocked = asyncio.Event()
        acall = driven(blocked.wait, concurrency, asynchronous=True)
        first, second = asyncio.create_task(acall()), asyncio.create_task(acall())
        for turn in range(turns):
            if turn == 5:
                first.cancel()
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        blocked.set()
        await asyncio.gather(first, second, return_exceptions=True)
        assert (concurrency.in_use, concurrency.waiting) == (0, 0)
        assert await acall() is True
