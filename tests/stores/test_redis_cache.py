"""`Cache(store=RedisStore(url))`: one cache for all processes; calls continue without it while Redis is unreachable."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import RedisError

from otel_tools import Cache, RedisStore, tool
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured
    from tests.conftest import Flavour
    from tests.stores.conftest import RedisServer


def counted(
    both: Flavour, cache: Cache, runs: list[Any], value: Callable[[Any], Any] = lambda city: {"city": city}
) -> Any:
    def weather(city: str, unit: str = "celsius") -> Any:
        runs.append(city)
        return value(city)

    return tool(name="weather", cache=cache)(both.function(weather))


def test_caches_with_the_same_redis_share_values(seen: Captured, both: Flavour, redis_server: RedisServer) -> None:
    runs: list[Any] = []
    # Each has a store, a cache and a tool of its own, as in two processes.
    one, other = (counted(both, Cache(ttl=60, store=RedisStore(redis_server.url)), runs) for _ in range(2))

    assert both.call(one, "Oslo") == {"city": "Oslo"}
    assert both.call(other, city="Oslo", unit="celsius") == {"city": "Oslo"}
    assert both.call(other, "Rome") == {"city": "Rome"}

    assert runs == ["Oslo", "Rome"]
    counts = one.tool.stats().cache
    assert (counts.hit, counts.miss, one.tool.stats().store_errors) == (1, 2, 0)
    outcomes = [dict(span.attributes or {})["otel_tools.outcome"] for span in seen.spans]
    assert outcomes == ["ok", "cached", "ok"]


def test_processes_with_the_same_redis_share_values(both: Flavour, redis_server: RedisServer) -> None:
    both.call(counted(both, Cache(ttl=60, store=RedisStore(redis_server.url)), []), "Oslo")
    program = """
import sys
from otel_tools import Cache, RedisStore, tool

@tool(name="weather", cache=Cache(ttl=60, store=RedisStore(sys.argv[1])))
def weather(city: str, unit: str = "celsius"):
    return "ran"

print(weather("Oslo"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, redis_server.url], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout.replace("'", '"')) == {"city": "Oslo"}


def test_an_entry_expires_by_the_clock_of_redis(seen: Captured, both: Flavour, redis_server: RedisServer) -> None:
    runs: list[Any] = []
    decorated = counted(both, Cache(ttl=0.2, store=RedisStore(redis_server.url)), runs)
    both.call(decorated, "Oslo")
    time.sleep(0.3)
    both.call(decorated, "Oslo")
    assert runs == ["Oslo", "Oslo"]


def test_a_stale_value_is_served_when_the_tool_fails(seen: Captured, both: Flavour, redis_server: RedisServer) -> None:
    runs: list[Any] = []

    def once(city: str) -> str:
        if len(runs) > 1:
            raise ConnectionError
        return city

    decorated = counted(both, Cache(ttl=10, stale_if_error=60, store=RedisStore(redis_server.url)), runs, once)
    with FakeClock() as clock:
        assert both.call(decorated, "Oslo") == "Oslo"
        clock.advance(20)
        assert both.call(decorated, "Oslo") == "Oslo"
        assert decorated.tool.stats().cache.stale == 1
        clock.advance(60)
        with pytest.raises(ConnectionError):
            both.call(decorated, "Oslo")


def test_a_value_that_json_would_change_is_not_cached_and_counted_as_bypass(
    seen: Captured, both: Flavour, redis_server: RedisServer
) -> None:
    runs: list[Any] = []
    decorated = counted(both, Cache(ttl=60, store=RedisStore(redis_server.url)), runs, lambda city: (city,))
    assert [both.call(decorated, "Oslo") for _ in range(2)] == [("Oslo",), ("Oslo",)]
    assert len(runs) == 2
    assert decorated.tool.stats().cache.bypass == 2


def test_clear_and_invalidate_apply_to_all_caches_of_the_redis(both: Flavour, redis_server: RedisServer) -> None:
    runs: list[Any] = []
    one, other = (counted(both, Cache(ttl=60, store=RedisStore(redis_server.url)), runs) for _ in range(2))
    for city in ("Oslo", "Rome"):
        both.call(one, city)
    assert other.tool.cache.info().size == 2

    other.tool.cache.invalidate("Oslo")
    both.call(one, "Rome")
    both.call(one, "Oslo")
    assert runs == ["Oslo", "Rome", "Oslo"]
    asyncio.run(other.tool.cache.aclear())
    both.call(one, "Rome")
    assert runs[-1] == "Rome"


def test_while_redis_is_unreachable_calls_continue_without_the_cache(
    seen: Captured, both: Flavour, redis_server: RedisServer
) -> None:
    runs: list[Any] = []
    decorated = counted(both, Cache(ttl=60, store=RedisStore(redis_server.url)), runs)
    both.call(decorated, "Oslo")
    redis_server.kill()

    for _ in range(3):
        assert both.call(decorated, "Oslo") == {"city": "Oslo"}

    assert len(runs) == 4
    stats = decorated.tool.stats()
    assert (stats.calls.ok, stats.calls.error, stats.cache.bypass) == (4, 0, 3)
    errors = {"gen_ai.tool.name": "weather", "otel_tools.store.operation": "get"}
    assert seen.value("otel_tools.store.errors", errors) == stats.store_errors == 3


def test_with_on_error_raise_the_call_gets_the_error(seen: Captured, both: Flavour, redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, on_error="raise")
    runs: list[Any] = []
    decorated = counted(both, Cache(ttl=60, store=store), runs)
    redis_server.kill()
    with pytest.raises(RedisError):
        both.call(decorated, "Oslo")
    assert runs == []
    assert decorated.tool.stats().calls.error == 1
