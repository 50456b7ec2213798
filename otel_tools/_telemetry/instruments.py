"""Creates tracer and metric instruments on the application's providers, which the API finds, or on given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation

from otel_tools._telemetry import names, policy_metrics
from otel_tools._telemetry.counters import all_tool_metrics
from otel_tools._telemetry.deferred import report_pending
from otel_tools._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from inspect import Signature

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_tools._telemetry.api_private import LoggerProvider
    from otel_tools._telemetry.policy_metrics import PolicyEvent

    FindModelCall = Callable[
        [str, tuple[Any, ...], Mapping[str, Any], Callable[[], Signature]], tuple[str, trace.SpanContext | None] | None
    ]

__all__ = ["bind_meter_provider", "bind_providers", "dropped", "instruments"]

dropped: dict[str, int] = {}
"""Number of items that could not be delivered, by signal. The exporters that `configure()` sets up count them."""

_ALWAYS_REPORTED = ("ok", "error")
"""Outcomes whose series exist before the first call: Prometheus sees no increase in a series that starts at 1."""


class Instruments:
    """The instruments that calls are recorded with, and two hooks that other packages set.

    The API gives proxies, which find providers that the application sets later.

    Attributes:
        tracer: Creates the spans.
        duration: The histogram of call durations.
        time_in_queue: The histogram of waits for a slot or a token.
        logger_provider: Where log events go; None is the application's.
        policy_listener: Called with each `PolicyEvent`; `otel_tools.testing.capture` sets it.
        find_model_call: Finds the id that a model gave a call, and the model's span. Its arguments are the tool's name,
            the call's positional and keyword arguments and a function that gives the signature. It returns None where
            no model is known to have asked for the call. ``_model/call_ids`` sets it.
    """

    def __init__(self) -> None:
        self.tracer: trace.Tracer
        self.duration: metrics.Histogram
        self.time_in_queue: metrics.Histogram
        self.logger_provider: LoggerProvider | None = None
        self.policy_listener: Callable[[PolicyEvent], None] | None = None
        self.find_model_call: FindModelCall | None = None


instruments = Instruments()


def bind_providers(
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> None:
    """Create tracer and metric instruments on these providers; None is the application's own."""
    instruments.tracer = trace.get_tracer(names.SCOPE, __version__, tracer_provider)
    instruments.logger_provider = logger_provider
    bind_meter_provider(meter_provider)


def bind_meter_provider(meter_provider: MeterProvider | None = None) -> None:
    """Create every metric instrument on this provider; None is the application's own."""
    meter = metrics.get_meter(names.SCOPE, __version__, meter_provider)
    instruments.duration, instruments.time_in_queue = (
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
    report_pending()
    for tool_metrics in all_tool_metrics():
        counters = tool_metrics.counters
        with counters.lock:
            calls = dict(counters.calls)
        for result, count in calls.items():
            if count or result in _ALWAYS_REPORTED or result in tool_metrics.policies:
                yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.OUTCOME: result})


def _observe_active(_options: CallbackOptions) -> Iterable[Observation]:
    for tool_metrics in all_tool_metrics():
        yield Observation(len(tool_metrics.counters.active), {names.TOOL_NAME: tool_metrics.tool})


def _observe_objectives(_options: CallbackOptions) -> Iterable[Observation]:
    for tool_metrics in all_tool_metrics():
        if tool_metrics.objective is not None:
            yield Observation(tool_metrics.objective, {names.TOOL_NAME: tool_metrics.tool})


def _observe_dropped(_options: CallbackOptions) -> Iterable[Observation]:
    for signal, count in dict(dropped).items():
        yield Observation(count, {names.EXPORT_SIGNAL: signal})


bind_providers()
