"""`FakeClock`: hours pass in no real time, in threads and tasks, until its block ends."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, Concurrency, ConcurrencyLimited, RateLimit, Retry, ToolTimeout, tool
from otel_tools._call.clock import clock
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def test_a_sleep_moves_the_clock_and_takes_no_time(both: Flavour) -> None:
    began = time.monotonic()
    with FakeClock() as fake:
        fake.sleep(3600)
        asyncio.run(fake.asleep(60))
        fake.advance(1)

        assert fake.elapsed == pytest.approx(3661)
        assert fake.now() == clock.now()
        assert fake.slept == [3600, 60]
    assert time.monotonic() - began < 30


def test_its_time_starts_at_the_beginning_of_2026() -> None:
    with FakeClock() as fake:
        fake.advance(60)
        assert datetime.fromtimestamp(clock.time(), UTC) == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_after_the_block_time_is_real_again_and_never_goes_back() -> None:
    with FakeClock() as fake:
        fake.advance(1000)

    assert clock.now() >= fake.now()
    began = clock.now()
    time.sleep(0.01)
    assert 0.005 < clock.now() - began < 60
    assert clock.time() == pytest.approx(time.time(), abs=60)
    assert clock.sleep is time.sleep


def test_tokens_and_cached_values_keep_their_age_from_block_to_block(seen: Captured) -> None:
    calls: list[None] = []
    limited = tool(name="limited_before", rate_limit=RateLimit(1, per=60, max_wait=0))(lambda: 1)
    kept = tool(name="kept_before", cache=Cache(ttl=60))(lambda: calls.append(None))
    kept()

    for _ in range(3):
        with FakeClock() as fake:
            limited()
            fake.advance(60)
    with FakeClock() as fake:
        fake.advance(61)
        kept()
    kept()
    assert len(calls) == 2


def test_time_that_passes_on_an_inner_clock_passes_on_the_outer_one_too() -> None:
    with FakeClock() as outer:
        outer.advance(10)
        with FakeClock() as inner:
            inner.advance(5)
        assert clock.now() == outer.now()
        assert outer.elapsed == pytest.approx(15)


def test_a_back_off_takes_no_time(both: Flavour) -> None:
    decorated = tool(name="patient", retry=Retry(attempts=3, initial=600, max=600, jitter=None))(
        both.function(lambda: 1)
    )

    with FakeClock() as fake, faults(decorated, sequence=[ConnectionError, ConnectionError]):
        assert both.call(decorated) == 1

    assert fake.slept == [600, 600]


def test_tokens_refill_and_cached_values_expire_by_it(both: Flavour) -> None:
    calls: list[None] = []
    cached: Any = tool(name="kept", cache=Cache(ttl=60))(both.function(lambda: calls.append(None)))
    limited: Any = tool(name="limited", rate_limit=RateLimit(1, per=60))(both.function(lambda: 1))

    with FakeClock() as fake:
        for _ in range(2):
            both.call(cached)
        fake.advance(61)
        both.call(cached)
        assert len(calls) == 2

        began = fake.now()
        for _ in range(3):
            both.call(limited)
        assert fake.now() - began == pytest.approx(120)


def test_a_wait_ends_when_the_clock_has_passed_its_end() -> None:
    future: Future[None] = Future()
    answers: list[bool] = []
    with FakeClock() as fake:
        thread = threading.Thread(target=lambda: answers.append(clock.wait(future, 10)))
        thread.start()
        fake.advance(10)
        thread.join(10)
    assert answers == [False]


def test_a_wait_that_succeeds_does_not_move_the_clock(both: Flavour) -> None:
    future: Future[None] = Future()
    with FakeClock() as fake:
        threading.Timer(0.02, future.set_result, [None]).start()
        if both.name == "sync":
            assert clock.wait(future, 10)
        else:

            async def wait() -> bool:
                return await clock.await_future(future, 10)

            assert asyncio.run(wait())
        assert fake.elapsed == 0


def test_a_wait_that_nobody_ends_moves_the_clock_itself(both: Flavour) -> None:
    slots = Concurrency(1, max_wait=300)
    inner: Any = tool(name="inner", concurrency=slots)(both.function(lambda: 1))
    if both.name == "sync":
        outer: Any = tool(name="outer", concurrency=slots)(lambda: inner())  # noqa: PLW0108 - no tool
    else:

        async def call() -> Any:
            return await inner()

        outer = tool(name="outer", concurrency=slots)(call)

    with FakeClock() as fake, pytest.raises(ConcurrencyLimited):
        both.call(outer)
    assert fake.elapsed == pytest.approx(300)


def test_a_timeout_expires_when_somebody_else_moves_the_clock_past_it() -> None:
    async def main() -> float:
        waiting = asyncio.Event()

        @tool(timeout=30)
        async def stuck() -> None:
            waiting.set()
            await asyncio.Event().wait()

        with FakeClock() as fake:
            task = asyncio.create_task(stuck())
            await waiting.wait()
            fake.advance(31)
            with pytest.raises(ToolTimeout):
                await task
            return fake.elapsed

    assert asyncio.run(main()) == pytest.approx(31)


def test_a_sleep_that_ends_before_the_timeout_is_in_time(both: Flavour) -> None:
    decorated = tool(name="in_time", timeout=10)(both.function(lambda: 1))

    with FakeClock() as fake, faults(decorated, latency=9):
        for _ in range(5):
            assert both.call(decorated) == 1
        assert fake.elapsed == pytest.approx(45)
