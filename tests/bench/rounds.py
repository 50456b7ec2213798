"""What the benchmarks share: one process, interleaved rounds, and a table of medians and ratios.

A round times each variant once, in turn; a variant's ratio is the median over the rounds of its time by the
reference's time in the same round, so that what the machine does meanwhile touches both.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

ROUNDS = 9
CALLS = 3000


class NoExport(SpanExporter):
    """Takes spans and does nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


tracer_provider = TracerProvider()
tracer_provider.add_span_processor(BatchSpanProcessor(NoExport(), max_queue_size=100_000, schedule_delay_millis=100))
meter_provider = MeterProvider([InMemoryMetricReader()])


def sync_time(function: Callable[[int], Any], calls: int = CALLS) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for x in range(calls):
        function(x)
    return (time.perf_counter() - start) / calls


async def async_time(function: Callable[[int], Awaitable[Any]], calls: int = CALLS) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for x in range(calls):
        await function(x)
    return (time.perf_counter() - start) / calls


def measure(variants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """The time of each variant in each round."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for time_it in variants.values():
        time_it()
    for _ in range(ROUNDS):
        for name, time_it in variants.items():
            tracer_provider.force_flush()
            gc.collect()
            times[name].append(time_it())
    return times


def table(title: str, times: dict[str, list[float]], references: Sequence[str]) -> None:
    """Print the medians, and the ratios to the references."""
    print(f"\n{title}: median of {ROUNDS} rounds")
    print(f"{'':30}{'us/call':>9}" + "".join(f"{'x ' + name:>22}" for name in references))
    for name, mine in times.items():
        ratios = (statistics.median(a / b for a, b in zip(mine, times[r], strict=True)) for r in references)
        print(f"{name:30}{statistics.median(mine) * 1e6:9.2f}" + "".join(f"{ratio:22.2f}" for ratio in ratios))
