"""Finds the call that a log record belongs to and puts its ids on the record.

While logs are on, each record of the standard library's `logging` carries ``trace_id``, ``span_id``, ``tool`` and
``call_id`` as attributes (texts, empty where there is none), so that the application's own formats can use them too.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, cast

from opentelemetry.context import create_key, get_current, set_value
from opentelemetry.trace import Span, format_span_id, format_trace_id, get_current_span

from otel_tools._telemetry import names

if TYPE_CHECKING:
    import logging

    from opentelemetry.context import Context

__all__ = [
    "RunningCall",
    "carried_context",
    "context_of_call",
    "correlate",
    "current_call",
    "running_call_in",
    "set_thread_context",
]

_RUNNING: Final = create_key("otel_tools-running")
_THREAD_CONTEXT: Final = "_otel_tools_context"

carried_context: Final[ContextVar[Context | None]] = ContextVar("otel_tools-carried", default=None)
"""The context of the call that submitted the running piece of work to a thread pool."""


class RunningCall:
    """A call as the log records made under it see it.

    Attributes:
        tool: The tool's name.
        ended: Whether the call has ended.
    """

    __slots__ = ("_call_id", "_span", "ended", "tool")

    def __init__(self, tool: str, span: Span, call_id: str | None) -> None:
        self.tool = tool
        self.ended = False
        self._span = span
        self._call_id = call_id

    @property
    def call_id(self) -> str:
        """The model's id of the call; empty where none is known."""
        if self._call_id is None:
            attributes = getattr(self._span, "attributes", None) or {}
            return str(attributes.get(names.TOOL_CALL_ID, ""))
        return self._call_id


def context_of_call(context: Context, tool: str, span: Span, call_id: str | None = None) -> Context:
    """The context that a call runs in: the records made in it belong to the call.

    Args:
        context: The context to extend; the span is current in it.
        tool: The tool's name.
        span: The call's span. Its attributes give the call's id where ``call_id`` is None.
        call_id: The model's id of the call.
    """
    return set_value(_RUNNING, RunningCall(tool, span, call_id), context)


def running_call_in(context: Context) -> RunningCall | None:
    """The innermost call that a context belongs to."""
    return cast("RunningCall | None", context.get(_RUNNING))


def set_thread_context(thread: threading.Thread, context: Context) -> None:
    """Remember the context in which a thread was started: a new thread has an empty one.

    It is kept in the thread's ``__dict__``, which exists before the thread starts and goes with it. An assignment would
    run the ``__setattr__`` of a subclass. A `weakref.WeakKeyDictionary` would run its ``__hash__`` and ``__eq__``, and
    need a lock. The ``context`` argument of `threading.Thread` exists from Python 3.14 on, and other code makes the
    thread.
    """
    thread.__dict__[_THREAD_CONTEXT] = context


def _thread_context() -> Context | None:
    """The context that `set_thread_context` remembered for the running thread."""
    return threading.current_thread().__dict__.get(_THREAD_CONTEXT)


def current_call() -> tuple[Context, RunningCall | None]:
    """The context that a record made here belongs to, and the innermost running call."""
    context = get_current()
    running = running_call_in(context)
    if running is not None:
        return context, running
    inherited = carried_context.get()
    if inherited is not None:
        running = running_call_in(inherited)
    else:
        inherited = _thread_context()
        running = None if inherited is None else running_call_in(inherited)
        # A thread may outlive the call that started it and then serve other calls.
        if running is not None and running.ended:
            running = None
    if running is None or inherited is None:
        return context, None
    has_span = get_current_span(context).get_span_context().is_valid
    return (context if has_span else inherited), running


def correlate(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    """Put the ids on a record. Attributes of these names that the application set stay."""
    # As `logging` itself stores ``extra=``.
    attributes = record.__dict__
    span = get_current_span(context).get_span_context()
    attributes.setdefault("trace_id", format_trace_id(span.trace_id) if span.is_valid else "")
    attributes.setdefault("span_id", format_span_id(span.span_id) if span.is_valid else "")
    attributes.setdefault("tool", "" if running is None else running.tool)
    attributes.setdefault("call_id", "" if running is None else running.call_id)
