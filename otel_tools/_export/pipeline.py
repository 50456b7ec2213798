"""The providers that `configure()` sets up: construction, flush, end, and forks."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from otel_tools._call.safe_logging import log_safely
from otel_tools._export import loss_log, sdk_private
from otel_tools._export.cleaning import clean_resource
from otel_tools._export.endpoint import SIGNALS
from otel_tools._export.exporters import new_delivery
from otel_tools._export.flushing import flush_all, shut_down_all, succeeds
from otel_tools._export.meter_provider import MetricPipeline
from otel_tools._export.processors import INSTANCE_ID, BoundedSpanProcessor
from otel_tools._export.refusals import Refusals
from otel_tools._telemetry.counters import all_tool_metrics
from otel_tools._telemetry.instruments import bind_meter_provider, bind_providers

if TYPE_CHECKING:
    from otel_tools._export.delivery import SignalDelivery
    from otel_tools._export.endpoint import TelemetrySignal
    from otel_tools._export.log_processor import BoundedLogProcessor, LoggerProvider
    from otel_tools._export.settings import Settings

__all__ = ["Pipeline", "set_by_application"]

logger = logging.getLogger("otel_tools")

_NO_NAME: Final = "unknown_service"
"""How the SDK begins the name of a service that has none."""


def set_by_application() -> set[TelemetrySignal]:
    """The signals for which the application has set a provider of its own."""
    return set(SIGNALS) - sdk_private.api_placeholders()


class Pipeline:
    """The SDK's providers, processors and exporters for some signals. Not in use before `install`.

    Args:
        settings: The checked configuration.
        signals: The signals to set up; the others are the application's.

    Raises:
        Exception: The SDK or an exporter cannot work with the environment's settings; nothing is left behind.
    """

    def __init__(self, settings: Settings, signals: set[TelemetrySignal]) -> None:
        self._settings = settings
        self._resource = _resource(settings)
        name = str(self._resource.attributes.get("service.name", ""))
        if not name.strip() or name.startswith(_NO_NAME):
            message = "the service has no name and is exported as %r: configure(service_name=...) or OTEL_SERVICE_NAME"
            logger.warning(message, name)
        self._deliveries: list[SignalDelivery] = []
        self._refusals = Refusals()
        self._processors: list[BoundedSpanProcessor | BoundedLogProcessor] = []
        # In a forked process the first is the child's own and the second the inherited one, for the application's
        # instruments.
        self._metric_pipelines: list[MetricPipeline] = []
        self._tracer_provider: TracerProvider | None = None
        self._span_processor: BoundedSpanProcessor | None = None
        self._logger_provider: LoggerProvider | None = None
        self._paused = threading.local()
        self._stop_lock = threading.Lock()
        self._stopped = threading.Event()
        self._stop_result = False
        self._child_metrics_failed = False
        self._activity_at_flush = -1
        try:
            if "traces" in signals:
                self._tracer_provider = self._new_tracer_provider()
            if "logs" in signals:
                self._logger_provider = self._new_logger_provider()
            if "metrics" in signals:
                self._metric_pipelines = [self._new_metric_pipeline()]
        except Exception:
            self.stop(0)
            raise
        sdk_private.report_missing(self._missing_names())

    def install(self) -> None:
        """Set the global providers of the process."""
        if self._tracer_provider is not None:
            trace.set_tracer_provider(self._tracer_provider)
        if self._logger_provider is not None:
            set_logger_provider(self._logger_provider)
        for pipeline in self._metric_pipelines:
            metrics.set_meter_provider(pipeline.provider)
        # Last: it looks up the global providers.
        bind_providers()

    def has_news(self) -> bool:
        """Whether anything was recorded that no flush has delivered; in a forked process, since the fork.

        What the application counts with instruments of its own is not looked at.
        """
        return self._activity() != self._activity_at_flush

    def ignore_news(self) -> None:
        """What was recorded until now is no news any more."""
        self._activity_at_flush = self._activity()

    def flush(self, timeout: float) -> bool:
        """Export what waits; whether all of it was delivered within the timeout (seconds)."""
        activity, before = self._activity(), self._undelivered()
        answered = flush_all(self._processors, self._metric_pipelines, time.monotonic() + timeout)
        delivered = answered and self._all_delivered_since(before)
        if delivered:
            self._activity_at_flush = activity
        return delivered

    def stop(self, timeout: float) -> bool:
        """Export what waits and end; whether all of it was delivered within the timeout (seconds).

        A second call waits for the first.
        """
        if not self._stop_lock.acquire(blocking=False):
            return self._stopped.wait(timeout) and self._stop_result
        before = self._undelivered()
        with loss_log.delay_reports():
            shut_down_all(self._processors, self._metric_pipelines, self._deliveries, time.monotonic() + timeout)
        answered = not any(delivery.counts.unanswered for delivery in self._deliveries)
        self._stop_result = answered and self._all_delivered_since(before)
        for provider in (self._tracer_provider, self._logger_provider):
            # Ends the processors that the application added to it; ours have ended already.
            if provider is not None:
                succeeds(provider.shutdown)
        self._stopped.set()
        return self._stop_result

    def before_fork(self) -> None:
        """In the process that forks: wait a moment for exports in progress."""
        began = time.monotonic()
        self._paused.deliveries = [delivery for delivery in self._deliveries if delivery.pause(began)]

    def after_fork_in_parent(self) -> None:
        """Resume the exports."""
        for delivery in self._paused.__dict__.pop("deliveries", ()):
            delivery.resume()

    def after_fork(self) -> None:
        """In a forked process: start from zero. What the parent counted or queued is the parent's."""
        self._paused = threading.local()
        self._stop_lock, self._stopped = threading.Lock(), threading.Event()
        self._activity_at_flush = 0
        for delivery in self._deliveries:
            delivery.after_fork()
        if self._tracer_provider is not None and self._span_processor is not None:
            self._span_processor.after_fork(self._tracer_provider.resource)
        if self._metric_pipelines:
            try:
                self._renew_metric_pipeline()
            except Exception as error:  # noqa: BLE001 - nothing may stop the child; its flush() returns False
                self._child_metrics_failed = True
                message = "the metrics of this forked process are not exported: %r"
                log_safely(logger, logging.WARNING, message, error)

    def _renew_metric_pipeline(self) -> None:
        # Where the parent is a forked process too, its own pipeline has no instruments of the application and is
        # dropped.
        inherited = self._metric_pipelines[-1]
        self._resource = inherited.resource_in_child() or self._resource_in_child()
        own = self._new_metric_pipeline()
        self._metric_pipelines = [own, inherited]
        bind_meter_provider(own.provider)
        inherited.keep_only_foreign_instruments()

    def _resource_in_child(self) -> Resource:
        if self._tracer_provider is not None:
            # The SDK has given it a `service.instance.id` of this process.
            return self._tracer_provider.resource
        return self._resource.merge(Resource({INSTANCE_ID: str(uuid.uuid4())}))

    @property
    def providers(self) -> list[object]:
        """Its providers of traces, logs and metrics."""
        return [self._tracer_provider, self._logger_provider, *(each.provider for each in self._metric_pipelines)]

    @property
    def late(self) -> int:
        """How many items came after the end, and were dropped."""
        return sum(delivery.counts.late for delivery in self._deliveries)

    def _undelivered(self) -> list[int]:
        return [delivery.counts.undelivered for delivery in self._deliveries]

    def _all_delivered_since(self, before: list[int]) -> bool:
        """Whether nothing has been lost since, apart from a signal that the collector does not take."""
        return not self._child_metrics_failed and not any(
            now > then
            for delivery, now, then in zip(self._deliveries, self._undelivered(), before, strict=False)
            if not self._refusals.is_off(delivery.signal)
        )

    def _activity(self) -> int:
        """A number that grows with what is recorded; 0 in a process that has just been forked."""
        accepted = sum(delivery.counts.accepted for delivery in self._deliveries)
        return accepted + sum(sum(tool.counters.calls.values()) for tool in all_tool_metrics())

    def _missing_names(self) -> list[sdk_private.PrivateName]:
        if self._metric_pipelines:
            return self._metric_pipelines[0].missing_names(self._processors)
        return sdk_private.missing_names(None, None, self._processors)

    def _new_delivery(self, signal: TelemetrySignal) -> SignalDelivery:
        delivery = new_delivery(self._settings, signal, self._refusals)
        self._deliveries.append(delivery)
        # The exporter is made now: what it cannot work with is then an error of configure(), and no other thread is
        # in the middle of importing it when the process forks.
        _ = delivery.exporter
        return delivery

    def _new_tracer_provider(self) -> TracerProvider:
        ratio = self._settings.sample_ratio
        provider = TracerProvider(
            sampler=None if ratio is None else ParentBasedTraceIdRatio(ratio),
            resource=self._resource,
            shutdown_on_exit=False,
        )
        self._span_processor = BoundedSpanProcessor(self._new_delivery("traces"), self._resource)
        self._processors.append(self._span_processor)
        provider.add_span_processor(self._span_processor)
        return provider

    def _new_logger_provider(self) -> LoggerProvider | None:
        """None where the SDK's log signal is not at its known address."""
        try:
            from otel_tools._export.log_processor import new_logger_provider  # noqa: PLC0415 - only with logs

            provider, processor = new_logger_provider(self._new_delivery("logs"), self._resource)
        except ImportError as error:
            if not sdk_private.is_missing_log_module(error):
                raise
            sdk_private.report_missing_log_module(error)
            return None
        self._processors.append(processor)
        return provider

    def _new_metric_pipeline(self) -> MetricPipeline:
        console = self._settings.signals["metrics"].exporters == ("console",)
        interval = self._settings.signals["metrics"].interval
        return MetricPipeline(self._new_delivery("metrics"), self._resource, interval, console=console)


def _resource(settings: Settings) -> Resource:
    resource = clean_resource(Resource.create(dict(settings.resource)))
    if INSTANCE_ID in resource.attributes:
        return resource
    return resource.merge(Resource({INSTANCE_ID: str(uuid.uuid4())}))
