"""What `@tool` costs, against OpenTelemetry written by hand. Run it: ``python -m tests.bench.overhead``.

Everything runs in one process and one SDK (batch span processor, an exporter that does nothing).

The hand-written code is what a careful person writes: the same span name, kind and attributes, the same histogram
point with an exemplar, exceptions and status left to ``start_as_current_span``; and in the second reference the same
counters (active, calls by outcome), as synchronous instruments.
"""

from __future__ import annotations

import asyncio
import time

from otel_tools import tool
from otel_tools._telemetry import names
from otel_tools._telemetry.instruments import bind_providers
from tests.bench.rounds import async_time, measure, meter_provider, sync_time, table, tracer_provider

SPAN = {
    names.OPERATION_NAME: names.EXECUTE_TOOL,
    names.TOOL_NAME: "add",
    names.TOOL_TYPE: names.FUNCTION,
    names.TOOL_DESCRIPTION: "Add one.",
}
POINT = {names.TOOL_NAME: "add", names.TOOL_TYPE: names.FUNCTION}
NAME = {names.TOOL_NAME: "add"}
OK = {names.TOOL_NAME: "add", names.OUTCOME: "ok"}
ERROR = {names.TOOL_NAME: "add", names.OUTCOME: "error"}


def add(x: int) -> int:
    """Add one."""
    return x + 1


async def aadd(x: int) -> int:
    """Add one."""
    return x + 1


tracer = tracer_provider.get_tracer("by-hand")
meter = meter_provider.get_meter("by-hand")
duration = meter.create_histogram(names.DURATION.name, "s", explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS)
calls = meter.create_counter(names.CALLS.name, "{call}")
active = meter.create_up_down_counter(names.ACTIVE.name, "{call}")


def by_hand(x: int) -> int:
    start = time.perf_counter()
    with tracer.start_as_current_span("execute_tool add", attributes=SPAN) as span:
        point = POINT
        try:
            result = add(x)
            span.set_attribute(names.OUTCOME, "ok")
            return result
        except Exception as error:
            point = {**POINT, names.ERROR_TYPE: type(error).__qualname__}
            span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
            raise
        finally:
            duration.record(time.perf_counter() - start, point)


def by_hand_with_counters(x: int) -> int:
    start = time.perf_counter()
    active.add(1, NAME)
    outcome = OK
    with tracer.start_as_current_span("execute_tool add", attributes=SPAN) as span:
        point = POINT
        try:
            result = add(x)
            span.set_attribute(names.OUTCOME, "ok")
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


async def aby_hand(x: int) -> int:
    start = time.perf_counter()
    with tracer.start_as_current_span("execute_tool add", attributes=SPAN) as span:
        point = POINT
        try:
            result = await aadd(x)
            span.set_attribute(names.OUTCOME, "ok")
            return result
        except Exception as error:
            point = {**POINT, names.ERROR_TYPE: type(error).__qualname__}
            span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
            raise
        finally:
            duration.record(time.perf_counter() - start, point)


async def aby_hand_with_counters(x: int) -> int:
    start = time.perf_counter()
    active.add(1, NAME)
    outcome = OK
    with tracer.start_as_current_span("execute_tool add", attributes=SPAN) as span:
        point = POINT
        try:
            result = await aadd(x)
            span.set_attribute(names.OUTCOME, "ok")
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


def main() -> None:
    unbound = tool(name="unbound")(add)
    bare = sync_time(add), sync_time(unbound)
    print(f"bare function {bare[0] * 1e6:.2f} us, @tool without any SDK {bare[1] * 1e6:.2f} us")
    bind_providers(tracer_provider, meter_provider)
    decorated, adecorated = tool(add), tool(name="aadd")(aadd)
    table(
        "sync",
        measure(
            {
                "bare": lambda: sync_time(add),
                "by hand": lambda: sync_time(by_hand),
                "by hand + counters": lambda: sync_time(by_hand_with_counters),
                "@tool": lambda: sync_time(decorated),
            }
        ),
        ["by hand", "by hand + counters"],
    )
    table(
        "async",
        measure(
            {
                "bare": lambda: asyncio.run(async_time(aadd)),
                "by hand": lambda: asyncio.run(async_time(aby_hand)),
                "by hand + counters": lambda: asyncio.run(async_time(aby_hand_with_counters)),
                "@tool": lambda: asyncio.run(async_time(adecorated)),
            }
        ),
        ["by hand", "by hand + counters"],
    )


if __name__ == "__main__":
    main()
