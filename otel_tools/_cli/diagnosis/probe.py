"""A test span and a test metric: sent with the real exporters, queried in Jaeger and Prometheus.

They have their own service and names, so that nobody takes them for a tool's. The providers are the probe's
own too; those of the application are not touched.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from otel_tools._export.otlp_exporter import OtlpExporter
from otel_tools._sidecar import http

if TYPE_CHECKING:
    from otel_tools._export.answers import Answer
    from otel_tools._export.signals import SignalExport

SERVICE = "otel-tools-doctor"
SPAN_NAME = "doctor check"
METRIC_NAME = "otel_tools.doctor.check"
_PROMETHEUS_NAME = "otel_tools_doctor_check_total"
_EXPORT_TIMEOUT = 5.0  # seconds
_QUERY_TIMEOUT = 2.0  # seconds


class Probe:
    """The test span and metric of one run.

    Attributes:
        instance: their ``service.instance.id``, unique to the run.
        trace_id: the trace of the span, hexadecimal; empty before it is sent.
    """

    def __init__(self) -> None:
        self.instance = str(uuid.uuid4())
        self.trace_id = ""

    def send_span(self, export: SignalExport) -> Answer:
        """Export one span, as the application's are exported."""
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # only here is the SDK needed
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        memory = InMemorySpanExporter()
        provider = TracerProvider(sampler=ALWAYS_ON, resource=self._resource(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        with provider.get_tracer(SERVICE).start_as_current_span(SPAN_NAME) as span:
            self.trace_id = f"{span.get_span_context().trace_id:032x}"
        provider.shutdown()
        return _send(export, memory.get_finished_spans())

    def send_metric(self, export: SignalExport) -> Answer:
        """Export one counter with the value 1, as the application's metrics are exported."""
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # only here is the SDK needed
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415

        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], resource=self._resource(), shutdown_on_exit=False)
        provider.get_meter(SERVICE).create_counter(METRIC_NAME, unit="{check}").add(1)
        data = reader.get_metrics_data()
        provider.shutdown()
        return _send(export, data)

    def span_arrived(self, jaeger: str) -> bool:
        """Whether Jaeger has the span; it answers 404 until then."""
        try:
            status, body = http.get(f"{jaeger}/api/v3/traces/{self.trace_id}", _QUERY_TIMEOUT)
        except OSError:
            return False
        return status == 200 and SPAN_NAME in body  # noqa: PLR2004  # HTTP's OK

    def metric_arrived(self, prometheus: str) -> bool:
        """Whether Prometheus has the counter with its value."""
        query = f'{_PROMETHEUS_NAME}{{job="{SERVICE}",instance="{self.instance}"}} == 1'
        try:
            answer = http.get_json(f"{prometheus}/api/v1/query?query={quote(query)}", _QUERY_TIMEOUT)
            return bool(answer["data"]["result"])
        except (OSError, LookupError, TypeError):
            return False

    def _resource(self) -> Any:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # only here is the SDK needed

        # Without Resource.create(): a service.namespace in OTEL_RESOURCE_ATTRIBUTES would change the job's name.
        return Resource({"service.name": SERVICE, "service.instance.id": self.instance})


def _send(export: SignalExport, batch: Any) -> Answer:
    exporter = OtlpExporter(replace(export, options=replace(export.options, timeout=_EXPORT_TIMEOUT)))
    try:
        answer = exporter.export(batch)
    finally:
        exporter.shutdown()
    return replace(answer, reason=answer.reason or "the answer gives no reason")
