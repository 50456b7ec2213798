"""Log records as OpenTelemetry log records, which leave by the provider that exception events leave by."""

from __future__ import annotations

import logging
import threading
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import SeverityNumber, get_logger

# What the SDK says of its own threads while they export: it has no public name.
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_current
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import content, redact_text
from otel_tools._telemetry.content.jsonable import JsonWalker
from otel_tools._telemetry.deferred import gc_running, pending_reports
from otel_tools._telemetry.exceptions import error_message_of, stacktrace_of
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools._telemetry.logs.call_records import is_end_of_call
from otel_tools._telemetry.logs.records import IDS, extra_fields, message_of
from otel_tools.errors import class_name_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_tools._telemetry.logs.call_records import RunningCall

__all__ = ["send_record"]

_NANOSECONDS: Final = 1_000_000_000
_CAP: Final = 16 * 1024
_NAME_CAP: Final = 256
_DEPTH: Final = 16
_INT64: Final = 2**63
_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL, "FATAL"),
    (logging.ERROR, SeverityNumber.ERROR, "ERROR"),
    (logging.WARNING, SeverityNumber.WARN, "WARN"),
    (logging.INFO, SeverityNumber.INFO, "INFO"),
    (logging.DEBUG, SeverityNumber.DEBUG, "DEBUG"),
    (1, SeverityNumber.TRACE, "TRACE"),
)
"""From which level on; OpenTelemetry's logs data model, "Mapping of SeverityNumber"."""

_OF_TELEMETRY: Final = ("opentelemetry.", f"{names.SCOPE}.telemetry.")
_OF_CALLS: Final = {
    "outcome": names.OUTCOME,
    "duration": names.CALL_DURATION,
    "retries": names.RETRY_COUNT,
    "cache": names.CACHE_RESULT,
    "wait": names.THROTTLING_WAIT,
    "error_type": names.ERROR_TYPE,
    "arguments": names.TOOL_CALL_ARGUMENTS,
    "result": names.TOOL_CALL_RESULT,
}
"""The record of a call says the same as its span, under the same names."""


class _Busy(threading.local):
    sending = False


_busy: Final = _Busy()


def send_record(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    """Emit a record, unless it tells of the sending of records.

    Neither what is said while this thread exports telemetry, nor what is said while it hands over a record, nor what
    OpenTelemetry and this package say of themselves may become a record to export: it would never end.
    """
    if _busy.sending or get_current().get(_SUPPRESS_INSTRUMENTATION_KEY) or _is_of_telemetry(record.name):
        return
    if gc_running:
        # This thread may be in the middle of the SDK, and hold what a record needs.
        pending_reports.append(partial(_later, record, context, running))
    else:
        _send(record, context, running)


def _is_of_telemetry(logger: str) -> bool:
    """Whether it is OpenTelemetry's or this package's own; what policies and calls have to say is about tools."""
    return logger == names.SCOPE or f"{logger}.".startswith(_OF_TELEMETRY)


def _later(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    try:
        _send(record, context, running)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("writing a log record")


def _send(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    _busy.sending = True
    try:
        of_call = is_end_of_call(record)
        severity, text = _severity_of(record.levelno)
        get_logger(redact_text(record.name, _NAME_CAP), logger_provider=instruments.logger_provider).emit(
            timestamp=int(record.created * _NANOSECONDS),
            observed_timestamp=time_ns(),
            context=context,
            severity_number=severity,
            severity_text=text,
            body=_body_of(record),
            attributes=_of_call(record, running) if of_call else _of_record(record, context, running),
            event_name=names.CALL_EVENT if of_call else None,
        )
    finally:
        _busy.sending = False


def _severity_of(level: int) -> tuple[SeverityNumber, str]:
    for least, number, text in _SEVERITIES:
        if level >= least:
            return number, text
    return SeverityNumber.UNSPECIFIED, ""


def _body_of(record: logging.LogRecord) -> Any:
    if isinstance(record.msg, dict):
        return _fitting(JsonWalker(_CAP, content.redaction).at(record.msg, _DEPTH))
    return redact_text(message_of(record), _CAP)


def _of_call(record: logging.LogRecord, running: RunningCall | None) -> dict[str, Any]:
    said = record.__dict__
    return {
        names.TOOL_NAME: said["tool"],
        **_call_id(running),
        **{attribute: said[field] for field, attribute in _OF_CALLS.items() if field in said},
    }


def _of_record(record: logging.LogRecord, context: Context, running: RunningCall | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "code.file.path": record.pathname,
        "code.function.name": record.funcName,
        "code.line.number": record.lineno,
    }
    if running is not None:
        attributes |= {names.TOOL_NAME: running.tool, **_call_id(running)}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        attributes |= {
            names.EXCEPTION_TYPE: class_name_of(error),
            names.EXCEPTION_MESSAGE: error_message_of(error),
            names.EXCEPTION_STACKTRACE: redact_text(stacktrace_of(error), _CAP, keep="end"),
        }
    said = {key: value for key, value in record.__dict__.items() if key in IDS and value}
    for key, value in _known(context, running).items():
        # What the application says itself under one of these names is not told elsewhere.
        if said.get(key) == value:
            del said[key]
    looked_at = JsonWalker(_CAP, content.redaction).at({**extra_fields(record), **said}, _DEPTH)
    return {**{key: _fitting(value) for key, value in looked_at.items()}, **attributes}


def _known(context: Context, running: RunningCall | None) -> dict[str, str]:
    span = get_current_span(context).get_span_context()
    known = {"trace_id": format_trace_id(span.trace_id), "span_id": format_span_id(span.span_id)}
    return known if running is None else {**known, "tool": running.tool, "call_id": running.call_id}


def _call_id(running: RunningCall | None) -> dict[str, str]:
    call_id = "" if running is None else running.call_id
    return {names.TOOL_CALL_ID: redact_text(call_id, _NAME_CAP)} if call_id else {}


def _fitting(value: Any) -> Any:
    """An integer that OTLP has no room for, as a text; everything else as it is."""
    if isinstance(value, dict):
        return {key: _fitting(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_fitting(item) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)
    return value
