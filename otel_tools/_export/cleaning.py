"""Replaces what OTLP's encoder cannot take: half a surrogate pair, an integer beyond 64 bits, an unknown object.

Without this, one such attribute is left out without a word, and one such name loses its whole batch. The thread that
exports looks at each item, which adds some 10 % to the time of the encoding; the calls of tools take no longer. What
needs no cleaning is returned as it is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from otel_tools._telemetry.content.surrogates import without_surrogates

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData

__all__ = ["clean_logs", "clean_metrics", "clean_resource", "clean_spans"]

_Record = TypeVar("_Record")

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1
_MAX_HEX_LENGTH: Final = 100


def clean_resource(resource: Resource) -> Resource:
    """A resource that can be encoded."""
    if _is_clean_mapping(resource.attributes) and _is_clean(resource.schema_url):
        return resource
    return Resource(_clean_mapping(resource.attributes), without_surrogates(resource.schema_url))


def clean_spans(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """Spans that can be encoded."""
    scopes = {id(span.instrumentation_scope): span.instrumentation_scope for span in spans}
    clean_scopes = {key for key, scope in scopes.items() if _is_clean_scope(scope)}
    return [
        span if id(span.instrumentation_scope) in clean_scopes and _is_clean_span(span) else _clean_span(span)
        for span in spans
    ]


def clean_logs(records: Sequence[ReadableLogRecord]) -> list[ReadableLogRecord]:
    """Log records that can be encoded."""
    return [record if _is_clean_log(record) else _clean_log(record) for record in records]


def clean_metrics(data: MetricsData) -> MetricsData:
    """Metrics that can be encoded."""
    return _replace(
        data,
        resource_metrics=[
            _replace(
                resource,
                scope_metrics=[
                    _replace(
                        scope,
                        scope=_clean_scope(scope.scope),
                        metrics=[_clean_metric(metric) for metric in scope.metrics],
                    )
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ],
    )


def _is_clean(value: Any) -> bool:
    kind: type = type(value)
    if kind is str:
        # Python keeps with each text whether it is ASCII.
        return bool(value.isascii()) or _is_unicode(value)
    if kind is int:
        return bool(_MIN_INTEGER <= value <= _MAX_INTEGER)
    if value is None or kind in {bool, float, bytes}:
        return True
    if kind is tuple or kind is list:
        return all(map(_is_clean, value))
    return isinstance(value, Mapping) and _is_clean_mapping(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_clean_mapping(attributes: Any) -> bool:
    if not attributes:
        return True
    # A copy is a dictionary, which is walked through many times faster than the SDK's attributes.
    for key, value in attributes.copy().items() if hasattr(attributes, "copy") else attributes.items():
        kind = type(value)
        if type(key) is not str or not (key.isascii() or _is_unicode(key)):
            return False
        if not ((kind is str and value.isascii()) or kind is float or kind is bool or _is_clean(value)):
            return False
    return True


def _is_clean_scope(scope: InstrumentationScope | None) -> bool:
    if scope is None:
        return True
    texts = _is_clean(scope.name) and _is_clean(scope.version) and _is_clean(scope.schema_url)
    return texts and _is_clean_mapping(scope.attributes)


def _is_clean_span(span: ReadableSpan) -> bool:
    if not (_is_clean(span.name) and _is_clean_mapping(span.attributes) and _is_clean(span.status.description)):
        return False
    for event in span.events:
        if not (_is_clean(event.name) and _is_clean_mapping(event.attributes)):
            return False
    return all(_is_clean_mapping(link.attributes) for link in span.links)


def _is_clean_log(record: ReadableLogRecord) -> bool:
    log = record.log_record
    return (
        _is_clean(log.body)
        and _is_clean_mapping(log.attributes)
        and _is_clean(log.severity_text)
        and _is_clean(log.event_name)
        and _is_clean_scope(record.instrumentation_scope)
    )


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, int):
        return value if _MIN_INTEGER <= value <= _MAX_INTEGER else _integer_text(value)
    if isinstance(value, Mapping):
        return _clean_mapping(value)
    if isinstance(value, Sequence):
        return tuple(map(_clean, value))
    return _text_of(value)


def _integer_text(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return f"{hex(value)[:_MAX_HEX_LENGTH]}..."


def _text_of(value: object) -> str:
    try:
        return without_surrogates(str(value))
    except Exception:  # noqa: BLE001 - whatever an application's `__str__` raises, the record is sent
        return f"<{type(value).__name__}>"


def _clean_mapping(attributes: Mapping[Any, Any] | None) -> dict[str, Any]:
    return {_text_of(key): _clean(value) for key, value in (attributes or {}).items()}


def _clean_scope(scope: InstrumentationScope) -> InstrumentationScope:
    if _is_clean_scope(scope):
        return scope
    name, version, schema_url = (_clean(text) for text in (scope.name, scope.version, scope.schema_url))
    return InstrumentationScope(name, version, schema_url, _clean_mapping(scope.attributes))


def _clean_span(span: ReadableSpan) -> ReadableSpan:
    scope = span.instrumentation_scope
    return ReadableSpan(
        name=_clean(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_clean_mapping(span.attributes),
        events=[Event(_clean(event.name), _clean_mapping(event.attributes), event.timestamp) for event in span.events],
        links=[Link(link.context, _clean_mapping(link.attributes)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code, _clean(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=None if scope is None else _clean_scope(scope),
    )


def _clean_log(record: ReadableLogRecord) -> ReadableLogRecord:
    log, scope = copy.copy(record.log_record), record.instrumentation_scope
    log.body, log.attributes = _clean(log.body), _clean_mapping(log.attributes)
    log.severity_text, log.event_name = _clean(log.severity_text), _clean(log.event_name)
    return _replace(record, log_record=log, instrumentation_scope=None if scope is None else _clean_scope(scope))


def _clean_metric(metric: Any) -> Any:
    points = metric.data.data_points
    if all(map(_is_clean_point, points)):
        data = metric.data
    else:
        data = _replace(metric.data, data_points=[p if _is_clean_point(p) else _clean_point(p) for p in points])
    return _replace(
        metric, name=_clean(metric.name), description=_clean(metric.description), unit=_clean(metric.unit), data=data
    )


def _is_clean_point(point: Any) -> bool:
    return (
        _is_clean_mapping(point.attributes)
        and _is_clean(getattr(point, "value", 0))
        and all(_is_clean_mapping(exemplar.filtered_attributes) for exemplar in point.exemplars)
    )


def _clean_point(point: Any) -> Any:
    exemplars = [
        _replace(each, filtered_attributes=_clean_mapping(each.filtered_attributes)) for each in point.exemplars
    ]
    cleaned = _replace(point, attributes=_clean_mapping(point.attributes), exemplars=exemplars)
    # A count that has outgrown 64 bits is sent as a float.
    return cleaned if _is_clean(getattr(point, "value", 0)) else _replace(cleaned, value=float(point.value))


def _replace(instance: _Record, **changes: Any) -> _Record:
    replaced: _Record = dataclasses.replace(instance, **changes)  # type: ignore[type-var] # all are dataclasses
    return replaced
