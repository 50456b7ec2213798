"""Ten thousand mixed calls under every policy: spans, metrics and `stats()` agree with what really happened."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import (
    Cache,
    CircuitBreaker,
    CircuitOpen,
    Concurrency,
    InvalidArguments,
    RateLimit,
    RateLimited,
    Retry,
    ToolTimeout,
    tool,
)
from otel_tools._telemetry import names
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured
    from tests.conftest import Flavour

CALLS = 10_000


class RefusedError(Exception):
    """A failure that the fallback does not replace."""


class Ledger:
    """What really happened, written down by the function itself and by its caller."""

    def __init__(self) -> None:
        self.random = random.Random(42)  # noqa: S311 - not for secrets
        self.executions = 0
        self.raised: Counter[str] = Counter()
        self.fallbacks = 0
        self.endings: Counter[str] = Counter()

    def draw(self) -> Exception | None:
        """What the back end does this time."""
        self.executions += 1
        error: Exception | None = self.random.choices(
            [None, ConnectionError(), ValueError(), RefusedError()], [70, 15, 10, 5]
        )[0]
        if error is not None:
            self.raised[type(error).__name__] += 1
        return error


def decorated(both: Flavour, ledger: Ledger) -> Callable[..., Any]:
    def fetch(number: int) -> list[int]:
        if (error := ledger.draw()) is not None:
            raise error
        return [number]

    def last_known(number: int) -> list[int]:
        ledger.fallbacks += 1
        return [-number]

    mixed: Callable[..., Any] = tool(
        name="mixed",
        validate=True,
        fallback=both.function(last_known),
        fallback_on=(ConnectionError, RateLimited, CircuitOpen),
        cache=Cache(ttl=20, maxsize=64),
        retry=Retry(attempts=3, initial=0.01, max=0.02),
        circuit_breaker=CircuitBreaker(failures=4, cooldown=1),
        concurrency=Concurrency(4),
        rate_limit=RateLimit(25, burst=5, max_wait=0.02),
        failed_if=lambda result: result == [13],
        timeout=5,
    )(both.function(fetch))
    return mixed


def called(both: Flavour, function: Any, argument: Any) -> str:
    """How a call ended, as its caller sees it."""
    try:
        value = both.call(function, argument)
    except InvalidArguments:
        return "invalid"
    except Exception:
        return "error"
    return "fallback" if value[0] < 0 else "tool_error" if value == [13] else "served"


def test_every_number_is_the_true_one(seen: Captured, both: Flavour) -> None:
    ledger = Ledger()
    function: Any = decorated(both, ledger)
    with FakeClock() as fake:
        for _ in range(CALLS):
            argument: Any = ledger.random.choices([ledger.random.randrange(1, 200), "many"], [97, 3])[0]
            ledger.endings[called(both, function, argument)] += 1
            fake.advance(ledger.random.expovariate(40))
        assert fake.elapsed > 100

    stats = function.tool.stats()
    calls = stats.calls
    me = {names.TOOL_NAME: "mixed"}

    # What the caller saw is what was counted.
    assert calls.total == CALLS
    assert calls.ok + calls.cached == ledger.endings["served"]
    assert calls.error == ledger.endings["error"] + ledger.endings["tool_error"]
    assert calls.fallback == ledger.endings["fallback"] == ledger.fallbacks
    assert calls.invalid == ledger.endings["invalid"]
    assert (calls.cancelled, stats.active, stats.store_errors, stats.abandoned) == (0, 0, 0, 0)
    assert min(calls.ok, calls.cached, calls.error, calls.fallback, calls.invalid) > 50, "a mixed run"
    for outcome in ("ok", "cached", "error", "fallback", "invalid"):
        assert seen.value(names.CALLS.name, {**me, names.OUTCOME: outcome}) == getattr(calls, outcome)
    assert sum(point.count for point in seen.points(names.DURATION.name)) == CALLS

    # Every call that was valid asked the cache, once.
    cache = stats.cache
    assert cache.hit == calls.cached
    assert cache.hit + cache.miss == CALLS - calls.invalid
    assert (cache.stale, cache.coalesced, cache.bypass) == (0, 0, 0)
    assert seen.value(names.CACHE_REQUESTS.name, {**me, names.CACHE_RESULT: "hit"}) == cache.hit
    assert seen.value(names.CACHE_REQUESTS.name, {**me, names.CACHE_RESULT: "miss"}) == cache.miss

    # Every attempt that got its token ran the function, and no other.
    assert stats.rate_limit.acquired == ledger.executions
    assert stats.rate_limit.rejected > 0
    assert stats.concurrency.acquired == stats.rate_limit.acquired + stats.rate_limit.rejected
    assert (stats.rate_limit.queued, stats.concurrency.queued) == (0, 0)
    for policy, counts in (("rate_limit", stats.rate_limit), ("concurrency", stats.concurrency)):
        for result in ("acquired", "rejected"):
            point = {**me, names.THROTTLING_POLICY: policy, names.THROTTLING_RESULT: result}
            assert seen.value(names.THROTTLING_REQUESTS.name, point) == getattr(counts, result)

    # Spans, their attempts and the events say the same again.
    spans = [dict(span.attributes or {}) for span in seen.spans if span.name == "execute_tool mixed"]
    assert Counter(span[names.OUTCOME] for span in spans) == {
        outcome: getattr(calls, outcome) for outcome in ("ok", "cached", "error", "fallback", "invalid")
    }
    retries = [int(str(span.get(names.RETRY_COUNT, 0))) for span in spans]
    assert sum(retries) == stats.retries == sum(p.value for p in seen.points(names.RETRIES.name)) > 500
    attempts = [span for span in seen.spans if span.name == "attempt mixed"]
    assert len(attempts) == sum(count + 1 for count in retries if count)
    parents = Counter(span.parent.span_id for span in attempts if span.parent)
    assert sorted(parents.values()) == sorted(count + 1 for count in retries if count)
    began = sum(event.name == "attempt_began" for event in seen.events)
    refused = sum(e.name == "attempt_ended" and e.values["error_type"] == "circuit_open" for e in seen.events)
    assert began == sum(retries) + cache.miss
    assert began - refused == stats.concurrency.acquired
    assert refused > 50

    waits = [p for p in seen.points(names.THROTTLING_TIME.name) if p.attributes[names.THROTTLING_RESULT] == "acquired"]
    waited = sum(float(str(span.get(names.THROTTLING_WAIT, 0.0))) for span in spans)
    assert waited == pytest.approx(sum(point.sum for point in waits))
    assert waited > 0


def test_a_timeout_is_never_retried_into_a_success_that_nobody_counts(seen: Captured, both: Flavour) -> None:
    function: Any = tool(name="slow", timeout=1, retry=Retry(attempts=2, initial=0))(both.function(lambda: 1))

    with FakeClock(), faults(function, latency=2), pytest.raises(ToolTimeout):
        both.call(function)

    assert function.tool.stats().retries == 1
    attempts = [span for span in seen.spans if span.name == "attempt slow"]
    assert [dict(span.attributes or {})["error.type"] for span in attempts] == ["timeout", "timeout"]
