"""What a tool with several policies does, scenario by scenario, the same for sync and async."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import (
    Cache,
    CircuitBreaker,
    CircuitOpen,
    Concurrency,
    InvalidArguments,
    InvalidResult,
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

DOWN = ConnectionError


@dataclass
class Scenario:
    """What happens, and what comes of it.

    Attributes:
        options: Makes the tool's options; anew for each run, for they keep state.
        happens: What the back end does, attempt by attempt; None is a success.
        calls: The argument of each call; the function returns it.
        gives: What each caller gets: a value, or the class of an exception.
        outcomes: How each call is reported.
        executions: How often the function, or a fault in its place, was reached.
        latency: Seconds that each attempt takes.
        took: Seconds by the clock, in all; None is not looked at.
        advance: Seconds that pass after each call.
        numbers: What `stats()` says in the end.
    """

    options: Callable[[], dict[str, Any]]
    gives: list[Any]
    outcomes: list[str]
    executions: int
    happens: list[Any] = field(default_factory=list)
    calls: list[Any] = field(default_factory=lambda: [1])
    latency: float = 0.0
    took: float | None = None
    advance: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)


STEADY: dict[str, Any] = {"initial": 2, "jitter": None}


def other(number: int) -> str:
    return "other"


SCENARIOS: dict[str, Scenario] = {
    "nothing goes wrong": Scenario(
        lambda: {
            "retry": Retry(),
            "cache": Cache(ttl=60),
            "rate_limit": RateLimit(10),
            "concurrency": Concurrency(2),
            "circuit_breaker": CircuitBreaker(),
            "timeout": 5,
            "validate": "both",
        },
        gives=[1],
        outcomes=["ok"],
        executions=1,
        took=0,
    ),
    "a retry succeeds": Scenario(
        lambda: {"retry": Retry(**STEADY)},
        happens=[DOWN, DOWN],
        gives=[1],
        outcomes=["ok"],
        executions=3,
        took=2 + 4,
        numbers={"retries": 2},
    ),
    "retries end with the error itself": Scenario(
        lambda: {"retry": Retry(**STEADY)},
        happens=[DOWN, DOWN, TimeoutError],
        gives=[TimeoutError],
        outcomes=["error"],
        executions=3,
        numbers={"retries": 2},
    ),
    "a mistake is not retried": Scenario(
        lambda: {"retry": Retry(**STEADY)}, happens=[LookupError], gives=[LookupError], outcomes=["error"], executions=1
    ),
    "each attempt has its own timeout": Scenario(
        lambda: {"retry": Retry(**STEADY), "timeout": 3},
        latency=4,
        gives=[ToolTimeout],
        outcomes=["error"],
        executions=3,
        numbers={"retries": 2},
    ),
    "the deadline bounds them together": Scenario(
        lambda: {"retry": Retry(attempts=10, deadline=7, **STEADY), "timeout": 3},
        latency=4,
        gives=[ToolTimeout],
        outcomes=["error"],
        executions=2,
        numbers={"retries": 1},
    ),
    "a hit asks nobody": Scenario(
        lambda: {"cache": Cache(ttl=60), "retry": Retry(), "rate_limit": RateLimit(1, per=60, max_wait=0)},
        calls=[1, 1, 1],
        gives=[1, 1, 1],
        outcomes=["ok", "cached", "cached"],
        executions=1,
    ),
    "a hit is served while the circuit is open": Scenario(
        lambda: {"cache": Cache(ttl=60), "circuit_breaker": CircuitBreaker(failures=1)},
        happens=[None, DOWN],
        calls=[1, 2, 1, 2],
        gives=[1, DOWN, 1, CircuitOpen],
        outcomes=["ok", "error", "cached", "error"],
        executions=2,
    ),
    "an expired entry serves where the tool fails": Scenario(
        lambda: {"cache": Cache(ttl=10, stale_if_error=60), "retry": Retry(attempts=2, **STEADY)},
        happens=[None, DOWN, DOWN],
        calls=[1, 1],
        advance=20,
        gives=[1, 1],
        outcomes=["ok", "fallback"],
        executions=3,
        numbers={"retries": 1},
    ),
    "errors and fallbacks are not kept": Scenario(
        lambda: {"cache": Cache(ttl=60), "fallback": other},
        happens=[DOWN, None],
        calls=[1, 1, 1],
        gives=["other", 1, 1],
        outcomes=["fallback", "ok", "cached"],
        executions=2,
    ),
    "a result that is a failure is neither kept nor retried, and is replaced": Scenario(
        lambda: {
            "cache": Cache(ttl=60),
            "retry": Retry(),
            "fallback": other,
            "failed_if": lambda value: value == 1,
        },
        calls=[1, 1],
        gives=["other", "other"],
        outcomes=["fallback", "fallback"],
        executions=2,
    ),
    "a refusal is not retried": Scenario(
        lambda: {"retry": Retry(on=Exception), "rate_limit": RateLimit(1, per=60, max_wait=0)},
        calls=[1, 2],
        gives=[1, RateLimited],
        outcomes=["ok", "error"],
        executions=1,
        took=0,
    ),
    "each attempt takes a token": Scenario(
        lambda: {"retry": Retry(initial=0), "rate_limit": RateLimit(1, per=10)},
        happens=[DOWN, DOWN],
        gives=[1],
        outcomes=["ok"],
        executions=3,
        took=20,
    ),
    "no wait for a token goes beyond the deadline": Scenario(
        lambda: {"retry": Retry(initial=0, deadline=5), "rate_limit": RateLimit(1, per=10)},
        happens=[DOWN],
        gives=[RateLimited],
        outcomes=["error"],
        executions=1,
    ),
    "the circuit opens under retries and is tried again later": Scenario(
        lambda: {"retry": Retry(initial=0), "circuit_breaker": CircuitBreaker(failures=2, cooldown=30)},
        happens=[DOWN, DOWN, None],
        calls=[1, 2, 3],
        advance=16,
        gives=[CircuitOpen, CircuitOpen, 3],
        outcomes=["error", "error", "ok"],
        executions=3,
        numbers={"circuit": "closed"},
    ),
    "what the model got wrong reaches no policy": Scenario(
        lambda: {
            "validate": True,
            "fallback": other,
            "cache": Cache(ttl=60),
            "rate_limit": RateLimit(1, per=60, max_wait=0),
            "circuit_breaker": CircuitBreaker(failures=1),
        },
        calls=["no number", 5],
        gives=[InvalidArguments, 5],
        outcomes=["invalid", "ok"],
        executions=1,
    ),
    "a result of the wrong type is the tool's failure": Scenario(
        lambda: {"validate": "both", "cache": Cache(ttl=60), "retry": Retry()},
        happens=["text", None],
        calls=[1, 1],
        gives=[InvalidResult, 1],
        outcomes=["error", "ok"],
        executions=2,
    ),
    "arguments are coerced before they are keyed": Scenario(
        lambda: {"validate": True, "cache": Cache(ttl=60)},
        calls=["7", 7],
        gives=[7, 7],
        outcomes=["ok", "cached"],
        executions=1,
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_scenario(seen: Captured, both: Flavour, scenario: Scenario) -> None:
    executions = []

    def work(number: int) -> int:
        executions.append(number)
        return number

    function: Any = tool(name="scenario", **scenario.options())(both.function(work))
    got = []
    with FakeClock() as clock, faults(function, sequence=scenario.happens, latency=scenario.latency) as injected:
        for argument in scenario.calls:
            try:
                got.append(both.call(function, argument))
            except Exception as error:
                got.append(type(error))
            clock.advance(scenario.advance)
        took = clock.elapsed

    assert got == scenario.gives
    spans = [span for span in seen.spans if span.name == "execute_tool scenario"]
    assert [dict(span.attributes or {})[names.OUTCOME] for span in spans] == scenario.outcomes
    assert injected.attempts == scenario.executions
    if scenario.took is not None:
        assert took == pytest.approx(scenario.took)
    stats = function.tool.stats()
    assert {name: getattr(stats, name) for name in scenario.numbers} == scenario.numbers
    assert (stats.active, stats.rate_limit.queued, stats.concurrency.queued) == (0, 0, 0)


async def test_a_call_that_waits_for_anothers_value_keeps_its_own_deadline(seen: Captured) -> None:
    ended: list[Any] = []

    @tool(cache=Cache(ttl=60), retry=Retry(deadline=0.05))
    async def slow(number: int) -> int:
        await asyncio.sleep(0.5)
        return number

    leader = asyncio.create_task(slow(1))
    await asyncio.sleep(0)
    with pytest.raises(ToolTimeout, match="the deadline passed while another call"):
        await slow(1)
    ended.append(leader.done())
    assert ended == [False]
    assert await leader == 1
