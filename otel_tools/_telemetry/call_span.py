"""The record of one call: its span, its duration point, its place in the numbers."""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns, time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.context import attach, create_key, detach, get_current
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, set_span_in_context

from otel_tools._call.steps import Call
from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import content, render
from otel_tools._telemetry.deferred import gc_running, pending_reports, report_pending
from otel_tools._telemetry.exceptions import record_failure
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools._telemetry.logs.call_records import call_ended, context_of_call, logs
from otel_tools.errors import error_type_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.context import Context

    from otel_tools._call.steps import Result
    from otel_tools._telemetry.counters import ToolCounters
    from otel_tools._telemetry.tool_telemetry import ToolTelemetry

__all__ = ["AGENT_KEY", "ObservedCall", "leave"]

AGENT_KEY: Final = create_key("otel_tools-agent")
"""Where the OpenTelemetry context keeps the name of the agent that a call is made for."""

_SERVED: Final = ("ok", "cached", "fallback")
_BILLION: Final = 1e9


class ObservedCall(Call):
    """A call whose span is open. It never raises into the driver, and only its first `close` counts."""

    _policy_attributes: Mapping[str, Any] = MappingProxyType({})
    """What the policies did, as attributes of the span."""

    __slots__ = ("_agent", "_began", "_body_context", "_context", "_counters", "_span", "_started", "_token", "_tool")

    def __init__(self, tool: ToolTelemetry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self._tool = tool
        self._token: Token[Context] | None = None
        counts = tool.metrics.counters
        self._counters: ToolCounters | None = counts
        if pending_reports:
            report_pending()
        self._began = began = time_ns()
        try:
            outer = get_current()
            self._agent = agent = cast("str | None", outer.get(AGENT_KEY))
            attributes = tool.attributes if agent is None else tool.span_attributes(agent)
            links: tuple[Link, ...] = ()
            if instruments.find_model_call is not None:
                attributes, links = _with_model_call(tool, attributes, args, kwargs)
            span = instruments.tracer.start_span(tool.span_name, outer, SpanKind.INTERNAL, attributes, links, began)
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
                leave(self._token)
            raise
        # Last, so that what comes out of here, Ctrl-C or the recursion limit, leaves nothing active behind.
        counts.active.append(None)
        self._started = perf_counter_ns()

    def suspend(self) -> None:
        """Leave the call's context, and remember where the body is in it: it may have opened spans of its own."""
        if self._token is not None:
            self._body_context = get_current()
            leave(self._token)
            self._token = None

    def resume(self) -> None:
        """Go back to where the body was."""
        if self._body_context is not None:
            self._token = attach(self._body_context)

    def close(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: Result = "ok",
        error_type: str | None = None,
    ) -> None:
        """Count the call and end the span."""
        elapsed = perf_counter_ns() - self._started
        counts = self._counters
        if counts is None:
            return
        self._counters = None
        try:
            counts.end(result, elapsed, elapsed / _BILLION)
            # A call that was running when the process forked is the parent's to report.
            if counts is self._tool.metrics.counters:
                if gc_running:
                    pending_reports.append(partial(self._report, elapsed, None, error, result, error_type))
                else:
                    self._report(elapsed, value, error, result, error_type)
        finally:
            # Whatever happens in the middle of this, and be it a Ctrl-C.
            if self._token is not None:
                leave(self._token)
                self._token = None

    def _report(
        self, elapsed: int, value: Any, error: BaseException | None, result: Result, error_type: str | None
    ) -> None:
        """End the span and record the duration."""
        span = self._span
        if result not in _SERVED:
            error_type = error_type or _error_type_of(error, result)
        if result != "ok" or self._policy_attributes:
            _describe(span, error, result, error_type, self._policy_attributes)
        if content.on and result in _SERVED and span.is_recording():
            _record_result(span, value)
        try:
            # With the span's context, so that an exemplar of the histogram leads to this trace.
            instruments.duration.record(
                elapsed / _BILLION, self._tool.point_attributes(self._agent, error_type), self._context
            )
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("recording a duration")
        try:
            span.end(self._began + elapsed)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("closing a span")
        if logs.on:
            call_ended(
                self._tool,
                self,
                self._context,
                ended=self._began + elapsed,
                elapsed=elapsed,
                value=value,
                result=result,
                error_type=error_type,
                said=self._policy_attributes,
            )


def leave(token: Token[Context]) -> None:
    """Put back the context that was current before.

    Unlike `opentelemetry.context.detach` this is silent where there is nothing to put back: a coroutine or
    generator that is closed by the garbage collector may be closed in another context than it ran in.
    """
    try:
        token.var.reset(token)
    except ValueError:
        pass
    except AttributeError:
        # A context implementation of the application's own, whose tokens are not those of contextvars.
        detach(token)


def _with_model_call(
    tool: ToolTelemetry, attributes: dict[str, str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, str], tuple[Link, ...]]:
    """What the span is created with where a model is known to have asked for the call."""
    try:
        find = instruments.find_model_call
        call = None if find is None else find(tool.metrics.tool, args, kwargs, lambda: tool.arguments.signature)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("looking for a call's id")
        call = None
    if call is None:
        return attributes, ()
    call_id, model_span = call
    return {**attributes, names.TOOL_CALL_ID: call_id}, () if model_span is None else (Link(model_span),)


def _record_arguments(span: Span, tool: ToolTelemetry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        span.set_attribute(names.TOOL_CALL_ARGUMENTS, render(tool.named(args, kwargs)))
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("recording arguments")


def _record_result(span: Span, value: Any) -> None:
    try:
        span.set_attribute(names.TOOL_CALL_RESULT, render(value))
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("recording a result")


def _describe(
    span: Span, error: BaseException | None, result: Result, error_type: str | None, said: Mapping[str, Any]
) -> None:
    """Say on the span how a call ended that did not simply return, and what its policies did."""
    try:
        # One by one: set_attributes() takes longer for as many as there are here.
        for name, attribute in said.items():
            span.set_attribute(name, attribute)
        if result != "ok":
            span.set_attribute(names.OUTCOME, result)
        if error_type is not None:
            span.set_attribute(names.ERROR_TYPE, error_type)
        if error_type is None or result == "cancelled":
            return
        if error is None:
            span.set_status(StatusCode.ERROR)
        else:
            record_failure(span, error, names.EXECUTE_TOOL)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("describing a call")


def _error_type_of(error: BaseException | None, result: Result) -> str | None:
    """The ``error.type`` of a call that did not serve its caller."""
    if result == "cancelled":
        return names.CANCELLED
    return None if error is None else error_type_of(error)
