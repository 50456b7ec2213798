"""A test span and a test metric on the whole way: real exporters here, Jaeger and Prometheus there.

They carry a service and names of their own, so that nobody takes them for a tool's. The providers are
this check's own too: the application's are not touched.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from otel_tools._sidecar import http

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools._cli.diagnosis.endpoint import Endpoint

SERVICE = "otel-tools-doctor"
SPAN = "doctor check"
METRIC = "otel_tools.doctor.check"
_SERIES = "otel_tools_doctor_check_total"
_EXPORT_WITHIN = 5.0
_ASK_WITHIN = 2.0


class Journey:
    """One run of the check, told from every other by its instance."""

    def __init__(self) -> None:
        self.instance = str(uuid.uuid4())
        self.trace_id = ""

    def send_span(self, endpoint: Endpoint) -> str:
        """Export one span; the reason when it was refused, else an empty text."""
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # only here is the SDK needed
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult  # noqa: PLC0415
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        memory = InMemorySpanExporter()
        provider = TracerProvider(sampler=ALWAYS_ON, resource=self._resource(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        with provider.get_tracer(SERVICE).start_as_current_span(SPAN) as span:
            self.trace_id = f"{span.get_span_context().trace_id:032x}"
        provider.shutdown()
        with _said() as said:
            exporter = _exporters(endpoint, "trace_exporter").OTLPSpanExporter(timeout=_EXPORT_WITHIN)
            result = exporter.export(memory.get_finished_spans())
            exporter.shutdown()
        return "" if result is SpanExportResult.SUCCESS else _reason(said)

    def send_metric(self, endpoint: Endpoint) -> str:
        """Export one counter at 1; the reason when it was refused, else an empty text."""
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # only here is the SDK needed
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult  # noqa: PLC0415

        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], resource=self._resource(), shutdown_on_exit=False)
        provider.get_meter(SERVICE).create_counter(METRIC, unit="{check}").add(1)
        data = reader.get_metrics_data()
        provider.shutdown()
        if data is None:
            return "the SDK collected nothing"
        with _said() as said:
            exporter = _exporters(endpoint, "metric_exporter").OTLPMetricExporter(timeout=_EXPORT_WITHIN)
            result = exporter.export(data)
            exporter.shutdown()
        return "" if result is MetricExportResult.SUCCESS else _reason(said)

    def span_arrived(self, jaeger: str) -> bool:
        """Whether Jaeger has the span now (it answers 404 until then)."""
        try:
            status, body = http.get(f"{jaeger}/api/v3/traces/{self.trace_id}", _ASK_WITHIN)
        except OSError:
            return False
        return status == 200 and SPAN in body  # noqa: PLR2004  # HTTP's OK

    def metric_arrived(self, prometheus: str) -> bool:
        """Whether Prometheus has the counter now, with its value."""
        query = f'{_SERIES}{{job="{SERVICE}",instance="{self.instance}"}} == 1'
        try:
            answer = http.get_json(f"{prometheus}/api/v1/query?query={quote(query)}", _ASK_WITHIN)
            return bool(answer["data"]["result"])
        except (OSError, LookupError, TypeError):
            return False

    def _resource(self) -> Any:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # only here is the SDK needed

        # Without Resource.create(): a service.namespace in OTEL_RESOURCE_ATTRIBUTES would change the job's name.
        return Resource({"service.name": SERVICE, "service.instance.id": self.instance})


def _exporters(endpoint: Endpoint, module: str) -> Any:
    # Without arguments but a short patience they read the OTEL_* variables, as the application's own do.
    protocol = "grpc" if endpoint.protocol == "grpc" else "http"
    return import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}")


@contextmanager
def _said() -> Iterator[list[str]]:
    """What OpenTelemetry logs meanwhile, kept from the terminal."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger("opentelemetry"), Keep()
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _reason(said: list[str]) -> str:
    return said[0][:200] if said else "the exporter gave no reason"
