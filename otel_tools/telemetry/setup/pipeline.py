"""The providers that `configure()` sets up, from the first span to the end of the process, forks included."""

from __future__ import annotations

import threading
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from otel_tools.telemetry import names
from otel_tools.telemetry.binding import bind, bind_metrics, dropped
from otel_tools.telemetry.setup.delivery import BoundedLogProcessor, BoundedSpanProcessor, MetricDelivery
from otel_tools.telemetry.setup.exporters import delivery_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.telemetry.setup.delivery import Delivery
    from otel_tools.telemetry.setup.options import Settings, Signal

__all__ = ["Pipeline", "set_by_application"]

_MOST_SERIES: Final = 20_000
"""Series an instrument of ours may have; the SDK's default of 2,000 is not enough for 1,000 tools."""

_VIEWS: Final = [
    View(instrument_name=name, meter_name=names.SCOPE, aggregation_cardinality_limit=_MOST_SERIES)
    for name in (names.DURATION.name, "otel_tools.*")
]


def set_by_application() -> set[Signal]:
    """The signals for which the application has set a provider of its own."""
    found: set[Signal] = set()
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        found.add("traces")
    # The API has no public name for the stand-ins of these two.
    if not type(metrics.get_meter_provider()).__name__.startswith("_Proxy"):
        found.add("metrics")
    if not type(get_logger_provider()).__name__.startswith("Proxy"):
        found.add("logs")
    return found


class Pipeline:
    """What `configure()` built.

    Args:
        settings: What was asked for.
        signals: The signals to set up; the others are the application's.
    """

    def __init__(self, settings: Settings, signals: set[Signal]) -> None:
        self._settings = settings
        self._resource = _resource(settings)
        self._deliveries: list[Delivery] = []
        self._processors: list[BoundedSpanProcessor | BoundedLogProcessor] = []
        self._metric_deliveries: list[MetricDelivery] = []
        self._meter_providers: list[MeterProvider] = []
        self._tracer_provider: TracerProvider | None = None
        self._logger_provider: LoggerProvider | None = None
        if "traces" in signals:
            self._tracer_provider = self._set_up_traces()
        if "logs" in signals:
            self._logger_provider = self._set_up_logs()
        if "metrics" in signals:
            metrics.set_meter_provider(self._new_meter_provider())
        # Only now, so that the names resolve to what was just set.
        bind()

    def flush(self, timeout: float) -> bool:
        """Send what is waiting; whether all of it left within the timeout."""
        lost = sum(dropped.values())
        jobs: list[Callable[[], Any]] = [processor.force_flush for processor in self._processors]
        jobs += [provider.force_flush for provider in self._meter_providers]
        finished = _run_all(jobs, timeout)
        return finished and sum(dropped.values()) == lost and not any(d.pending for d in self._deliveries)

    def stop(self, timeout: float) -> bool:
        """Send what is waiting and end; whether all of it left within the timeout.

        Uses the threads that the providers have: none can be started while the interpreter exits.
        """
        lost = sum(dropped.values())
        deadline = time.monotonic() + timeout
        # Two signals may be stuck behind the same dead collector: each gets its share of what is left.
        for share, processor in zip((0.5, 0.5), self._processors, strict=False):
            processor.exit_timeout = max(0.05, (deadline - time.monotonic()) * share)
            processor.shutdown()
        for provider in self._meter_providers:
            _quietly(partial(provider.shutdown, timeout_millis=max(50.0, (deadline - time.monotonic()) * 1000)))
        for own in (self._tracer_provider, self._logger_provider):
            # What the application added to our providers ends here; ours has ended already.
            if own is not None:
                _quietly(own.shutdown)
        return sum(dropped.values()) == lost and not any(d.pending for d in self._deliveries)

    def after_fork(self) -> None:
        """In the child: nothing that the parent counted or queued is the child's.

        A histogram's state is the SDK's and is inherited with the parent's counts in it, so our instruments are made
        anew on a provider of the child's own, and the inherited one goes on without ours.
        """
        for delivery in self._deliveries:
            delivery.after_fork()
        if self._meter_providers:
            for metric_delivery in self._metric_deliveries:
                metric_delivery.ours_elsewhere = True
            # The SDK has given the inherited provider a service.instance.id of the child's own; take it over.
            self._resource = self._meter_providers[-1]._sdk_config.resource  # noqa: SLF001 - has no public name
            bind_metrics(self._new_meter_provider())

    def _deliver(self, signal: Signal) -> Delivery:
        delivery = delivery_of(self._settings, signal)
        self._deliveries.append(delivery)
        return delivery

    def _set_up_traces(self) -> TracerProvider:
        ratio = self._settings.sample_ratio
        provider = TracerProvider(
            sampler=None if ratio is None else ParentBasedTraceIdRatio(ratio),
            resource=self._resource,
            shutdown_on_exit=False,
        )
        processor = BoundedSpanProcessor(self._deliver("traces"))
        self._processors.append(processor)
        provider.add_span_processor(processor)
        trace.set_tracer_provider(provider)
        return provider

    def _set_up_logs(self) -> LoggerProvider:
        provider = LoggerProvider(resource=self._resource, shutdown_on_exit=False)
        processor = BoundedLogProcessor(self._deliver("logs"))
        self._processors.append(processor)
        provider.add_log_record_processor(processor)
        set_logger_provider(provider)
        return provider

    def _new_meter_provider(self) -> MeterProvider:
        delivery = MetricDelivery(self._deliver("metrics"))
        self._metric_deliveries.append(delivery)
        reader = PeriodicExportingMetricReader(delivery, export_interval_millis=self._settings.metric_interval * 1000)
        provider = MeterProvider([reader], resource=self._resource, shutdown_on_exit=False, views=_VIEWS)
        self._meter_providers.append(provider)
        return provider


def _resource(settings: Settings) -> Resource:
    resource = Resource.create(dict(settings.resource))
    if "service.instance.id" in resource.attributes:
        return resource
    return resource.merge(Resource({"service.instance.id": str(uuid.uuid4())}))


def _run_all(jobs: list[Callable[[], Any]], timeout: float) -> bool:
    """Run jobs side by side; whether all ended without an error within the timeout."""
    done: list[bool] = []

    def run(job: Callable[[], Any]) -> None:
        if _quietly(job):
            done.append(True)

    deadline = time.monotonic() + timeout
    threads = [threading.Thread(target=run, args=(job,), name="otel-tools-flush", daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return len(done) == len(jobs)


def _quietly(job: Callable[[], Any]) -> bool:
    """Whether the job ended without an error and did not say that it failed."""
    try:
        return job() is not False
    except Exception:  # noqa: BLE001 - at the end of a process there is nobody to hear it; the answer is no
        return False
