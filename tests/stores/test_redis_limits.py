"""Several limits of one call in Redis, and callers that are cancelled at any moment."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import ConfigurationError, RateLimit, RateLimited, tool
from otel_tools.stores import Quota, RedisStore, Reservation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools.testing import Captured
    from tests.conftest import Flavour
    from tests.stores.conftest import RedisServer

redis = pytest.importorskip("redis")

SECOND = 10**9


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    made = RedisStore(redis_server.url + "?socket_timeout=60&socket_connect_timeout=60")
    yield made
    made.close()


def run(both: Flavour, store: RedisStore, operation: str, *args: Any) -> Any:
    return both.call(getattr(store, operation if both.name == "sync" else f"a{operation}"), *args)


def test_a_token_is_taken_from_each_limit_or_one_is_reserved_from_the_slowest(store: RedisStore, both: Flavour) -> None:
    fast, slow = ("fast", Quota.of(10, 1000, 3)), ("slow", Quota.of(1, 1000, 1))
    assert run(both, store, "reserve_all", [fast, slow], None) == (Reservation.after(0), 0)
    refused, index = run(both, store, "reserve_all", [fast, slow], 10 * SECOND)
    assert (refused.granted, index) == (False, 1)
    assert 990 * SECOND < refused.wait <= 1000 * SECOND
    reserved, index = run(both, store, "reserve_all", [slow, fast], None)
    assert (reserved.granted, index) == (True, 0)
    assert 990 * SECOND < reserved.wait <= 1000 * SECOND
    assert [run(both, store, "reserve", *fast, 0).granted for _ in range(3)] == [True, True, False]


def test_a_call_that_is_refused_takes_nothing_from_the_other_limits(
    seen: Captured, store: RedisStore, both: Flavour
) -> None:
    fast = RateLimit(10, per=1000, max_wait=0, store=store, name="fast")
    slow = RateLimit(1, per=1000, store=store)
    decorated = tool(name="both", rate_limit=[fast, slow])(both.function(lambda: 1))
    assert both.call(decorated) == 1
    for _ in range(15):
        with pytest.raises(RateLimited, match="1 per 1000"):
            both.call(decorated)
    assert sum(fast.acquire(blocking=False) for _ in range(12)) == 9
    counts = decorated.tool.stats().rate_limit
    assert (counts.acquired, counts.rejected) == (1, 15)


async def test_a_call_that_waits_takes_nothing_from_the_other_limits(seen: Captured, store: RedisStore) -> None:
    fast, slow = RateLimit(10, per=1000, store=store, name="fast"), RateLimit(1, per=0.5, store=store, name="slow")
    both_limits = RateLimit([fast, slow])
    assert await both_limits.aacquire()
    waiting = asyncio.create_task(both_limits.aacquire())
    assert not await slow.aacquire(timeout=0.1)
    assert sum([await fast.aacquire(blocking=False) for _ in range(12)]) == 9
    assert not await both_limits.aacquire(timeout=5)
    waiting.cancel()


def test_two_limits_without_a_name_are_two_and_two_of_one_name_are_refused(store: RedisStore, both: Flavour) -> None:
    decorated = tool(
        name="two", rate_limit=[RateLimit(5, per=1000, store=store), RateLimit(2, per=500, max_wait=0, store=store)]
    )(both.function(lambda: 1))
    assert [both.call(decorated) for _ in range(2)] == [1, 1]
    with pytest.raises(RateLimited, match="2 per 500"):
        both.call(decorated)
    same = [RateLimit(5, store=store, key=lambda _: 1), RateLimit(5, store=store)]
    with pytest.raises(ConfigurationError, match="name="):
        tool(name="two", rate_limit=same)(lambda: 1)


def test_a_call_weighs_the_same_in_redis(store: RedisStore, both: Flavour) -> None:
    limit = RateLimit(100, per=1000, max_wait=0, store=store, cost=lambda args: args["size"])
    heavy = tool(name="heavy", rate_limit=limit)(both.function(lambda size: size))
    assert both.call(heavy, 60) == 60
    with pytest.raises(RateLimited) as refused:
        both.call(heavy, 50)
    assert refused.value.retry_after == pytest.approx(100, abs=5)
    assert both.call(heavy, 40) == 40


async def _settled(store: RedisStore) -> None:
    """Everything that goes on in the background is over."""
    loop_client = await store._clients.loop_client()
    for _ in range(1000):
        await asyncio.sleep(0.005)
        if loop_client.cancelling is None and not loop_client.reserving and not loop_client.cancelled:
            return
    pytest.fail("it goes on for ever")


@pytest.mark.parametrize("seed", range(6))
async def test_callers_that_are_cancelled_before_they_are_answered_lose_no_token(store: RedisStore, seed: int) -> None:
    """Some have a reservation, some wait for the answer of Redis, some have not asked yet."""
    limit, chance = RateLimit(1, per=1000, store=store, name="limit"), random.Random(seed)  # noqa: S311 - no secret
    assert await limit.aacquire()
    tasks = [asyncio.create_task(limit.aacquire()) for _ in range(200)]
    for _ in range(chance.randrange(60)):
        await asyncio.sleep(0)
    chance.shuffle(tasks)
    for task in tasks:
        task.cancel()
        if chance.random() < 0.1:
            await asyncio.sleep(0.001)
    await asyncio.wait(tasks)
    await _settled(store)
    reservation = await store.areserve("limit", limit.limits[0].buckets.quota, None)
    assert 990 < reservation.wait / SECOND <= 1000


async def test_a_token_that_was_there_at_once_is_given_back_too(store: RedisStore) -> None:
    limit = RateLimit(200, per=100_000, burst=200, store=store, name="limit")
    other = RateLimit(200, per=100_000, burst=200, store=store, name="other")
    pair = RateLimit([limit, other])
    kept = 0
    for turn in range(100):
        task = asyncio.create_task(pair.aacquire(blocking=False))
        for _ in range(turn % 12):
            await asyncio.sleep(0)
        if task.done():
            # It was not cancelled in time: its tokens are its own.
            assert task.result()
        task.cancel()
        await asyncio.wait([task])
        await _settled(store)
        kept += not task.cancelled()
    assert kept < 100
    for each in (limit, other):
        assert sum([await each.aacquire(blocking=False) for _ in range(201)]) == 200 - kept


async def test_reservations_of_two_processes_are_undone_whoever_cancels_first(
    store: RedisStore, redis_server: RedisServer
) -> None:
    other, quota = RedisStore(redis_server.url), Quota.of(1, 1000, 1)
    store.reserve("name", quota, None)
    reserved = [(store, other)[turn % 2].reserve("name", quota.for_cost(1), None) for turn in range(6)]
    for index in (0, 3, 1, 5, 4, 2):
        reserved[index].cancel()
    assert 990 < store.reserve("name", quota, None).wait / SECOND <= 1000
    other.close()
