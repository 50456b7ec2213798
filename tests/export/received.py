"""The telemetry that a receiver got: one flat value for each span, data point and log record, with its resource."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One export request."""

    path: str
    headers: Mapping[str, str]
    connection: str


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: Attributes
    resource: Attributes
    request: Request

    @property
    def instance(self) -> str:
        """The instance id of the process that made it."""
        return str(self.resource["service.instance.id"])


@dataclass(frozen=True, slots=True)
class ReceivedPoint:
    """One data point; for a histogram, ``value`` is its count and ``total`` its sum."""

    metric: str
    unit: str
    delta: bool
    attributes: Attributes
    value: float
    total: float
    exemplars: tuple[str, ...]
    resource: Attributes
    request: Request

    @property
    def instance(self) -> str:
        """The instance id of the process that made it."""
        return str(self.resource["service.instance.id"])


@dataclass(frozen=True, slots=True)
class ReceivedLog:
    """One log record."""

    event: str
    trace: str
    attributes: Attributes
    resource: Attributes


class Received:
    """All telemetry that has arrived. Safe to read while more arrives."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._requests: list[Request] = []
        self._spans: list[ReceivedSpan] = []
        self._points: list[ReceivedPoint] = []
        self._logs: list[ReceivedLog] = []
        self.problems: list[str] = []

    @property
    def requests(self) -> list[Request]:
        """All requests, oldest first."""
        with self._arrived:
            return list(self._requests)

    @property
    def spans(self) -> list[ReceivedSpan]:
        """All spans, oldest first."""
        with self._arrived:
            return list(self._spans)

    @property
    def points(self) -> list[ReceivedPoint]:
        """All data points, oldest first."""
        with self._arrived:
            return list(self._points)

    @property
    def logs(self) -> list[ReceivedLog]:
        """All log records, oldest first."""
        with self._arrived:
            return list(self._logs)

    @property
    def items(self) -> list[ReceivedSpan | ReceivedPoint]:
        """All spans and data points."""
        return [*self.spans, *self.points]

    @property
    def instances(self) -> set[str]:
        """The instance ids of all processes that sent something."""
        return {each.instance for each in self.items}

    def service(self, service: str) -> Received:
        """The telemetry of one service."""
        part = Received()
        part._spans = [span for span in self.spans if span.resource["service.name"] == service]
        part._points = [point for point in self.points if point.resource["service.name"] == service]
        part._logs = [log for log in self.logs if log.resource["service.name"] == service]
        part._requests = list(dict.fromkeys(each.request for each in part.items))
        return part

    def value(self, metric: str, instance: str | None = None, **attributes: Any) -> float:
        """The final value of a metric, summed over its series with these attributes (dots are written as ``__``).

        The last point of a cumulative series, the sum of all points of a delta series; 0 where there is none.
        """
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        series: dict[tuple[str, frozenset[tuple[str, Any]]], float] = {}
        for point in self.points:
            if point.metric != metric or not wanted.items() <= point.attributes.items():
                continue
            if instance is not None and point.instance != instance:
                continue
            key = (point.instance, frozenset(point.attributes.items()))
            series[key] = series.get(key, 0) + point.value if point.delta else point.value
        return sum(series.values())

    def calls(self, tool: str, outcome: str = "ok", instance: str | None = None) -> float:
        """How many calls of a tool with an outcome the counter has."""
        return self.value("otel_tools.calls", instance, gen_ai__tool__name=tool, otel_tools__outcome=outcome)

    def durations(self, tool: str, instance: str | None = None) -> float:
        """How many calls of a tool the histogram of durations has."""
        return self.value("gen_ai.execute_tool.duration", instance, gen_ai__tool__name=tool)

    def spans_of(self, tool: str, instance: str | None = None) -> list[ReceivedSpan]:
        """The spans of the calls of a tool."""
        named = [span for span in self.spans if span.name == f"execute_tool {tool}"]
        return [span for span in named if instance in {None, span.instance}]

    def duplicate_span_ids(self) -> list[str]:
        """Span ids that arrived more than once."""
        return [each for each, count in Counter(span.id for span in self.spans).items() if count > 1]

    def wait(self, until: Callable[[Received], object], seconds: float = 60.0) -> None:
        """Wait until a condition on what has arrived holds.

        Raises:
            AssertionError: It did not within the time.
        """
        deadline = time.monotonic() + seconds
        while not until(self):
            with self._arrived:
                left = deadline - time.monotonic()
                assert left > 0, f"not within {seconds} s; {len(self._requests)} requests came in"
                self._arrived.wait(min(left, 0.5))

    def add(
        self,
        request: Request,
        message: ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest,
    ) -> None:
        """Store the contents of a request."""
        kind = message.DESCRIPTOR.name
        with self._arrived:
            self._requests.append(request)
            if kind == "ExportTraceServiceRequest":
                self._spans.extend(_spans(request, message))
            elif kind == "ExportMetricsServiceRequest":
                self._points.extend(_points(request, message))
            else:
                self._logs.extend(_logs(message))
            self._arrived.notify_all()


def attributes_of(pairs: Iterable[KeyValue]) -> Attributes:
    """OTLP attributes as a dictionary; lists become tuples."""
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_plain(item) for item in value.array_value.values)
    return getattr(value, kind) if kind else None


def _spans(request: Request, message: Any) -> Iterable[ReceivedSpan]:
    for each in message.resource_spans:
        resource = attributes_of(each.resource.attributes)
        for scope in each.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    attributes_of(span.attributes),
                    resource,
                    request,
                )


def _points(request: Request, message: Any) -> Iterable[ReceivedPoint]:
    for each in message.resource_metrics:
        resource = attributes_of(each.resource.attributes)
        for scope in each.scope_metrics:
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                delta = getattr(data, "aggregation_temporality", 0) == 1
                for point in data.data_points:
                    histogram = hasattr(point, "bucket_counts")
                    value = float(point.count if histogram else getattr(point, point.WhichOneof("value")))
                    yield ReceivedPoint(
                        metric.name,
                        metric.unit,
                        delta,
                        attributes_of(point.attributes),
                        value,
                        point.sum if histogram else value,
                        tuple(exemplar.trace_id.hex() for exemplar in point.exemplars),
                        resource,
                        request,
                    )


def _logs(message: Any) -> Iterable[ReceivedLog]:
    for each in message.resource_logs:
        resource = attributes_of(each.resource.attributes)
        for scope in each.scope_logs:
            for record in scope.log_records:
                yield ReceivedLog(record.event_name, record.trace_id.hex(), attributes_of(record.attributes), resource)
