"""Flushes and shuts down processors and meter providers within a time limit."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from otel_tools._export import loss_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_tools._export.delivery import SignalDelivery
    from otel_tools._export.log_processor import BoundedLogProcessor
    from otel_tools._export.meter_provider import MetricPipeline
    from otel_tools._export.processors import BoundedSpanProcessor

__all__ = ["flush_all", "shut_down_all", "start_flush_of_others", "succeeds", "wait_for_flush"]

_MIN_SHARE: Final = 0.05
"""Seconds that every signal gets at the end, however little time is left."""


def flush_all(
    processors: Sequence[BoundedSpanProcessor | BoundedLogProcessor],
    metric_pipelines: Sequence[MetricPipeline],
    deadline: float,
) -> bool:
    """Export what waits; whether all of it was answered by the deadline and all metrics were collected.

    Args:
        processors: Processors of spans and log records.
        metric_pipelines: Meter providers.
        deadline: On the clock of `time.monotonic`.
    """
    waiting = [(processor, processor.delivery.counts.accepted) for processor in processors]
    collecting = [_BackgroundFlush(pipeline.provider.force_flush) for pipeline in metric_pipelines]
    try:
        for thread in collecting:
            thread.start()
        for processor, _ in waiting:
            processor.delivery.start_flush(processor.force_flush)
        answered = [
            processor.delivery.wait_until_answered(processor.force_flush, accepted, deadline)
            for processor, accepted in waiting
        ]
    except RuntimeError:
        # From Python 3.12 on no thread can be started while the interpreter exits. shutdown() exports it all then.
        return False
    for thread in collecting:
        thread.join(max(0.0, deadline - time.monotonic()))
    return all(answered) and all(thread.succeeded for thread in collecting)


def start_flush_of_others(timeout: float, own: Sequence[object]) -> list[_BackgroundFlush]:
    """Begin to flush the global providers that others have set.

    Args:
        timeout: Seconds that a provider may take.
        own: The providers that `configure()` has set up, which are left out.
    """
    found = (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider())
    others = [provider for provider in found if hasattr(provider, "force_flush") and provider not in own]
    flushes = [_BackgroundFlush(partial(provider.force_flush, int(timeout * 1000))) for provider in others]
    for flush in flushes:
        with contextlib.suppress(RuntimeError):  # as in `flush_all`
            flush.start()
    return flushes


def wait_for_flush(flushes: Sequence[_BackgroundFlush], deadline: float) -> bool:
    """Wait for flushes that were begun; whether all of them succeed by the deadline (of `time.monotonic`)."""
    for flush in flushes:
        if flush.ident is not None:
            flush.join(max(0.0, deadline - time.monotonic()))
    return all(flush.succeeded for flush in flushes)


def shut_down_all(
    processors: Sequence[BoundedSpanProcessor | BoundedLogProcessor],
    metric_pipelines: Sequence[MetricPipeline],
    deliveries: Sequence[SignalDelivery],
    deadline: float,
) -> None:
    """Export what waits and end every processor and meter provider.

    What is not sent by the deadline counts as dropped. What is sent and not answered may have arrived: the log line
    says how much that is. Starts no thread: none can be started while the interpreter exits.

    Args:
        processors: Processors of spans and log records.
        metric_pipelines: Meter providers.
        deliveries: The deliveries of all of them, and of those that a fork has left without a processor.
        deadline: On the clock of `time.monotonic`.
    """
    # All may wait for the same dead collector: each signal gets its share of what is left.
    shares = len(processors) + bool(metric_pipelines)
    for index, processor in enumerate(processors):
        processor.exit_timeout = max(_MIN_SHARE, (deadline - time.monotonic()) / (shares - index))
        succeeds(processor.shutdown)
    # Counted before the last metrics are collected, so that these include it.
    soon = time.monotonic() + _MIN_SHARE
    for processor in processors:
        processor.delivery.counts.abandon(soon)
    for pipeline in metric_pipelines:
        left = max(_MIN_SHARE, deadline - time.monotonic())
        succeeds(partial(pipeline.provider.shutdown, timeout_millis=left * 1000))
    last = max(deadline, time.monotonic() + _MIN_SHARE)
    cut_short = [delivery for delivery in deliveries if delivery.counts.abandon(last)]
    loss_log.note_unanswered({delivery.signal: delivery.counts.unanswered for delivery in cut_short})
    for delivery in cut_short:
        delivery.report_failure("not all was sent and answered before the end")


def succeeds(action: Callable[[], Any]) -> bool:
    """Run something; whether it raised no error and did not return False."""
    try:
        return action() is not False
    except Exception:  # noqa: BLE001 - at the end of a process nobody handles it; the answer is no
        return False


class _BackgroundFlush(threading.Thread):
    """A flush that others wait for with a time limit."""

    def __init__(self, flush: Callable[[], Any]) -> None:
        super().__init__(name="otel-tools-flush", daemon=True)
        self._flush = flush
        self.succeeded = False

    def run(self) -> None:
        self.succeeded = succeeds(self._flush)
