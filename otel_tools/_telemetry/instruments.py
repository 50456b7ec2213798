"""Which providers our signals go to: the application's (found through the API) unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation

from otel_tools._telemetry import names, policy_metrics
from otel_tools._telemetry.counters import tallies
from otel_tools._telemetry.deferred import catch_up
from otel_tools._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from inspect import Signature

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_tools._telemetry.policy_metrics import PolicyEvent

    CallOf = Callable[
        [str, tuple[Any, ...], Mapping[str, Any], Callable[[], Signature]], tuple[str, trace.SpanContext | None] | None
    ]

__all__ = ["bind", "dropped", "signals"]

dropped: dict[str, int] = {}
"""Items that could not be delivered, by signal; filled by the exporters that `configure()` sets up."""

_ALWAYS_REPORTED = ("ok", "error")
"""Outcomes whose series exist before the first call: a series born at 1 shows no increase to Prometheus."""


class Signals:
    """Where a call's span, duration and log events go. The API's proxies find providers that are set later.

    Attributes:
        tracer: Makes the spans.
        duration: The histogram of call durations.
        time_in_queue: The histogram of waits for a slot or a token.
        logger_provider: Where log events go; None is the application's.
        listener: Is told of everything that a policy does; for tests.
        call_of: Finds the id that a model gave a call, and its span; set by ``_model/call_ids``.
    """

    def __init__(self) -> None:
        self.tracer: trace.Tracer
        self.duration: metrics.Histogram
        self.time_in_queue: metrics.Histogram
        self.logger_provider: LoggerProvider | None = None
        self.listener: Callable[[PolicyEvent], None] | None = None
        self.call_of: CallOf | None = None


signals = Signals()


def bind(
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> None:
    """Send what comes from now on to these providers; None is the application's own."""
    signals.tracer = trace.get_tracer(names.SCOPE, __version__, tracer_provider)
    signals.logger_provider = logger_provider
    bind_metrics(meter_provider)


def bind_metrics(meter_provider: MeterProvider | None = None) -> None:
    """Make every instrument anew on a provider; None is the application's own."""
    meter = metrics.get_meter(names.SCOPE, __version__, meter_provider)
    signals.duration, signals.time_in_queue = (
        meter.create_histogram(
            metric.name,
            metric.unit,
            metric.description,
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        for metric in (names.DURATION, names.THROTTLING_TIME)
    )
    for create, (name, unit, description), observe in (
        (meter.create_observable_counter, names.CALLS, _observe_calls),
        (meter.create_observable_up_down_counter, names.ACTIVE, _observe_active),
        (meter.create_observable_gauge, names.OBJECTIVE, _observe_objectives),
        (meter.create_observable_counter, names.RETRIES, policy_metrics.observe_retries),
        (meter.create_observable_counter, names.CACHE_REQUESTS, policy_metrics.observe_cache),
        (meter.create_observable_counter, names.THROTTLING_REQUESTS, policy_metrics.observe_throttling),
        (meter.create_observable_up_down_counter, names.THROTTLING_QUEUED, policy_metrics.observe_queued),
        (meter.create_observable_gauge, names.CIRCUIT_STATE, policy_metrics.observe_circuits),
        (meter.create_observable_up_down_counter, names.ABANDONED, policy_metrics.observe_abandoned),
        (meter.create_observable_counter, names.STORE_ERRORS, policy_metrics.observe_store_errors),
        (meter.create_observable_counter, names.EXPORT_DROPPED, _observe_dropped),
    ):
        create(name, [observe], unit, description)


def _observe_calls(_options: CallbackOptions) -> Iterable[Observation]:
    catch_up()
    for tally in tallies():
        counts = tally.counts
        with counts.lock:
            calls = dict(counts.calls)
        for result, count in calls.items():
            if count or result in _ALWAYS_REPORTED or result in tally.policies:
                yield Observation(count, {names.TOOL_NAME: tally.tool, names.OUTCOME: result})


def _observe_active(_options: CallbackOptions) -> Iterable[Observation]:
    for tally in tallies():
        yield Observation(len(tally.counts.active), {names.TOOL_NAME: tally.tool})


def _observe_objectives(_options: CallbackOptions) -> Iterable[Observation]:
    for tally in tallies():
        if tally.objective is not None:
            yield Observation(tally.objective, {names.TOOL_NAME: tally.tool})


def _observe_dropped(_options: CallbackOptions) -> Iterable[Observation]:
    for signal, count in dict(dropped).items():
        yield Observation(count, {names.EXPORT_SIGNAL: signal})


bind()
