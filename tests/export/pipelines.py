"""A pipeline as `configure()` makes it, in this process and without setting the global providers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_tools._export import item_counts, loss_log
from otel_tools._export.endpoint import SIGNALS
from otel_tools._export.pipeline import Pipeline
from otel_tools._export.settings import read_settings
from otel_tools._telemetry.instruments import dropped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Exports", "exports"]

NO_ARGUMENTS: Final = dict.fromkeys(
    ("service_name", "service_version", "environment", "endpoint", "headers", "exporter", "file", "sample_ratio")
)


class Exports:
    """A pipeline of traces, metrics and logs.

    Attributes:
        pipeline: The pipeline.
    """

    def __init__(self, **arguments: Any) -> None:
        settings = read_settings(**{**NO_ARGUMENTS, "service_name": "s", "logs": "otlp", **arguments})
        signals = {signal for signal, each in settings.signals.items() if each.exporters or each.problem}
        self.warnings = settings.check(signals)
        self.pipeline = Pipeline(settings, signals)
        providers = self.pipeline.providers
        self.tracers = next(each for each in providers if isinstance(each, TracerProvider))
        self.meters = next((each for each in providers if isinstance(each, MeterProvider)), None)
        self.loggers = next(each for each in providers if isinstance(each, LoggerProvider))

    def send(self, count: int = 5) -> None:
        """Make as many spans, log records and series of one counter, and wait for none of them."""
        tracer, logger = self.tracers.get_tracer("test"), self.loggers.get_logger("test")
        for number in range(count):
            tracer.start_span(f"span {number}").end()
            logger.emit(body=f"record {number}")
        if self.meters is not None:
            counter = self.meters.get_meter("test").create_counter("counted")
            for number in range(count):
                counter.add(1, {"number": number})

    def flush(self, seconds: float = 60.0) -> bool:
        """Export what waits."""
        return self.pipeline.flush(seconds)

    @property
    def dropped(self) -> dict[str, int]:
        """How many items of each signal have been dropped, without the signals that lost none."""
        return {signal: dropped[signal] for signal in SIGNALS if dropped[signal]}


@contextmanager
def exports(**arguments: Any) -> Iterator[Exports]:
    """A pipeline in the block; what is lost is counted and logged as in a process that has just begun."""
    loss_log._renew_reporter()
    item_counts._reset_dropped()
    made = Exports(**arguments)
    try:
        yield made
    finally:
        made.pipeline.stop(1.0)
