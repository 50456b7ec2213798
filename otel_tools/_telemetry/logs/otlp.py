"""Emits log records as OpenTelemetry log records, through the logger provider of the exception events."""

from __future__ import annotations

import logging
import threading
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from otel_tools._call.error_types import class_name_of
from otel_tools._telemetry import names
from otel_tools._telemetry.api_private import SeverityNumber, get_logger, is_suppressed
from otel_tools._telemetry.content.capture import content, redact_text
from otel_tools._telemetry.content.jsonable import JsonWalker
from otel_tools._telemetry.deferred import gc_running, pending_reports
from otel_tools._telemetry.exceptions import error_message_of, stacktrace_of
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools._telemetry.logs.call_records import is_call_record
from otel_tools._telemetry.logs.records import IDS, MAX_DEPTH, MAX_NAME, MAX_TEXT, extra_fields, message_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_tools._telemetry.logs.correlation import RunningCall

__all__ = ["send_record"]

_NANOSECONDS: Final = 1_000_000_000
_INT64: Final = 2**63
_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL, "FATAL"),
    (logging.ERROR, SeverityNumber.ERROR, "ERROR"),
    (logging.WARNING, SeverityNumber.WARN, "WARN"),
    (logging.INFO, SeverityNumber.INFO, "INFO"),
    (logging.DEBUG, SeverityNumber.DEBUG, "DEBUG"),
    (1, SeverityNumber.TRACE, "TRACE"),
)
"""The lowest level of each severity; from OpenTelemetry's logs data model, "Mapping of SeverityNumber"."""

_TELEMETRY_LOGGERS: Final = ("opentelemetry.", f"{names.SCOPE}.telemetry.")
_CALL_ATTRIBUTES: Final = {
    "outcome": names.OUTCOME,
    "duration": names.CALL_DURATION,
    "retries": names.RETRY_COUNT,
    "cache": names.CACHE_RESULT,
    "wait": names.THROTTLING_WAIT,
    "called": names.OWN_TOOL_NAME,
    "error_type": names.ERROR_TYPE,
    "arguments": names.TOOL_CALL_ARGUMENTS,
    "result": names.TOOL_CALL_RESULT,
}
"""Attributes of a call's record, under the names that the call's span has for the same values."""


class _ThreadState(threading.local):
    emitting = False


_thread: Final = _ThreadState()


def send_record(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    """Emit a record, unless it is about the export of telemetry: such records would create further ones without end.

    These are the records that are made while this thread exports telemetry or emits a record, and those of the loggers
    of OpenTelemetry and of this package's telemetry.
    """
    # Names before the context: `is_suppressed` may log, to a logger of telemetry.
    if _thread.emitting or _is_about_telemetry(record.name) or is_suppressed():
        return
    if gc_running:
        # This thread may hold a lock of the SDK that emitting needs.
        pending_reports.append(partial(_emit_safely, record, context, running))
    else:
        _emit(record, context, running)


def _is_about_telemetry(logger: str) -> bool:
    """Whether a logger is OpenTelemetry's or this package's own. Those of policies and calls are about tools."""
    return logger == names.SCOPE or f"{logger}.".startswith(_TELEMETRY_LOGGERS)


def _emit_safely(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    try:
        _emit(record, context, running)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("writing a log record")


def _emit(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    _thread.emitting = True
    try:
        is_call = is_call_record(record)
        severity, text = _severity_of(record.levelno)
        get_logger(redact_text(record.name, MAX_NAME), logger_provider=instruments.logger_provider).emit(
            timestamp=int(record.created * _NANOSECONDS),
            observed_timestamp=time_ns(),
            context=context,
            severity_number=severity,
            severity_text=text,
            body=_body_of(record),
            attributes=_call_attributes(record, running) if is_call else _record_attributes(record, context, running),
            event_name=names.CALL_EVENT if is_call else None,
        )
    finally:
        _thread.emitting = False


def _severity_of(level: int) -> tuple[SeverityNumber, str]:
    for lowest, number, text in _SEVERITIES:
        if level >= lowest:
            return number, text
    return SeverityNumber.UNSPECIFIED, ""


def _body_of(record: logging.LogRecord) -> Any:
    if isinstance(record.msg, dict):
        return _fit_int64(JsonWalker(MAX_TEXT, content.redaction).walk(record.msg, MAX_DEPTH))
    return redact_text(message_of(record), MAX_TEXT)


def _call_attributes(record: logging.LogRecord, running: RunningCall | None) -> dict[str, Any]:
    fields = record.__dict__
    return {
        names.TOOL_NAME: fields["tool"],
        **_call_id(running),
        **{attribute: fields[field] for field, attribute in _CALL_ATTRIBUTES.items() if field in fields},
    }


def _record_attributes(record: logging.LogRecord, context: Context, running: RunningCall | None) -> dict[str, Any]:
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
            names.EXCEPTION_STACKTRACE: redact_text(stacktrace_of(error), MAX_TEXT, keep="end"),
        }
    ids = {key: value for key, value in record.__dict__.items() if key in IDS and value}
    for key, value in _ids_of(context, running).items():
        # The OpenTelemetry record has our ids in fields of its own. A value that the application set stays.
        if ids.get(key) == value:
            del ids[key]
    fields = JsonWalker(MAX_TEXT, content.redaction).walk({**extra_fields(record), **ids}, MAX_DEPTH)
    return {**{key: _fit_int64(value) for key, value in fields.items()}, **attributes}


def _ids_of(context: Context, running: RunningCall | None) -> dict[str, str]:
    span = get_current_span(context).get_span_context()
    ids = {"trace_id": format_trace_id(span.trace_id), "span_id": format_span_id(span.span_id)}
    return ids if running is None else {**ids, "tool": running.tool, "call_id": running.call_id}


def _call_id(running: RunningCall | None) -> dict[str, str]:
    call_id = "" if running is None else running.call_id
    return {names.TOOL_CALL_ID: redact_text(call_id, MAX_NAME)} if call_id else {}


def _fit_int64(value: Any) -> Any:
    """The value with each integer beyond OTLP's 64 bits as a text."""
    if isinstance(value, dict):
        return {key: _fit_int64(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_fit_int64(item) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)
    return value
