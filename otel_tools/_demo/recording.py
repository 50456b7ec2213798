"""Reads a file of OTLP JSON lines: its spans, and the numbers of its tools.

The format is that of the collector's file exporter: each line is one object with `resourceSpans`,
`resourceMetrics` or `resourceLogs`; identifiers are hexadecimal and 64-bit integers may be strings
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_tools._telemetry import names
from otel_tools._telemetry.quantiles import quantile

_INSTANCE = "service.instance.id"
_DELTA = {1, "AGGREGATION_TEMPORALITY_DELTA"}
_ERROR = {2, "STATUS_CODE_ERROR"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span; `start` and `end` in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]
    instance: str

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return (self.end - self.start) / 1e9


@dataclass(frozen=True)
class Histogram:
    """A histogram with explicit buckets.

    Attributes:
        bounds: the upper bounds of the buckets, ascending, without the last bucket, which has none.
        counts: the number of values in each bucket, one more than bounds.
        total: the sum of the values.
        minimum: the smallest value; infinity without values.
        maximum: the greatest value; minus infinity without values.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    total: float = 0.0
    minimum: float = float("inf")
    maximum: float = float("-inf")

    @property
    def mean(self) -> float | None:
        """The exact mean; None without values."""
        return self.total / sum(self.counts) if any(self.counts) else None

    def quantile(self, share: float) -> float | None:
        """Estimate a quantile, between 0 and 1; the result lies between the smallest and the greatest value."""
        if not any(self.counts):
            return None
        return min(max(quantile(share, self.bounds, self.counts, self.maximum), self.minimum), self.maximum)

    def __add__(self, other: "Histogram") -> "Histogram":
        if not self.counts:
            return other
        if self.bounds != other.bounds:
            raise ValueError(f"histograms with different buckets: {self.bounds} and {other.bounds}")
        return Histogram(
            self.bounds,
            tuple(map(sum, zip(self.counts, other.counts, strict=True))),
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


@dataclass
class ToolNumbers:
    """The numbers of one tool: calls by outcome, and their durations in seconds."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    duration: Histogram = field(default_factory=Histogram)

    @property
    def success_rate(self) -> float | None:
        """The success ratio; None where no call counts. Invalid and cancelled calls do not count."""
        counted = sum(self.outcomes[outcome] for outcome in ("ok", "cached", "fallback", "error"))
        return 1 - self.outcomes["error"] / counted if counted else None


_Series = tuple[str, str, frozenset[tuple[str, Any]]]  # service instance, metric, attributes


@dataclass
class Recording:
    """The contents of a file."""

    spans: list[Span] = field(default_factory=list)
    unreadable: int = 0
    """The number of lines that are not OTLP JSON, such as a last line that was cut off."""
    _counts: dict[_Series, int] = field(default_factory=dict)
    _durations: dict[_Series, Histogram] = field(default_factory=dict)

    def add_spans(self, group: dict[str, Any]) -> None:
        """Add one entry of `resourceSpans`."""
        self.spans.extend(_spans(group))

    def add_metrics(self, group: dict[str, Any]) -> None:
        """Add one entry of `resourceMetrics`: a cumulative point replaces the previous one, a delta adds to it."""
        instance = _instance(group)
        for scope in group.get("scopeMetrics", ()):
            for metric in scope.get("metrics", ()):
                data = metric.get("sum") or metric.get("histogram") or {}
                delta = data.get("aggregationTemporality") in _DELTA
                for point in data.get("dataPoints", ()):
                    attributes = frozenset(_attributes(point.get("attributes", ())).items())
                    series = (instance, metric["name"], attributes)
                    if metric["name"] == names.CALLS.name:
                        count = self._counts.get(series, 0) if delta else 0
                        self._counts[series] = count + int(point["asInt"])
                    elif metric["name"] == names.DURATION.name:
                        histogram = self._durations.get(series, Histogram()) if delta else Histogram()
                        self._durations[series] = histogram + _histogram(point)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, in the order of their start."""
        spans = (span for span in self.spans if span.trace_id == trace_id)
        return sorted(spans, key=lambda span: (span.start, -span.end))

    def tools(self, instance: str) -> list[ToolNumbers]:
        """The numbers of the tools of one process, sorted by tool name.

        Args:
            instance: the process's `service.instance.id`; a file may have the telemetry of several processes.
        """
        tools: dict[str, ToolNumbers] = {}
        for (owner, _, attributes), count in self._counts.items():
            if owner == instance:
                labels = dict(attributes)
                name = labels[names.TOOL_NAME]
                tools.setdefault(name, ToolNumbers(name)).outcomes[labels[names.OUTCOME]] += count
        for (owner, _, attributes), histogram in self._durations.items():
            if owner == instance:
                name = dict(attributes)[names.TOOL_NAME]
                tool = tools.setdefault(name, ToolNumbers(name))
                tool.duration += histogram
        return sorted(tools.values(), key=lambda tool: tool.name)


def read_recording(path: Path) -> Recording:
    """Read a file of OTLP JSON lines.

    Returns:
        The file's spans and the latest state of its metrics.

    Raises:
        OSError: the file cannot be read.
    """
    recording = Recording()
    with path.open(encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            try:
                message = json.loads(line)
            except ValueError:
                recording.unreadable += 1
                continue
            for group in message.get("resourceSpans", ()):
                recording.add_spans(group)
            for group in message.get("resourceMetrics", ()):
                recording.add_metrics(group)
    return recording


def _spans(group: dict[str, Any]) -> Iterator[Span]:
    instance = _instance(group)
    for scope in group.get("scopeSpans", ()):
        for span in scope.get("spans", ()):
            yield Span(
                trace_id=span["traceId"].lower(),
                span_id=span["spanId"].lower(),
                parent_id=span.get("parentSpanId", "").lower(),
                name=span["name"],
                start=int(span["startTimeUnixNano"]),
                end=int(span["endTimeUnixNano"]),
                failed=span.get("status", {}).get("code") in _ERROR,
                attributes=_attributes(span.get("attributes", ())),
                instance=instance,
            )


def _histogram(point: dict[str, Any]) -> Histogram:
    return Histogram(
        tuple(map(float, point["explicitBounds"])),
        tuple(map(int, point["bucketCounts"])),
        float(point.get("sum", 0.0)),
        float(point.get("min", "inf")),
        float(point.get("max", "-inf")),
    )


def _instance(group: dict[str, Any]) -> str:
    resource = _attributes(group.get("resource", {}).get("attributes", ()))
    return str(resource.get(_INSTANCE, ""))


def _attributes(pairs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    match value:
        case {"intValue": number}:
            return int(number)
        case {"arrayValue": array}:
            return tuple(_value(item) for item in array.get("values", ()))
        case {"kvlistValue": pairs}:
            return tuple(_attributes(pairs.get("values", ())).items())
        case _:
            return next(iter(value.values()), None)
