"""What policies cost. Run it: ``python -m tests.bench.policies`` (from the top of the repository).

Against a bare ``@tool``, and against what a careful person would stack up by hand: tenacity around cachetools around a
limiter library around OpenTelemetry with the same signals. Everything in one process and one SDK. The libraries that a
machine does not have are left out and named; ``pip install aiolimiter pyrate-limiter limits throttled-py``.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable
from typing import Any

import cachetools
import tenacity

from otel_tools import Cache, CircuitBreaker, Concurrency, RateLimit, Retry, tool
from otel_tools._telemetry import names
from otel_tools._telemetry.instruments import bind_providers
from tests.bench.rounds import async_time, measure, meter_provider, sync_time, table, tracer_provider

SPAN = {
    names.OPERATION_NAME: names.EXECUTE_TOOL,
    names.TOOL_NAME: "price",
    names.TOOL_TYPE: names.FUNCTION,
    names.TOOL_DESCRIPTION: "The price of a number.",
}
POINT = {names.TOOL_NAME: "price", names.TOOL_TYPE: names.FUNCTION}
NAME = {names.TOOL_NAME: "price"}
OK = {names.TOOL_NAME: "price", names.OUTCOME: "ok"}
ERROR = {names.TOOL_NAME: "price", names.OUTCOME: "error"}
HIT, MISS = ({names.TOOL_NAME: "price", names.CACHE_RESULT: result} for result in ("hit", "miss"))
ACQUIRED = [
    {names.TOOL_NAME: "price", names.THROTTLING_POLICY: policy, names.THROTTLING_RESULT: "acquired"}
    for policy in ("concurrency", "rate_limit")
]

tracer = tracer_provider.get_tracer("by-hand")
meter = meter_provider.get_meter("by-hand")
duration = meter.create_histogram(names.DURATION.name, "s", explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS)
calls = meter.create_counter(names.CALLS.name, "{call}")
active = meter.create_up_down_counter(names.ACTIVE.name, "{call}")
retries = meter.create_counter(names.RETRIES.name, "{retry}")
cache_requests = meter.create_counter(names.CACHE_REQUESTS.name, "{request}")
throttling = meter.create_counter(names.THROTTLING_REQUESTS.name, "{request}")


def price(symbol: int, currency: str = "EUR") -> dict[str, Any]:
    """The price of a number."""
    return {"symbol": symbol, "currency": currency, "price": 1.5}


async def aprice(symbol: int, currency: str = "EUR") -> dict[str, Any]:
    """The price of a number."""
    return {"symbol": symbol, "currency": currency, "price": 1.5}


def options(*, asynchronous: bool) -> dict[str, Any]:
    """All policies but a sync timeout, none of which has anything to do in a happy call."""
    given: dict[str, Any] = {
        "validate": True,
        "fallback": price,
        "cache": Cache(ttl=300, maxsize=1024),
        "retry": Retry(attempts=3),
        "circuit_breaker": CircuitBreaker(),
        "concurrency": Concurrency(8),
        "rate_limit": RateLimit(1_000_000_000),
    }
    return {**given, "timeout": 5} if asynchronous else given


def limiter() -> tuple[str, Callable[[], Any]] | None:
    """A token from a limiter library, the first of those that are there."""
    try:
        limits: Any = importlib.import_module("limits")
    except ImportError:
        return None
    strategy = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerSecond(1_000_000)
    return "limits", lambda: strategy.hit(item, "price")


def stacked(token: Callable[[], Any]) -> Callable[[int], Any]:
    """The same by hand: retry, cache, slots and tokens, a span, a duration and the same counters."""
    entries: cachetools.TTLCache[Any, Any] = cachetools.TTLCache(1024, 300)
    lock = threading.Lock()
    slots = threading.BoundedSemaphore(8)

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_random_exponential(0.5, 30),
        retry=tenacity.retry_if_exception_type((ConnectionError, TimeoutError)),
        reraise=True,
        before_sleep=lambda _state: retries.add(1, NAME),
    )
    def attempt(symbol: int, currency: str = "EUR") -> dict[str, Any]:
        with slots:
            throttling.add(1, ACQUIRED[0])
            token()
            throttling.add(1, ACQUIRED[1])
            return price(symbol, currency)

    @cachetools.cached(entries, lock=lock)
    def fetch(symbol: int, currency: str = "EUR") -> dict[str, Any]:
        return attempt(symbol, currency)

    def by_hand(symbol: int, currency: str = "EUR") -> dict[str, Any]:
        start = time.perf_counter()
        active.add(1, NAME)
        outcome = OK
        with tracer.start_as_current_span("execute_tool price", attributes=SPAN) as span:
            point = POINT
            try:
                with lock:
                    hit = fetch.cache_key(symbol, currency) in entries
                result: dict[str, Any] = fetch(symbol, currency)
                cache_requests.add(1, HIT if hit else MISS)
                span.set_attribute(names.CACHE_RESULT, "hit" if hit else "miss")
                span.set_attribute(names.OUTCOME, "cached" if hit else "ok")
                return result
            except Exception as error:
                outcome = ERROR
                point = {**POINT, names.ERROR_TYPE: type(error).__qualname__}
                span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
                raise
            finally:
                calls.add(1, outcome)
                active.add(-1, NAME)
                duration.record(time.perf_counter() - start, point)

    return by_hand


def distinct(function: Callable[..., Any]) -> Callable[[int], Any]:
    """Every call with an argument of its own, so that no cache has it; by keyword, as a tool-call loop calls."""
    numbers = iter(range(10**9))
    return lambda _: function(symbol=next(numbers))


def same(function: Callable[..., Any]) -> Callable[[int], Any]:
    """Every call with the same argument, likewise."""
    return lambda _: function(symbol=1)


def main() -> None:
    bind_providers(tracer_provider, meter_provider)
    bare, abare = tool(price), tool(name="aprice")(aprice)
    everything: Any = tool(**options(asynchronous=False))(price)
    aeverything: Any = tool(name="aprice", **options(asynchronous=True))(aprice)
    only_cache: Any = tool(cache=Cache(ttl=300))(price)
    aonly_cache: Any = tool(name="aprice", cache=Cache(ttl=300))(aprice)
    hopping: Any = tool(timeout=5)(price)
    miss, amiss = distinct(everything), distinct(aeverything)
    variants = {
        "bare @tool": lambda: sync_time(same(bare)),
        "all policies": lambda: sync_time(miss),
        "cache hit": lambda: sync_time(same(only_cache)),
        "cache hit, all policies": lambda: sync_time(same(everything)),
        "sync timeout alone": lambda: sync_time(same(hopping)),
    }
    references = ["bare @tool"]
    if (found := limiter()) is None:
        print("no limiter library (limits) is installed: nothing stacked up by hand to compare with")
    else:
        name = f"tenacity, cachetools, {found[0]}"
        references.append(name)
        by_hand = stacked(found[1])
        by_hand_miss = distinct(by_hand)
        variants |= {name: lambda: sync_time(by_hand_miss), f"{name}, hit": lambda: sync_time(same(by_hand))}
    table("sync", measure(variants), references)
    table(
        "async",
        measure(
            {
                "bare @tool": lambda: asyncio.run(async_time(same(abare))),
                "all policies": lambda: asyncio.run(async_time(amiss)),
                "cache hit": lambda: asyncio.run(async_time(same(aonly_cache))),
            }
        ),
        ["bare @tool"],
    )


if __name__ == "__main__":
    main()
