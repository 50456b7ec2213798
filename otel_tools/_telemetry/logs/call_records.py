"""Which call a log record belongs to, and the record that tells how a call ended. Off until `configure(logs=...)`.

While logs are on, each record of the standard library's `logging` carries ``trace_id``, ``span_id``, ``tool`` and
``call_id`` as attributes (texts, empty where there is none), so that the application's own formats can use them too.
"""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from opentelemetry.context import attach, create_key, detach, get_current, set_value
from opentelemetry.trace import Span, format_span_id, format_trace_id, get_current_span

from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import content, render
from otel_tools._telemetry.guard import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from otel_tools._call.steps import Call, Result
    from otel_tools._telemetry.tool_telemetry import ToolTelemetry

__all__ = [
    "RunningCall",
    "Sink",
    "call_ended",
    "calls",
    "carried_context",
    "context_of_call",
    "correlate",
    "current_call",
    "is_end_of_call",
    "logs",
    "set_thread_context",
]

calls: Final = logging.getLogger(names.CALLS.name)
"""The logger of those records. Its level, or else that of ``otel_tools``, keeps some of them back."""

_ours: Final = logging.getLogger("otel_tools")
_BILLION: Final = 1e9
_RUNNING: Final = create_key("otel_tools-running")
_THREAD: Final = "_otel_tools_context"
_LEVELS: Final[dict[Result, int]] = {
    "ok": logging.INFO,
    "cached": logging.INFO,
    # The caller gave up, or took no more of what a generator had to give: nobody's mistake.
    "cancelled": logging.INFO,
    "fallback": logging.WARNING,
    "invalid": logging.WARNING,
    "error": logging.ERROR,
}
_SERVED: Final = ("ok", "cached", "fallback")


class RunningCall:
    """A call as the log records made under it know it.

    Attributes:
        tool: Its tool's name.
        over: Whether it has ended.
    """

    __slots__ = ("_call_id", "_span", "over", "tool")

    def __init__(self, tool: str, span: Span, call_id: str | None) -> None:
        self.tool = tool
        self.over = False
        self._span = span
        self._call_id = call_id

    @property
    def call_id(self) -> str:
        """The model's id of the call; empty where none is known."""
        if self._call_id is None:
            attributes = getattr(self._span, "attributes", None) or {}
            return str(attributes.get(names.TOOL_CALL_ID, ""))
        return self._call_id


Sink: TypeAlias = "Callable[[logging.LogRecord, Context, RunningCall | None], None]"
"""Takes every record that is logged, with the context and the call that it belongs to; what it raises is contained."""


class Logs:
    """What `configure(logs=...)` asked for.

    Attributes:
        on: Whether anything was.
        with_content: Whether the record of a call may carry arguments and results, where content is on.
        instead: Whether the records of loggers that have no handler are not to be printed by Python's last resort.
        sinks: Where records go, beside the application's own handlers.
    """

    __slots__ = ("instead", "on", "sinks", "with_content")

    def __init__(self) -> None:
        self.on = False
        self.with_content = True
        self.instead = False
        self.sinks: tuple[Sink, ...] = ()

    def tell(self, record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
        """Hand a record to every sink."""
        for sink in self.sinks:
            try:
                sink(record, context, running)
            except Exception:  # noqa: BLE001 - telemetry never fails a call
                log_failure("writing a log record")


logs: Final = Logs()

carried_context: Final[ContextVar[Context | None]] = ContextVar("otel_tools-carried_context", default=None)
"""The context of the call that handed the running piece of work to a pool of threads."""


def set_thread_context(thread: threading.Thread, context: Context) -> None:
    """Remember in whose context a thread was started: it has none of its own."""
    thread.__dict__[_THREAD] = context


def context_of_call(context: Context, tool: str, span: Span, call_id: str | None = None) -> Context:
    """The context of a call, from which the records made under it know it.

    Args:
        context: What it would be otherwise; the span is current in it.
        tool: The tool's name.
        span: The call's span; tells the call's id where that is not given.
        call_id: The model's id of the call.
    """
    return set_value(_RUNNING, RunningCall(tool, span, call_id), context)


def current_call() -> tuple[Context, RunningCall | None]:
    """The context that a record made here belongs to, and the innermost call that is running."""
    context = get_current()
    running = _running_in(context)
    if running is not None:
        return context, running
    inherited = carried_context.get()
    if inherited is not None:
        running = _running_in(inherited)
    else:
        inherited = threading.current_thread().__dict__.get(_THREAD)
        running = None if inherited is None else _running_in(inherited)
        # A thread may outlive the call that happened to start it, and serve others.
        if running is not None and running.over:
            running = None
    if running is None or inherited is None:
        return context, None
    has_span = get_current_span(context).get_span_context().is_valid
    return (context if has_span else inherited), running


def correlate(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    """Put the ids on a record; what the application says under one of their names stays."""
    said = record.__dict__
    span = get_current_span(context).get_span_context()
    said.setdefault("trace_id", format_trace_id(span.trace_id) if span.is_valid else "")
    said.setdefault("span_id", format_span_id(span.span_id) if span.is_valid else "")
    said.setdefault("tool", "" if running is None else running.tool)
    said.setdefault("call_id", "" if running is None else running.call_id)


def call_ended(  # noqa: PLR0913 - what is known of a call
    tool: ToolTelemetry,
    call: Call,
    context: Context,
    *,
    ended: int,
    elapsed: int,
    value: Any,
    result: Result,
    error_type: str | None,
    said: Mapping[str, Any],
) -> None:
    """Log the record that tells how a call ended; never raises.

    Args:
        tool: Its tool.
        call: The call; its arguments are looked at where content is on.
        context: Its context, as `context_of_call` made it; one made before logs were on will do.
        ended: Nanoseconds since the epoch.
        elapsed: Nanoseconds that it took.
        value: What it returned.
        result: How it ended.
        error_type: The ``error.type``, if it has one.
        said: What its policies did, under the names of the span's attributes.
    """
    try:
        name = tool.metrics.tool
        running = _running_in(context)
        if running is not None and running.tool != name:
            # The call began before logs were on, or without a context of its own: this is the call around it.
            running = None
        if running is not None:
            running.over = True
        level = _LEVELS[result]
        if _kept_back(level):
            return
        seconds = elapsed / _BILLION
        record = logging.getLogRecordFactory()(
            calls.name,
            level,
            __file__,
            0,
            "%s %s: %s in %.3f s",
            (names.CALL_EVENT, name, result, seconds),
            None,
            "call_ended",
        )
        record.created = ended / _BILLION
        record.msecs = float(ended // 1_000_000 % 1000)
        fields: dict[str, Any] = {
            "event": names.CALL_EVENT,
            "tool": name,
            "call_id": "" if running is None else running.call_id,
            "outcome": result,
            "duration": seconds,
            "retries": said.get(names.RETRY_COUNT, 0),
        }
        for field, attribute in (("cache", names.CACHE_RESULT), ("wait", names.THROTTLING_WAIT)):
            if attribute in said:
                fields[field] = said[attribute]
        if error_type is not None:
            fields["error_type"] = error_type
        if content.on and logs.with_content:
            fields["arguments"] = render(tool.named(call.args, call.kwargs))
            if result in _SERVED:
                fields["result"] = render(value)
        record.__dict__.update(fields)
        _hand_on(record, context, running)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("logging the end of a call")


def is_end_of_call(record: logging.LogRecord) -> bool:
    """Whether a record is one of `call_ended`, what is in which is redacted and bounded already."""
    return record.name == calls.name and record.__dict__.get("event") == names.CALL_EVENT


def _running_in(context: Context) -> RunningCall | None:
    return cast("RunningCall | None", context.get(_RUNNING))


def _kept_back(level: int) -> bool:
    """Whether the application does not want such records: it said so of our loggers, or of all logging."""
    return max(calls.level or _ours.level, calls.manager.disable + 1) > level


def _hand_on(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    """To our sinks; to the application's handlers where its level for other records like this lets it through."""
    if not calls.isEnabledFor(record.levelno):
        correlate(record, context, running)
        logs.tell(record, context, running)
        return
    # The call may have ended elsewhere, and its context is what tells the sinks of it.
    token = attach(context)
    try:
        calls.handle(record)
    finally:
        detach(token)
