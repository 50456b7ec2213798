"""What `@tool` costs, against OpenTelemetry written by hand. Run it: ``python tests/bench/overhead.py``.

Everything runs in one process and one SDK (batch span processor, an exporter that does nothing). A round times each
variant once, in turn; a variant's ratio is the median over the rounds of its time by the reference's time in the
same round, so that what the machine does meanwhile touches both.

The hand-written code is what a careful person writes: the same span name, kind and attributes, the same histogram
point with an exemplar, exceptions and status left to ``start_as_current_span``; and in the second reference the same
counters (active, calls by outcome), as synchronous instruments.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_tools import tool
from otel_tools.telemetry import names
from otel_tools.telemetry.binding import bind

ROUNDS = 9
CALLS = 3000


class NoExport(SpanExporter):
    """Takes spans and does nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


tracer_provider = TracerProvider()
tracer_provider.add_span_processor(BatchSpanProcessor(NoExport(), max_queue_size=100_000, schedule_delay_millis=100))
meter_provider = MeterProvider([InMemoryMetricReader()])

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


def sync_time(function: Callable[[int], Any]) -> float:
    start = time.perf_counter()
    for x in range(CALLS):
        function(x)
    return (time.perf_counter() - start) / CALLS


async def async_time(function: Callable[[int], Awaitable[Any]]) -> float:
    start = time.perf_counter()
    for x in range(CALLS):
        await function(x)
    return (time.perf_counter() - start) / CALLS


def measure(variants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in variants}
    for time_it in variants.values():
        time_it()
    for _ in range(ROUNDS):
        for name, time_it in variants.items():
            tracer_provider.force_flush()
            gc.collect()
            times[name].append(time_it())
    return times


def table(title: str, times: dict[str, list[float]]) -> None:
    references = [name for name in times if name.startswith("by hand")]
    print(f"\n{title}: median of {ROUNDS} rounds of {CALLS} calls")
    print(f"{'':28}{'us/call':>9}" + "".join(f"{'x ' + name:>26}" for name in references))
    for name, mine in times.items():
        ratios = (statistics.median(a / b for a, b in zip(mine, times[r], strict=True)) for r in references)
        print(f"{name:28}{statistics.median(mine) * 1e6:9.2f}" + "".join(f"{ratio:26.2f}" for ratio in ratios))


def main() -> None:
    unbound = tool(name="unbound")(add)
    bare = sync_time(add), sync_time(unbound)
    print(f"bare function {bare[0] * 1e6:.2f} us, @tool without any SDK {bare[1] * 1e6:.2f} us")
    bind(tracer_provider, meter_provider)
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
    )


if __name__ == "__main__":
    main()
