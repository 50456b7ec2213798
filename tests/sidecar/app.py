"""Small applications for the end-to-end tests, run as processes of their own: ``python app.py NAME``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from opentelemetry import trace

from otel_tools import Objective, agent, configure, instrument, shutdown, tool


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
