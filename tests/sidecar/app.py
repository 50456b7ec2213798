"""Small applications for the end-to-end tests, run as processes of their own: ``python app.py NAME``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from opentelemetry import trace

from otel_tools import (
    Cache,
    CircuitBreaker,
    CircuitOpen,
    Concurrency,
    InvalidArguments,
    Objective,
    RateLimit,
    Retry,
    agent,
    configure,
    instrument,
    shutdown,
    tool,
)
from otel_tools.testing import faults


def objectives() -> None:
    """One tool that keeps its objective and one without any, which is declared and never called."""
    configure(service_name="objectives")
    promised = tool(name="promised", objective=Objective(success=0.9))(lambda: None)
    tool(name="never_called")(lambda: None)
    promised()


def many_tools() -> None:
    """A thousand tools, each called once; half of them fail."""
    configure(service_name="many-tools")
    tools = instrument({f"tool_{number}": _odd(number) for number in range(1000)})
    for each in tools.values():
        try:
            each()
        except LookupError:
            continue


def _odd(number: int) -> Callable[[], int]:
    def function() -> int:
        if number % 2:
            raise LookupError(number)
        return number

    return function


def guarded() -> None:
    """One tool under every policy, through an outage and back; prints the trace id."""
    configure(service_name="guarded")
    limit = RateLimit(20, burst=1, max_wait=1)
    slow = iter([TimeoutError()])

    @tool(
        validate=True,
        fallback=lambda city: -1.0,  # noqa: ARG005 - with the tool's parameters
        fallback_on=ConnectionError,
        cache=Cache(ttl=60),
        retry=Retry(attempts=2, initial=0.01),
        circuit_breaker=CircuitBreaker(failures=4, cooldown=0.1),
        concurrency=Concurrency(2),
        rate_limit=limit,
        timeout=5,
    )
    def temperature(city: str) -> float:
        for error in slow:
            raise error
        return float(len(city))

    with agent("guarded"):
        print(trace.format_trace_id(trace.get_current_span().get_span_context().trace_id), flush=True)
        temperature("Paris")  # tried again
        temperature("Paris")  # from the cache
        with faults(temperature, error=ConnectionError):
            for city in ("Oslo", "Rome"):
                temperature(city)  # a fallback each, and the breaker opens
        with suppress(CircuitOpen):
            temperature("Bern")
        with suppress(InvalidArguments):
            temperature(3, town="Bern")  # type: ignore[arg-type, call-arg] # as a model may
        time.sleep(0.15)
        temperature("Bern")  # the probe that closes it


def steady() -> None:
    """Two thousand calls in about twenty seconds, a hundred under each agent's span; prints the trace ids."""
    configure(service_name="steady")
    step = tool(name="step")(lambda: time.sleep(0.01))
    for _ in range(20):
        with agent("steady"):
            print(trace.format_trace_id(trace.get_current_span().get_span_context().trace_id), flush=True)
            for _ in range(100):
                step()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    sys.exit(0 if shutdown(timeout=30) else 1)
