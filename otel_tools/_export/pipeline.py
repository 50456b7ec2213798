"""The providers that `configure()` sets up, from the first span to the end of the process, forks included."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from otel_tools._export import loss_log, sdk_private
from otel_tools._export.exporters import outlet_of
from otel_tools._export.meter_provider import Metering
from otel_tools._export.processors import INSTANCE_ID, BoundedSpanProcessor
from otel_tools._export.settings import SIGNALS
from otel_tools._telemetry.instruments import bind_meter_provider, bind_providers

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.delivery import Outlet
    from otel_tools._export.endpoint import TelemetrySignal
    from otel_tools._export.log_processor import BoundedLogProcessor, LoggerProvider
    from otel_tools._export.settings import Settings

__all__ = ["Pipeline", "set_by_application"]

logger = logging.getLogger("otel_tools")

_LEAST: Final = 0.05
"""Seconds that every signal gets at the end, however little time is left."""


def set_by_application() -> set[TelemetrySignal]:
    """The signals for which the application has set a provider of its own."""
    return set(SIGNALS) - sdk_private.api_placeholders()


class Pipeline:
    """What `configure()` built. Nothing of it is in use before `install`.

    Args:
        settings: What was asked for.
        signals: The signals to set up; the others are the application's.

    Raises:
        Exception: The SDK or an exporter cannot work with what the environment says; nothing is left behind.
    """

    def __init__(self, settings: Settings, signals: set[TelemetrySignal]) -> None:
        self._settings = settings
        self._resource = _resource(settings)
        self._outlets: list[Outlet] = []
        self._processors: list[BoundedSpanProcessor | BoundedLogProcessor] = []
        # Ours first. In the child of a fork the second is the inherited one, for the application's own instruments.
        self._meterings: list[Metering] = []
        self._tracer_provider: TracerProvider | None = None
        self._spans: BoundedSpanProcessor | None = None
        self._logger_provider: LoggerProvider | None = None
        self._paused = threading.local()
        self._ending = threading.Lock()
        self._ended = threading.Event()
        self._all_left = False
        self._metrics_failed = False
        try:
            if "traces" in signals:
                self._tracer_provider = self._new_tracer_provider()
            if "logs" in signals:
                self._logger_provider = self._new_logger_provider()
            if "metrics" in signals:
                self._meterings = [self._new_metering()]
        except Exception:
            self.stop(0)
            raise
        sdk_private.report_missing(self._missing_names())

    def install(self) -> None:
        """Make these the process's providers."""
        if self._tracer_provider is not None:
            trace.set_tracer_provider(self._tracer_provider)
        if self._logger_provider is not None:
            set_logger_provider(self._logger_provider)
        for metering in self._meterings:
            metrics.set_meter_provider(metering.provider)
        # Only now, so that the names resolve to what was just set.
        bind_providers()

    def flush(self, timeout: float) -> bool:
        """Send what is waiting; whether all of it left within the timeout."""
        deadline = time.monotonic() + timeout
        lost = self._lost()
        waiting = [(processor, processor.outlet.accepted) for processor in self._processors]
        collecting = [_Job(metering.provider.force_flush) for metering in self._meterings]
        try:
            for job in collecting:
                job.start()
            for processor, _ in waiting:
                processor.outlet.drain(processor.force_flush)
            sent = [p.outlet.drained(p.force_flush, accepted, deadline) for p, accepted in waiting]
        except RuntimeError:
            # From Python 3.12 on no thread can be started while the interpreter exits; shutdown() sends it all then.
            return False
        for job in collecting:
            job.join(max(0.0, deadline - time.monotonic()))
        collected = all(job.succeeded for job in collecting) and not self._metrics_failed
        return all(sent) and collected and self._lost() == lost

    def stop(self, timeout: float) -> bool:
        """Send what is waiting and end; whether all of it left within the timeout.

        Uses the threads that the providers have: none can be started while the interpreter exits. Where it is
        under way already, it is waited for.
        """
        if not self._ending.acquire(blocking=False):
            return self._ended.wait(timeout) and self._all_left
        lost = self._lost()
        with loss_log.held():
            self._send_and_end(time.monotonic() + timeout)
        self._all_left = self._lost() == lost and not self._metrics_failed
        for own in (self._tracer_provider, self._logger_provider):
            # What the application added to our providers ends here; ours has ended already.
            if own is not None:
                _quietly(own.shutdown)
        self._ended.set()
        return self._all_left

    def _send_and_end(self, deadline: float) -> None:
        # All may be stuck behind the same dead collector: each signal gets its share of what is left.
        shares = len(self._processors) + bool(self._meterings)
        for index, processor in enumerate(self._processors):
            processor.exit_timeout = max(_LEAST, (deadline - time.monotonic()) / (shares - index))
            _quietly(processor.shutdown)
        # Counted now, so that the last metrics tell it.
        soon = time.monotonic() + _LEAST
        cut_short = [processor.outlet for processor in self._processors if processor.outlet.give_up(soon)]
        for metering in self._meterings:
            left = max(_LEAST, deadline - time.monotonic())
            _quietly(partial(metering.provider.shutdown, timeout_millis=left * 1000))
        last = max(deadline, time.monotonic() + _LEAST)
        cut_short += [outlet for outlet in self._outlets if outlet.give_up(last)]
        for outlet in cut_short:
            outlet.report("not all was sent and answered before the end")

    def before_fork(self) -> None:
        """In the process that forks: wait a moment for exports that are under way."""
        began = time.monotonic()
        self._paused.outlets = [outlet for outlet in self._outlets if outlet.pause(began)]

    def after_fork_in_parent(self) -> None:
        """Go on."""
        for outlet in self._paused.__dict__.pop("outlets", ()):
            outlet.resume()

    def after_fork(self) -> None:
        """In the child: nothing that the parent counted, queued or was about to end is the child's."""
        self._paused = threading.local()
        self._ending, self._ended = threading.Lock(), threading.Event()
        for outlet in self._outlets:
            outlet.after_fork()
        if self._tracer_provider is not None and self._spans is not None:
            self._spans.after_fork(self._tracer_provider.resource)
        if self._meterings:
            try:
                self._renew_metrics()
            except Exception as error:  # noqa: BLE001 - nothing may stop the child; its flush() says that metrics fail
                self._metrics_failed = True
                logger.warning("the metrics of this forked process are not exported: %r", error)

    def _renew_metrics(self) -> None:
        # That of a parent which is a child itself has nothing but ours, and is let go.
        inherited = self._meterings[-1]
        self._resource = inherited.resource_in_child() or self._own_resource_in_child()
        ours = self._new_metering()
        self._meterings = [ours, inherited]
        bind_meter_provider(ours.provider)
        inherited.without_ours()

    def _own_resource_in_child(self) -> Resource:
        if self._tracer_provider is not None:
            # The SDK has given it a `service.instance.id` of this process.
            return self._tracer_provider.resource
        return self._resource.merge(Resource({INSTANCE_ID: str(uuid.uuid4())}))

    def _missing_names(self) -> list[sdk_private.PrivateName]:
        if self._meterings:
            return self._meterings[0].missing_names(self._processors)
        return sdk_private.missing_names(None, None, None, self._processors)

    def _lost(self) -> int:
        return sum(outlet.lost for outlet in self._outlets)

    def _outlet(self, signal: TelemetrySignal) -> Outlet:
        outlet = outlet_of(self._settings, signal)
        self._outlets.append(outlet)
        # Made now, so that what it cannot work with is an error of configure(), and so that no other thread is in the
        # middle of importing it when the process forks.
        _ = outlet.exporter
        return outlet

    def _new_tracer_provider(self) -> TracerProvider:
        ratio = self._settings.sample_ratio
        provider = TracerProvider(
            sampler=None if ratio is None else ParentBasedTraceIdRatio(ratio),
            resource=self._resource,
            shutdown_on_exit=False,
        )
        self._spans = BoundedSpanProcessor(self._outlet("traces"), self._resource)
        self._processors.append(self._spans)
        provider.add_span_processor(self._spans)
        return provider

    def _new_logger_provider(self) -> LoggerProvider | None:
        """None where the SDK's log signal is not at its known address."""
        try:
            from otel_tools._export.log_processor import new_logger_provider  # noqa: PLC0415 - only with logs

            provider, processor = new_logger_provider(self._outlet("logs"), self._resource)
        except ImportError as error:
            if not sdk_private.is_missing_log_module(error):
                raise
            sdk_private.report_missing_log_module(error)
            return None
        self._processors.append(processor)
        return provider

    def _new_metering(self) -> Metering:
        return Metering(self._outlet("metrics"), self._resource, self._settings.metric_interval)


def _resource(settings: Settings) -> Resource:
    resource = Resource.create(dict(settings.resource))
    if INSTANCE_ID in resource.attributes:
        return resource
    return resource.merge(Resource({INSTANCE_ID: str(uuid.uuid4())}))


class _Job(threading.Thread):
    """Something that is done while others wait for it no longer than they like."""

    def __init__(self, do: Callable[[], Any]) -> None:
        super().__init__(name="otel-tools-flush", daemon=True)
        self._do = do
        self.succeeded = False

    def run(self) -> None:
        self.succeeded = _quietly(self._do)


def _quietly(job: Callable[[], Any]) -> bool:
    """Whether the job ended without an error and did not say that it failed."""
    try:
        return job() is not False
    except Exception:  # noqa: BLE001 - at the end of a process there is nobody to hear it; the answer is no
        return False
