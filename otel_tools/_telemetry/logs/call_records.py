"""The log record of a call that ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import attach, detach

from otel_tools._call.outcome import SERVED
from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import content, render
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.logs.correlation import correlate, running_call_in
from otel_tools._telemetry.logs.settings import logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from otel_tools._call.call import Call
    from otel_tools._call.outcome import OutcomeName
    from otel_tools._telemetry.logs.correlation import RunningCall
    from otel_tools._telemetry.tool_telemetry import ToolTelemetry

__all__ = ["EndedCall", "call_begun", "call_ended", "call_logger", "is_call_record"]

call_logger: Final = logging.getLogger(names.CALLS.name)
"""The logger of these records. Its level, or else that of ``otel_tools``, filters them."""

_package_logger: Final = logging.getLogger("otel_tools")
_NANOSECONDS: Final = 1e9
_LEVELS: Final[dict[OutcomeName, int]] = {
    "ok": logging.INFO,
    "cached": logging.INFO,
    # The caller gave up, or took no more items of a generator: nobody's mistake.
    "cancelled": logging.INFO,
    "fallback": logging.WARNING,
    "invalid": logging.WARNING,
    "error": logging.ERROR,
}


class EndedCall(NamedTuple):
    """A call that ended, as its record describes it.

    Attributes:
        tool: The call's tool.
        call: The call; the record carries its arguments where content is on.
        context: The call's context, made by `context_of_call`, or before logs were on.
        end_time: Nanoseconds since the epoch.
        elapsed: Duration in nanoseconds.
        value: What the call returned.
        result: How the call ended.
        error_type: The ``error.type``; None where there is none.
        policy_attributes: What the policies did, as attributes of the call's span.
    """

    tool: ToolTelemetry
    call: Call
    context: Context
    end_time: int
    elapsed: int
    value: Any
    result: OutcomeName
    error_type: str | None
    policy_attributes: Mapping[str, Any]

    @property
    def running(self) -> RunningCall | None:
        """The call as records made under it see it; None where its context was made before logs were on."""
        running = running_call_in(self.context)
        # Another tool's: the context has none of this call's own, and this is the call around it.
        return running if running is not None and running.tool == self.tool.metrics.tool else None


def call_begun(tool: str) -> None:
    """Log at DEBUG that a call begins, so that one that hangs leaves a trace; never raises an `Exception`."""
    try:
        call_logger.debug("%s %s", names.CALL_BEGUN_EVENT, tool, extra={"event": names.CALL_BEGUN_EVENT})
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("logging the beginning of a call")


def call_ended(ended: EndedCall) -> None:
    """Log the record of a call that ended; never raises an `Exception`."""
    try:
        running = ended.running
        if running is not None:
            running.ended = True
        level = _LEVELS[ended.result]
        if _is_disabled(level):
            return
        record = _record_of(ended, level)
        # As `logging` itself stores ``extra=``.
        record.__dict__.update(_attributes_of(ended, running))
        _emit(record, ended.context, running)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("logging the end of a call")


def is_call_record(record: logging.LogRecord) -> bool:
    """Whether a record is one of `call_ended`; its attributes are redacted and bounded already."""
    return record.name == call_logger.name and record.__dict__.get("event") == names.CALL_EVENT


def _is_disabled(level: int) -> bool:
    """Whether the application filters such records, by the level of our loggers or by `logging.disable`."""
    return max(call_logger.level or _package_logger.level, call_logger.manager.disable + 1) > level


def _record_of(ended: EndedCall, level: int) -> logging.LogRecord:
    record = logging.getLogRecordFactory()(
        call_logger.name,
        level,
        __file__,
        0,
        "%s %s: %s in %.3f s",
        (names.CALL_EVENT, ended.tool.metrics.tool, ended.result, ended.elapsed / _NANOSECONDS),
        None,
        "call_ended",
    )
    record.created = ended.end_time / _NANOSECONDS
    record.msecs = float(ended.end_time // 1_000_000 % 1000)
    return record


def _attributes_of(ended: EndedCall, running: RunningCall | None) -> dict[str, Any]:
    policy_attributes = ended.policy_attributes
    attributes: dict[str, Any] = {
        "event": names.CALL_EVENT,
        "tool": ended.tool.metrics.tool,
        "call_id": "" if running is None else running.call_id,
        "outcome": ended.result,
        "duration": ended.elapsed / _NANOSECONDS,
        "retries": policy_attributes.get(names.RETRY_COUNT, 0),
    }
    for key, attribute in (
        ("cache", names.CACHE_RESULT),
        ("wait", names.THROTTLING_WAIT),
        ("called", names.OWN_TOOL_NAME),
    ):
        if attribute in policy_attributes:
            attributes[key] = policy_attributes[attribute]
    if ended.error_type is not None:
        attributes["error_type"] = ended.error_type
    if content.on and logs.with_content:
        attributes["arguments"] = render(ended.tool.named_arguments(ended.call.args, ended.call.kwargs))
        if ended.result in SERVED:
            attributes["result"] = render(ended.value)
    return attributes


def _emit(record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
    """To our sinks, and to the application's handlers where its levels let the record through."""
    if not call_logger.isEnabledFor(record.levelno):
        correlate(record, context, running)
        logs.emit(record, context, running)
        return
    # The sinks find the call by the current context, and the call may have ended in another one.
    token = attach(context)
    try:
        call_logger.handle(record)
    finally:
        detach(token)
