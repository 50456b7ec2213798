"""What a token costs that is there, against four limiter libraries. Run it: ``python -m tests.bench.rate_limit``.

Each limiter is used as its documentation says, in memory, so generously that nobody ever waits, by one thread or task:
the raw acquisition, without a tool around it. A round times each in turn, and the table gives medians over the rounds.
Libraries that are not installed are listed as such: ``pip install aiolimiter pyrate-limiter limits throttled-py``.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.metadata
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from otel_tools._policies.rate_limit.limit import RateLimit

ROUNDS = 9
CALLS = 5000
PLENTY = 1_000_000
"""Tokens a second: more than anybody of us can take."""

Timed = Callable[[], float]


def timed(acquire: Callable[[], Any]) -> Timed:
    def run() -> float:
        began = time.perf_counter()
        for _ in range(CALLS):
            acquire()
        return (time.perf_counter() - began) / CALLS

    return run


def atimed(make: Callable[[], Callable[[], Awaitable[Any]]]) -> Timed:
    async def run() -> float:
        acquire = make()
        await acquire()
        began = time.perf_counter()
        for _ in range(CALLS):
            await acquire()
        return (time.perf_counter() - began) / CALLS

    return lambda: asyncio.run(run())


def ours() -> dict[str, Timed]:
    one = RateLimit(PLENTY).limits[0].buckets
    many = RateLimit(PLENTY, key=lambda args: args["user"]).limits[0].buckets
    return {
        "otel_tools": timed(one.reserve),
        "otel_tools, by key": timed(lambda: many.reserve(None, "user")),
    }


def aiolimiter() -> dict[str, Timed]:
    module = importlib.import_module("aiolimiter")
    return {"aiolimiter": atimed(lambda: module.AsyncLimiter(PLENTY, 1).acquire)}


def pyrate_limiter() -> dict[str, Timed]:
    module = importlib.import_module("pyrate_limiter")
    limiter = module.Limiter(module.Rate(PLENTY, module.Duration.SECOND))
    return {"pyrate-limiter": timed(lambda: limiter.try_acquire("user"))}


def limits() -> dict[str, Timed]:
    module = importlib.import_module("limits")
    importlib.import_module("limits.storage")
    importlib.import_module("limits.strategies")
    item = module.RateLimitItemPerSecond(PLENTY)
    strategies = {
        "fixed window": module.strategies.FixedWindowRateLimiter(module.storage.MemoryStorage()),
        "sliding window": module.strategies.SlidingWindowCounterRateLimiter(module.storage.MemoryStorage()),
    }
    return {
        f"limits, {name}": timed(lambda limiter=limiter: limiter.hit(item, "user"))  # type: ignore[misc] # bound early
        for name, limiter in strategies.items()
    }


def throttled() -> dict[str, Timed]:
    module = importlib.import_module("throttled")
    kinds = {"token bucket": module.RateLimiterType.TOKEN_BUCKET, "GCRA": module.RateLimiterType.GCRA}
    found = {}
    for name, kind in kinds.items():
        limiter = module.Throttled(
            key="user", using=kind.value, quota=module.rate_limiter.per_sec(PLENTY), store=module.store.MemoryStore()
        )
        found[f"throttled-py, {name}"] = timed(lambda limiter=limiter: limiter.limit("user"))  # type: ignore[misc] # bound early
    return found


def main() -> None:
    variants = ours()
    missing = []
    for distribution, make in {
        "aiolimiter": aiolimiter,
        "pyrate-limiter": pyrate_limiter,
        "limits": limits,
        "throttled-py": throttled,
    }.items():
        try:
            print(f"{distribution} {importlib.metadata.version(distribution)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(distribution)
        else:
            variants |= make()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()
    for _ in range(ROUNDS):
        for name, run in variants.items():
            gc.collect()
            times[name].append(run())
    print(f"\nmedian of {ROUNDS} interleaved rounds of {CALLS} acquisitions")
    print(f"{'':32}{'ns':>9}{'x otel_tools':>14}{'x by key':>10}")
    mine, by_key = times["otel_tools"], times["otel_tools, by key"]
    for name, each in times.items():
        ratios = [statistics.median(a / b for a, b in zip(each, other, strict=True)) for other in (mine, by_key)]
        print(f"{name:32}{statistics.median(each) * 1e9:9.0f}{ratios[0]:14.2f}{ratios[1]:10.2f}")
    for distribution in missing:
        print(f"{distribution:32}not installed")


if __name__ == "__main__":
    main()
