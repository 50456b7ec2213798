"""`faults`: injected latency and errors, repeatable, which the tool's policies handle as the function's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import CircuitBreaker, CircuitOpen, ConfigurationError, RateLimited, Retry, tool
from otel_tools.testing import FakeClock, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def result_or_error_type(both: Flavour, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return both.call(function, *args)
    except Exception as error:
        return type(error)


def test_a_sequence_sets_what_each_attempt_does(both: Flavour) -> None:
    decorated = tool(name="scripted")(both.function(lambda value: value))
    refused = RateLimited("no")

    with faults(decorated, sequence=[TimeoutError, refused, None, {"error": "down"}]) as injected:
        assert [result_or_error_type(both, decorated, 1) for _ in range(5)] == [
            TimeoutError,
            RateLimited,
            1,
            {"error": "down"},
            1,
        ]

    assert (injected.attempts, injected.injected) == (5, 3)
    assert both.call(decorated, 1) == 1


def test_a_rate_fails_about_that_share_and_a_seed_repeats_the_faults(both: Flavour) -> None:
    decorated = tool(name="flaky")(both.function(lambda: 1))

    def run(seed: int, latency: float = 0.0) -> list[Any]:
        with FakeClock(), faults(decorated, error=ConnectionError, rate=0.3, seed=seed, latency=latency):
            return [result_or_error_type(both, decorated) for _ in range(200)]

    assert run(1) == run(1) == run(1, latency=2)
    assert run(1) != run(2)
    assert 30 <= run(1).count(ConnectionError) <= 90


def test_policies_handle_faults_as_the_functions_own(seen: Captured, both: Flavour) -> None:
    decorated = tool(
        name="guarded",
        retry=Retry(attempts=2, initial=0),
        circuit_breaker=CircuitBreaker(failures=2, cooldown=30),
        fallback=both.function(lambda: "fallback"),
    )(both.function(lambda: "real"))

    with FakeClock() as clock, faults(decorated, error=ConnectionError) as injected:
        assert [both.call(decorated) for _ in range(3)] == ["fallback"] * 3
        assert injected.attempts == 2
        assert decorated.tool.stats().circuit == "open"
        clock.advance(31)
    assert both.call(decorated) == "real"
    assert decorated.tool.stats().calls.fallback == 3


def test_a_latency_is_drawn_between_two_bounds() -> None:
    decorated = tool(name="slow")(lambda: 1)

    with FakeClock() as clock, faults(decorated, latency=(1, 3)):
        for _ in range(100):
            decorated()

    assert len(set(clock.slept)) > 50
    assert all(1 <= seconds <= 3 for seconds in clock.slept)


def test_generators_fail_before_their_first_item() -> None:
    @tool
    def items() -> Iterator[int]:
        yield 1

    @tool
    async def items_later() -> AsyncIterator[int]:
        yield 1

    async def all_of() -> list[int]:
        return [item async for item in items_later()]

    with FakeClock(), faults(items, sequence=[ConnectionError, None], latency=1):
        with pytest.raises(ConnectionError):
            list(items())
        assert list(items()) == [1]
    with FakeClock(), faults(items_later, sequence=[ConnectionError, None], latency=1):
        with pytest.raises(ConnectionError):
            asyncio.run(all_of())
        assert asyncio.run(all_of()) == [1]


def test_methods_can_have_faults() -> None:
    class Api:
        @tool
        def get(self) -> int:
            return 1

    with faults(Api().get, error=ConnectionError), pytest.raises(ConnectionError):
        Api().get()
    with faults(Api.get, error=ConnectionError), pytest.raises(ConnectionError):
        Api().get()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.5}, "a rate from 0 to 1"),
        ({"rate": -0.1}, "a rate from 0 to 1"),
        ({"latency": -1}, "a latency of 0 s or more"),
        ({"latency": (2, 1)}, "a latency of 0 s or more"),
        ({"latency": (1, 2, 3)}, "a latency of 0 s or more"),
        ({"latency": "1"}, "a latency of 0 s or more"),
        ({"rate": "x"}, "a rate from 0 to 1"),
        ({"error": "boom"}, "an exception or its class"),
        ({"sequence": "abc"}, "a list is needed"),
        ({"sequence": 5}, "a list is needed"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message), faults(tool(name="fine")(len), **arguments):
        pass


def test_a_function_that_is_no_tool_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a tool is needed; decorate it with @tool first"), faults(len):
        pass


def test_an_open_circuit_is_seen_without_the_function_being_reached(both: Flavour) -> None:
    decorated = tool(name="open", circuit_breaker=CircuitBreaker(failures=1))(both.function(lambda: 1))

    with FakeClock(), faults(decorated, error=ConnectionError) as injected:
        assert [result_or_error_type(both, decorated) for _ in range(3)] == [ConnectionError, CircuitOpen, CircuitOpen]
    assert injected.attempts == 1


def test_faults_of_nested_blocks_add_up(both: Flavour) -> None:
    decorated = tool(name="twice")(both.function(lambda: 1))

    with faults(decorated, sequence=[ConnectionError]), faults(decorated, sequence=[TimeoutError]):
        assert [result_or_error_type(both, decorated) for _ in range(3)] == [TimeoutError, ConnectionError, 1]
