"""Records an exception once, redacted, as a span event or as a log event.

``OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`` chooses, as the core conventions define it: unset records a span event,
``logs`` a log event instead, ``logs/dup`` both.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Final

from opentelemetry.context import get_current
from opentelemetry.trace import Span, StatusCode, set_span_in_context

from otel_tools._call.error_types import class_name_of
from otel_tools._call.outcome import ReportsOutcome
from otel_tools._telemetry import names
from otel_tools._telemetry.api_private import SeverityNumber, get_logger
from otel_tools._telemetry.content.capture import redact_text
from otel_tools._telemetry.instruments import instruments
from otel_tools._version import __version__

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "error_message_of",
    "exception_signals",
    "record_exception",
    "record_failure",
    "reported_message_of",
    "stacktrace_of",
]

EXCEPTION_SIGNAL_OPT_IN: Final = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
"""Environment variable of the core conventions: where exceptions are recorded."""

_MAX_MESSAGE: Final = 1024
_MAX_STACKTRACE: Final = 16 * 1024
_CALL_MODULES: Final = ("otel_tools._call.", "otel_tools._policies.")


def exception_signals() -> tuple[bool, bool]:
    """Whether exceptions are recorded as span events, and whether they are recorded as log events."""
    chosen = {word.strip().lower() for word in os.environ.get(EXCEPTION_SIGNAL_OPT_IN, "").split(",")}
    if "logs/dup" in chosen:
        return True, True
    if "logs" in chosen:
        return False, True
    return True, False


def record_failure(span: Span, error: BaseException, operation: str) -> None:
    """Set a span's status to ERROR and record the exception that ended it. Arguments as for `record_exception`."""
    message = error_message_of(error)
    span.set_status(StatusCode.ERROR, message)
    _record(span, error, operation, message)


def record_exception(span: Span, error: BaseException, operation: str) -> None:
    """Record an exception on a span; the span's status stays as it is.

    Args:
        span: The span of the operation.
        error: The exception that ended the operation, or in whose place something else was served.
        operation: The operation's name; part of the log event's name, ``gen_ai.{operation}.exception``.
    """
    _record(span, error, operation, error_message_of(error))


def _record(span: Span, error: BaseException, operation: str, message: str) -> None:
    attributes = {
        names.EXCEPTION_TYPE: class_name_of(error),
        names.EXCEPTION_MESSAGE: message,
        names.EXCEPTION_STACKTRACE: redact_text(stacktrace_of(error), _MAX_STACKTRACE, keep="end"),
    }
    as_event, as_log = exception_signals()
    if as_event and span.is_recording():
        span.add_event(names.EXCEPTION_EVENT, attributes)
    if as_log:
        get_logger(names.SCOPE, __version__, instruments.logger_provider).emit(
            context=set_span_in_context(span, get_current()),
            severity_number=SeverityNumber.ERROR,
            event_name=f"gen_ai.{operation}.exception",
            attributes=attributes,
        )


def error_message_of(error: BaseException) -> str:
    """The message of an exception, redacted and at most 1,024 characters long."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the __str__ of a tool's exception may raise
        message = f"<{type(error).__name__} that cannot be shown>"
    return redact_text(message, _MAX_MESSAGE)


def reported_message_of(value: object) -> str | None:
    """What a returned value says of the failure that it reports, redacted and bounded; None where it says nothing."""
    message = value.message if isinstance(value, ReportsOutcome) else None
    return redact_text(message, _MAX_MESSAGE) if isinstance(message, str) else None


def stacktrace_of(error: BaseException) -> str:
    """The traceback of an exception from the tool's own frame on, not redacted."""
    return "".join(traceback.format_exception(type(error), error, _from_tool_frame(error.__traceback__)))


def _from_tool_frame(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this library that called the tool: they do not explain the error."""
    first = trace
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_CALL_MODULES):
        trace = trace.tb_next
    return trace or first
