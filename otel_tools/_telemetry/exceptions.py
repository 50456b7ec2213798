"""How an exception is named and recorded: once, redacted, as a span event or as a log event.

``OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`` chooses, as the core conventions define it: unset records the span event,
``logs`` a log event in its place, ``logs/dup`` both.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Final

from opentelemetry._logs import SeverityNumber, get_logger
from opentelemetry.context import get_current
from opentelemetry.trace import Span, StatusCode, set_span_in_context

from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import redact_text
from otel_tools._telemetry.instruments import instruments
from otel_tools._version import __version__
from otel_tools.errors import class_name_of

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["error_message_of", "exception_signals", "record_exception", "record_failure", "stacktrace_of"]

EXCEPTION_SIGNAL_OPT_IN: Final = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
"""Environment variable of the core conventions: where exceptions are recorded."""

_MESSAGE_CAP: Final = 1024
_STACKTRACE_CAP: Final = 16 * 1024
_OURS: Final = ("otel_tools._call.", "otel_tools._policies.")


def exception_signals() -> tuple[bool, bool]:
    """Whether exceptions become span events, and whether they become log events."""
    chosen = {word.strip().lower() for word in os.environ.get(EXCEPTION_SIGNAL_OPT_IN, "").split(",")}
    if "logs/dup" in chosen:
        return True, True
    if "logs" in chosen:
        return False, True
    return True, False


def record_failure(span: Span, error: BaseException, operation: str) -> None:
    """Set a span's status to ERROR and record the exception that ended it; the arguments are `record_exception`'s."""
    message = error_message_of(error)
    span.set_status(StatusCode.ERROR, message)
    _record(span, error, operation, message)


def record_exception(span: Span, error: BaseException, operation: str) -> None:
    """Record an exception on a span, whose status stays as it is.

    Args:
        span: The span of the operation.
        error: The exception that ended it, or that was replaced by something better.
        operation: The operation's name, which begins the name of a log event.
    """
    _record(span, error, operation, error_message_of(error))


def _record(span: Span, error: BaseException, operation: str, message: str) -> None:
    attributes = {
        names.EXCEPTION_TYPE: class_name_of(error),
        names.EXCEPTION_MESSAGE: message,
        names.EXCEPTION_STACKTRACE: redact_text(stacktrace_of(error), _STACKTRACE_CAP, keep="end"),
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
    """What the exception says, redacted and capped."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a tool's exception may not even be able to say what it is
        message = f"<{type(error).__name__} that cannot be shown>"
    return redact_text(message, _MESSAGE_CAP)


def stacktrace_of(error: BaseException) -> str:
    """Its traceback from the tool's own frame on, as it is."""
    return "".join(traceback.format_exception(type(error), error, _without_our_frames(error.__traceback__)))


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the tool's own frame on: how the library calls a tool tells nobody why it failed."""
    first = trace
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_OURS):
        trace = trace.tb_next
    return trace or first
