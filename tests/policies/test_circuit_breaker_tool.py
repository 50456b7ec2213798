"""The circuit breaker around real tools: what callers get and what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_tools import CircuitBreaker, tool
from otel_tools._telemetry import names
from otel_tools.errors import CircuitOpen
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """The time, which stands still until a test advances it."""
    with FakeClock() as clock:
        yield clock


def state_of(breaker: CircuitBreaker) -> str:
    """Its state, without a type checker's belief that it stays what it was asserted to be."""
    return breaker.state


def test_a_tool_that_keeps_failing_is_not_called_until_the_cooldown_is_over(
    seen: Captured, both: Flavour, clock: FakeClock
) -> None:
    down = [True]
    runs: list[None] = []

    def price() -> int:
        runs.append(None)
        if down[0]:
            raise ConnectionError
        return 1

    decorated = tool(name="price", circuit_breaker=CircuitBreaker(failures=2, cooldown=30))(both.function(price))
    state = {names.TOOL_NAME: "price"}
    for _ in range(2):
        with pytest.raises(ConnectionError):
            both.call(decorated)
    assert seen.value(names.CIRCUIT_STATE.name, state) == 2
    with pytest.raises(CircuitOpen, match="tries again in 30"):
        both.call(decorated)
    assert len(runs) == 2
    clock.advance(30)
    assert seen.value(names.CIRCUIT_STATE.name, state) == 1
    down[0] = False
    assert both.call(decorated) == 1
    assert seen.value(names.CIRCUIT_STATE.name, state) == 0
    assert seen.value(names.CALLS.name, {**state, names.OUTCOME: "error"}) == 3
    assert seen.value(names.CALLS.name, {**state, names.OUTCOME: "ok"}) == 1


def test_a_generator_counts_by_how_its_iteration_ends(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failures=2)

    @tool(circuit_breaker=breaker)
    def items(good: bool) -> Iterator[int]:
        yield 1
        if not good:
            raise ConnectionError

    for _ in range(2):
        left = items(good=False)
        next(left)
        left.close()  # type: ignore[attr-defined] # it is a generator
        with pytest.raises(ConnectionError):
            list(items(good=False))
    with pytest.raises(CircuitOpen):
        next(items(good=True))
    clock.advance(30)
    assert list(items(good=True)) == [1]
    assert state_of(breaker) == "closed"
