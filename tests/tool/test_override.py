"""`fn.tool.override`: other policies for one call or one test, in this context alone."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, ConcurrencyLimited, ConfigurationError, RateLimit, RateLimited, Retry, ToolTimeout, tool
from otel_tools._call.threads import MAX_ABANDONED
from otel_tools._telemetry import names
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def test_a_policy_can_be_taken_away_changed_and_added(seen: Captured, both: Flavour) -> None:
    decorated: Any = tool(name="flaky", retry=Retry(attempts=3, initial=0))(both.function(lambda: 1))

    with FakeClock(), faults(decorated, error=ConnectionError) as injected, pytest.raises(ConnectionError):
        both.call(decorated)
    assert injected.attempts == 3
    with decorated.tool.override(retry=None):
        assert both.call(decorated) == 1
    with decorated.tool.override(failed_if=lambda _: True):
        both.call(decorated)
    assert both.call(decorated) == 1
    assert decorated.tool.stats().calls.error == 2


def test_it_ends_with_its_block_also_where_that_raises(both: Flavour) -> None:
    limit = RateLimit(1, per=60, max_wait=0)
    decorated: Any = tool(name="limited")(both.function(lambda: 1))

    with decorated.tool.override(rate_limit=limit):
        both.call(decorated)
    with pytest.raises(RateLimited), decorated.tool.override(rate_limit=limit):
        both.call(decorated)

    for _ in range(3):
        assert both.call(decorated) == 1


def test_other_threads_and_tasks_go_by_the_tools_own(seen: Captured) -> None:
    answers: list[object] = []

    @tool(failed_if=lambda _: False)
    def work() -> int:
        return 1

    with work.tool.override(failed_if=lambda _: True):
        thread = threading.Thread(target=lambda: answers.append(work()))
        thread.start()
        thread.join()
        assert work.tool.stats().calls.error == 0
        contextvars.copy_context().run(work)
    assert work.tool.stats().calls.error == 1


async def test_tasks_that_begin_in_the_block_go_by_it_also_after_it(seen: Captured) -> None:
    @tool
    async def work() -> int:
        await asyncio.sleep(0.01)
        return 1

    async def later() -> None:
        await asyncio.sleep(0.01)
        await work()

    with work.tool.override(failed_if=lambda _: True):
        begun = asyncio.create_task(later())
    await work()
    await begun
    assert work.tool.stats().calls.error == 1
    assert work.tool.stats().calls.ok == 1


def test_blocks_can_be_nested(seen: Captured) -> None:
    @tool
    def work() -> int:
        return 1

    with work.tool.override(failed_if=lambda _: True):
        with work.tool.override(failed_if=None):
            work()
        work()
    work()
    assert (work.tool.stats().calls.ok, work.tool.stats().calls.error) == (2, 1)


def test_generators_can_be_overridden(seen: Captured) -> None:
    limit = RateLimit(1, per=60, max_wait=0)

    @tool
    def items() -> Iterator[int]:
        yield 1

    @tool
    async def items_later() -> AsyncIterator[int]:
        yield 1

    async def all_of() -> list[int]:
        return [item async for item in items_later()]

    with items.tool.override(rate_limit=limit):
        assert list(items()) == [1]
        with pytest.raises(RateLimited):
            list(items())
    with items_later.tool.override(rate_limit=limit), pytest.raises(RateLimited):
        asyncio.run(all_of())
    assert list(items()) == [1]
    assert asyncio.run(all_of()) == [1]


def test_what_cannot_work_is_refused_as_at_decoration() -> None:
    @tool
    def work() -> int:
        return 1

    with pytest.raises(ConfigurationError, match="tool 'work': timeout=-1"), work.tool.override(timeout=-1):
        pass
    with pytest.raises(ConfigurationError, match=r"override\(name\): policies alone"):
        work.tool.override(name="other")  # type: ignore[call-arg] # that is the point
    assert work() == 1


def test_overrides_and_faults_add_up(both: Flavour) -> None:
    decorated: Any = tool(name="added", retry=Retry(attempts=3, initial=0))(both.function(lambda: 1))

    with faults(decorated, sequence=[ConnectionError, None]) as injected, decorated.tool.override(timeout=60):
        assert both.call(decorated) == 1
    assert injected.attempts == 2
    with (
        decorated.tool.override(retry=None),
        faults(decorated, error=ConnectionError) as injected,
        pytest.raises(ConnectionError),
    ):
        both.call(decorated)
    assert injected.attempts == 1


def test_what_is_cached_is_the_tools_whatever_is_overridden(both: Flavour) -> None:
    calls: list[None] = []
    decorated: Any = tool(name="kept", cache=Cache(ttl=60), retry=Retry())(both.function(lambda: calls.append(None)))

    both.call(decorated)
    with decorated.tool.override(retry=None):
        both.call(decorated)
    assert len(calls) == 1
    with decorated.tool.override(cache=None):
        both.call(decorated)
    assert len(calls) == 2


def test_what_faults_return_is_cached_apart(both: Flavour) -> None:
    decorated: Any = tool(name="apart", cache=Cache(ttl=60))(both.function(lambda: "real"))

    assert both.call(decorated) == "real"
    with faults(decorated, sequence=["fake"]) as injected:
        assert [both.call(decorated), both.call(decorated)] == ["fake", "fake"]
        assert injected.attempts == 1
    assert both.call(decorated) == "real"


def test_threads_that_run_on_are_counted_together_whatever_is_overridden(seen: Captured) -> None:
    go = threading.Event()
    hanging: Any = tool(name="hanging")(lambda: go.wait(60))

    ends: Counter[type[BaseException]] = Counter()
    for _ in range(MAX_ABANDONED + 5):
        with hanging.tool.override(timeout=0.001):
            try:
                hanging()
            except (ToolTimeout, ConcurrencyLimited) as error:
                ends[type(error)] += 1
    assert (ends[ToolTimeout], ends[ConcurrencyLimited]) == (MAX_ABANDONED, 5)
    assert seen.value(names.ABANDONED.name, {names.TOOL_NAME: "hanging"}) == MAX_ABANDONED
    go.set()


def test_a_fallback_that_is_taken_away_takes_its_condition_along() -> None:
    decorated = tool(name="plain", fallback=lambda: 1, fallback_on=OSError)(lambda: 2)
    with decorated.tool.override(fallback=None):
        assert decorated() == 2


def test_a_task_that_is_closed_elsewhere_is_given_up_and_no_failure(seen: Captured) -> None:
    @tool(timeout=50, retry=Retry(deadline=60))
    async def waiting() -> None:
        with waiting.tool.override(timeout=1):
            await asyncio.sleep(100)

    loop = asyncio.new_event_loop()
    task = loop.create_task(waiting())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    logging.disable()
    try:
        del task, loop
        gc.collect()
    finally:
        logging.disable(logging.NOTSET)
    assert waiting.tool.stats().calls.cancelled == 1
    assert waiting.tool.stats().calls.error == 0
