"""`CircuitBreaker`: the errors that count, and opening and closing by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import CircuitBreaker, CircuitOpen, ConfigurationError, FailedResult, Tool, tool
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Flavour


def raising(both: Flavour, breaker: CircuitBreaker, error: Exception, **options: Any) -> Callable[[], Any]:
    def fails() -> None:
        raise error

    decorated = tool(both.function(fails), name="fails", circuit_breaker=breaker, **options)

    def attempt() -> Any:
        with pytest.raises((type(error), CircuitOpen)) as caught:
            both.call(decorated)
        return caught.type

    return attempt


@pytest.mark.parametrize(
    ("on", "error", "counts"),
    [
        (ConnectionError, ConnectionError("x"), True),
        (ConnectionError, LookupError("x"), False),
        ((ConnectionError, LookupError), LookupError("x"), True),
        (lambda error: "down" in str(error), LookupError("down"), True),
        (lambda error: "down" in str(error), LookupError("not found"), False),
        (None, LookupError("x"), True),
    ],
)
def test_only_the_named_errors_open_it(both: Flavour, on: Any, error: Exception, counts: bool) -> None:
    breaker = CircuitBreaker(failures=2, on=on)
    attempt = raising(both, breaker, error)

    assert [attempt(), attempt()] == [type(error)] * 2
    assert breaker.state == ("open" if counts else "closed")


def test_a_returned_failure_counts_where_it_is_named(both: Flavour) -> None:
    def fails() -> dict[str, str]:
        return {"error": "down"}

    for on, state in ((FailedResult, "open"), (ConnectionError, "closed"), (None, "open")):
        breaker = CircuitBreaker(failures=1, on=on)
        both.call(tool(both.function(fails), name="fails", circuit_breaker=breaker, failed_if=lambda r: "error" in r))
        assert breaker.state == state


def test_a_function_that_raises_counts_the_error(both: Flavour, caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker(failures=1, on=lambda error: error.args[5])

    assert raising(both, breaker, LookupError("x"))() is LookupError
    assert breaker.state == "open"
    assert "on of the circuit breaker of tool 'fails' raised" in caplog.text


@pytest.mark.parametrize("on", [3, "ConnectionError", (), (3,), BaseException, KeyboardInterrupt])
def test_what_names_no_errors_is_refused(on: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"CircuitBreaker\(on="):
        CircuitBreaker(on=on)


async def _judge(_error: Exception) -> bool:
    return True


def test_an_async_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must not be async"):
        CircuitBreaker(on=_judge)


def test_it_is_opened_and_closed_by_hand(both: Flavour) -> None:
    breaker = CircuitBreaker(cooldown=30)

    def works() -> int:
        return 1

    decorated = tool(both.function(works), name="works", circuit_breaker=breaker)
    with FakeClock() as clock:
        breaker.open()
        assert breaker.state == "open"
        assert Tool.of(decorated).stats().circuit == "open"
        with pytest.raises(CircuitOpen):
            both.call(decorated)
        breaker.close()
        assert (breaker.state, both.call(decorated)) == ("closed", 1)

        breaker.open(cooldown=5)
        clock.advance(6)
        assert (both.call(decorated), breaker.state) == (1, "closed")

        breaker.open(cooldown=math.inf)
        clock.advance(10**6)
        with pytest.raises(CircuitOpen):
            both.call(decorated)
        breaker.reset()
        assert both.call(decorated) == 1


@pytest.mark.parametrize("cooldown", [0, -1, "5", True, math.nan])
def test_a_cooldown_that_cannot_be_is_refused(cooldown: Any) -> None:
    with pytest.raises(ConfigurationError, match="cooldown"):
        CircuitBreaker().open(cooldown)


def test_failures_are_forgotten_by_a_reset(both: Flavour) -> None:
    breaker = CircuitBreaker(failures=2)
    attempt = raising(both, breaker, LookupError("x"))

    attempt()
    breaker.reset()
    attempt()
    assert breaker.state == "closed"
