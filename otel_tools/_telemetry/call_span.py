"""Observes one call: its span, its point in the duration histogram, its counters and its log record."""

from __future__ import annotations

from functools import partial
from logging import DEBUG
from time import perf_counter_ns, time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.context import attach, create_key, get_current
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, set_span_in_context

from otel_tools._call.call import Call
from otel_tools._call.error_types import error_type_of
from otel_tools._call.outcome import SERVED, ReportsOutcome
from otel_tools._telemetry import names
from otel_tools._telemetry.api_private import detach_silently
from otel_tools._telemetry.content.capture import content, render
from otel_tools._telemetry.deferred import gc_running, pending_reports, report_pending
from otel_tools._telemetry.exceptions import record_failure, reported_message_of
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools._telemetry.logs.call_records import EndedCall, call_begun, call_ended, call_logger
from otel_tools._telemetry.logs.correlation import context_of_call
from otel_tools._telemetry.logs.settings import logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.context import Context

    from otel_tools._call.outcome import OutcomeName
    from otel_tools._telemetry.counters import ToolCounters
    from otel_tools._telemetry.tool_telemetry import ToolTelemetry

__all__ = ["AGENT_KEY", "ObservedCall"]

AGENT_KEY: Final = create_key("otel_tools-agent")
"""Key in the OpenTelemetry context: the name of the agent that makes the calls."""


_NO_ERROR: Final = (*SERVED, names.CANCELLED)
_NANOSECONDS: Final = 1e9


class ObservedCall(Call):
    """A call whose span is open. Its methods raise no `Exception` of telemetry; only the first `close` counts.

    Attributes:
        ended: Whether the call has been closed.
    """

    _policy_attributes: Mapping[str, Any] = MappingProxyType({})
    """What the policies did, as attributes of the span."""

    __slots__ = (
        "_agent",
        "_body_context",
        "_context",
        "_counters",
        "_span",
        "_start_clock",
        "_start_time",
        "_token",
        "_tool",
        "ended",
    )

    def __init__(self, tool: ToolTelemetry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self._tool = tool
        self._token: Token[Context] | None = None
        self.ended = False
        # Kept: a fork replaces them in the child.
        self._counters: ToolCounters = tool.metrics.counters
        if pending_reports:
            report_pending()
        self._start_time = start_time = time_ns()
        try:
            outer = get_current()
            self._agent = agent = cast("str | None", outer.get(AGENT_KEY))
            attributes = tool.attributes if agent is None else tool.span_attributes(agent)
            links: tuple[Link, ...] = ()
            if instruments.find_model_call is not None:
                attributes, links = _with_model_call(tool, attributes, args, kwargs)
            span = instruments.tracer.start_span(
                tool.span_name, outer, SpanKind.INTERNAL, attributes, links, start_time
            )
            self._span = span
            context = set_span_in_context(span, outer)
            if logs.on:
                context = context_of_call(context, tool.metrics.tool, span, attributes.get(names.TOOL_CALL_ID))
            self._context = context
            if content.on and span.is_recording():
                _record_arguments(span, tool, args, kwargs)
            self._token = attach(context)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("opening a span")
            self._agent, self._span, self._context = None, INVALID_SPAN, get_current()
            self._body_context: Context | None = None
        except BaseException:
            if self._token is not None:
                detach_silently(self._token)
            raise
        # Last: where Ctrl-C or the recursion limit is raised above, no call stays active.
        self._counters.active.append(None)
        if call_logger.isEnabledFor(DEBUG):
            call_begun(tool.metrics.tool)
        self._start_clock = perf_counter_ns()

    def suspend(self) -> None:
        """Leave the call's context. The body's own context is kept for `resume`: it may have opened spans."""
        if self._token is not None:
            self._body_context = get_current()
            detach_silently(self._token)
            self._token = None

    def resume(self) -> None:
        """Enter the context that the body was in."""
        if self._body_context is not None:
            self._token = attach(self._body_context)

    def close(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: OutcomeName = "ok",
        error_type: str | None = None,
    ) -> bool:
        """Count the call and end its span."""
        elapsed = perf_counter_ns() - self._start_clock
        if issubclass(type(value), ReportsOutcome) and result == "ok":
            result, error_type = value.outcome
        counters = self._counters
        if not counters.end(result, elapsed, elapsed / _NANOSECONDS, self):
            return False
        try:
            # The parent of a fork reports the calls that were running then.
            if counters is self._tool.metrics.counters:
                if gc_running:
                    pending_reports.append(partial(self._report, elapsed, None, error, result, error_type))
                else:
                    self._report(elapsed, value, error, result, error_type)
        finally:
            # Also when Ctrl-C is raised above.
            if self._token is not None:
                detach_silently(self._token)
                self._token = None
        return True

    def _report(
        self, elapsed: int, value: Any, error: BaseException | None, result: OutcomeName, error_type: str | None
    ) -> None:
        """End the span, record the duration and log the call."""
        span = self._span
        if result in _NO_ERROR:
            error_type = None
        elif error_type is None and error is not None:
            error_type = error_type_of(error)
        if result != "ok" or self._policy_attributes:
            _describe_end(span, value, error, result, error_type, self._policy_attributes)
        if content.on and result in SERVED and span.is_recording():
            _record_result(span, value)
        try:
            # With the span's context, so that an exemplar of the histogram leads to this trace.
            instruments.duration.record(
                elapsed / _NANOSECONDS, self._tool.point_attributes(self._agent, error_type), self._context
            )
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("recording a duration")
        end_time = self._start_time + elapsed
        try:
            span.end(end_time)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("closing a span")
        if logs.on:
            call_ended(
                EndedCall(
                    self._tool,
                    self,
                    self._context,
                    end_time,
                    elapsed,
                    value,
                    result,
                    error_type,
                    self._policy_attributes,
                )
            )


def _with_model_call(
    tool: ToolTelemetry, attributes: dict[str, str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, str], tuple[Link, ...]]:
    """The span's attributes and links, with the id and span of the model's call where a model asked for this one."""
    try:
        find = instruments.find_model_call
        found = None if find is None else find(tool.metrics.tool, args, kwargs, lambda: tool.arguments.signature)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("looking for a call's id")
        found = None
    if found is None:
        return attributes, ()
    call_id, model_span = found
    return {**attributes, names.TOOL_CALL_ID: call_id}, () if model_span is None else (Link(model_span),)


def _record_arguments(span: Span, tool: ToolTelemetry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        span.set_attribute(names.TOOL_CALL_ARGUMENTS, render(tool.named_arguments(args, kwargs)))
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("recording arguments")


def _record_result(span: Span, value: Any) -> None:
    try:
        span.set_attribute(names.TOOL_CALL_RESULT, render(value))
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("recording a result")


def _describe_end(  # noqa: PLR0913, PLR0917 - the parts of an end, and where they go
    span: Span,
    value: Any,
    error: BaseException | None,
    result: OutcomeName,
    error_type: str | None,
    policy_attributes: Mapping[str, Any],
) -> None:
    """Set the outcome, the error and the policies' attributes on the span of a call that did more than return."""
    try:
        # One by one: set_attributes() is slower for so few.
        for name, attribute in policy_attributes.items():
            span.set_attribute(name, attribute)
        if result != "ok":
            span.set_attribute(names.OUTCOME, result)
        if error_type is None:
            return
        span.set_attribute(names.ERROR_TYPE, error_type)
        if error is None:
            span.set_status(StatusCode.ERROR, reported_message_of(value))
        else:
            record_failure(span, error, names.EXECUTE_TOOL)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("describing a call")
