"""The caller gives up at any point of a call under every policy: nothing of it is left behind."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Self

import pytest

from otel_tools import Cache, CircuitBreaker, Concurrency, RateLimit, Retry, tool
from otel_tools._call.clock import clock
from otel_tools._telemetry import names
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured


class Policies:
    """One of each, to be looked at from outside."""

    def __init__(self) -> None:
        self.slots = Concurrency(1)
        self.limit = RateLimit(1, per=10)
        self.breaker = CircuitBreaker(failures=1000)
        self.cache = Cache(ttl=60)

    def options(self) -> dict[str, Any]:
        return {
            "validate": True,
            "cache": self.cache,
            "retry": Retry(attempts=3, initial=5, jitter=None),
            "circuit_breaker": self.breaker,
            "concurrency": self.slots,
            "rate_limit": self.limit,
            "timeout": 3,
        }


def nothing_is_left(seen: Captured, function: Any, policies: Policies, call: Callable[[int], Any]) -> None:
    stats = function.tool.stats()
    assert stats.active == 0
    assert (policies.slots.in_use, policies.slots.waiting) == (0, 0)
    assert (stats.concurrency.queued, stats.rate_limit.queued) == (0, 0)
    assert stats.calls.total == sum(span.name == f"execute_tool {function.tool.name}" for span in seen.spans)
    assert seen.value(names.ACTIVE.name, {names.TOOL_NAME: function.tool.name}) == 0
    # No flight is still waited for, no slot is taken, and every policy lets the next call through.
    assert call(1) == 1
    assert call(2) == 2
    assert policies.breaker.state == "closed"


async def turns(task: asyncio.Task[Any], count: int) -> None:
    for _ in range(count):
        if task.done():
            return
        await asyncio.sleep(0)


def test_a_task_cancelled_at_its_nth_turn(seen: Captured) -> None:
    async def run(after: int) -> bool:
        policies = Policies()

        async def fetch(number: int) -> int:
            await asyncio.sleep(0)
            return number

        function: Any = tool(name=f"cancelled_{after}", **policies.options())(fetch)

        with FakeClock(), faults(function, sequence=[ConnectionError, TimeoutError], latency=1):
            task = asyncio.create_task(function(1))
            await turns(task, after)
            ended = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert ended or task.cancelled()
            results = [await function(1), await function(2)]
        nothing_is_left(seen, function, policies, lambda number: results[number - 1])
        return ended

    ended_by_itself = False
    for after in itertools.count():
        ended_by_itself = asyncio.run(run(after))
        if ended_by_itself:
            break
    assert after > 5, "there were that many points at which to cancel"


@pytest.mark.parametrize("which", ["leader", "waiter"])
def test_one_of_two_calls_for_the_same_cancelled_at_any_turn_leaves_the_other(seen: Captured, which: str) -> None:
    async def run(after: int) -> bool:
        policies = Policies()

        async def fetch(number: int) -> int:
            await asyncio.sleep(0)
            return number

        function: Any = tool(name=f"{which}_{after}", **policies.options())(fetch)
        with FakeClock(), faults(function, latency=1):
            leader, waiter = asyncio.create_task(function(1)), asyncio.create_task(function(1))
            victim, other = (leader, waiter) if which == "leader" else (waiter, leader)
            await turns(victim, after)
            ended = victim.done()
            victim.cancel()
            assert await other == 1
            await asyncio.gather(victim, return_exceptions=True)
            results = [await function(1), await function(2)]
        nothing_is_left(seen, function, policies, lambda number: results[number - 1])
        return ended

    for after in itertools.count():
        if asyncio.run(run(after)):
            break
    assert after > 1


class Interrupting(FakeClock):
    """Ctrl-C arrives in the nth sleep or wait."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth

    def _arrive(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        super().__enter__()
        sleep, wait = clock.sleep, clock.wait

        def interrupted_sleep(seconds: float) -> None:
            self._arrive()
            sleep(seconds)

        def interrupted_wait(future: Any, timeout: float | None) -> bool:
            self._arrive()
            return wait(future, timeout)

        clock.sleep, clock.wait = interrupted_sleep, interrupted_wait
        return self


def test_ctrl_c_in_the_nth_sleep_or_wait_of_a_sync_call(seen: Captured) -> None:
    for nth in itertools.count():
        policies = Policies()
        function: Any = tool(name=f"interrupted_{nth}", **policies.options())(lambda number: number)
        with Interrupting(nth), faults(function, sequence=[ConnectionError, TimeoutError]):
            try:
                function(1)
            except KeyboardInterrupt:
                interrupted = True
            else:
                interrupted = False
        with FakeClock():
            nothing_is_left(seen, function, policies, function)
        if not interrupted:
            break
    assert nth > 5
