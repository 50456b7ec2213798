"""The span of one attempt, for calls that make more than one."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from opentelemetry.context import attach
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from otel_tools._telemetry import names
from otel_tools._telemetry.api_private import detach_silently
from otel_tools._telemetry.exceptions import record_failure
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

    from otel_tools._call.outcome import OutcomeName

__all__ = ["AttemptSpan"]


class AttemptSpan:
    """The span of an attempt. Its methods raise no `Exception` of telemetry.

    A call's first attempt gets its span only when it has failed and another one follows: most calls have no other.

    Args:
        tool: The tool's name.
        parent: The call's context.
        start_clock: What `time.perf_counter_ns` returned when the attempt began.
        epoch_offset: Difference between the time since the epoch and `time.perf_counter_ns`, in nanoseconds.
    """

    __slots__ = ("_epoch_offset", "_parent", "_span", "_start_clock", "_token", "_tool")

    def __init__(self, tool: str, parent: Context, start_clock: int, epoch_offset: int) -> None:
        self._tool = tool
        self._parent = parent
        self._start_clock = start_clock
        self._epoch_offset = epoch_offset
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    @property
    def is_open(self) -> bool:
        """Whether `open` started the span."""
        return self._span is not None

    def open(self) -> None:
        """Start the span and make it the current one."""
        try:
            self._span = span = self._start()
            self._token = attach(set_span_in_context(span, self._parent))
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("opening an attempt's span")

    def keep_context(self) -> None:
        """Let `end` leave the current context as it is."""
        self._token = None

    def end(self, error: BaseException | None, error_type: str | None, outcome: OutcomeName) -> None:
        """End the span, which is started now if `open` was not called, and restore the context of before `open`.

        Args:
            error: What the attempt raised.
            error_type: The attempt's ``error.type``; None for one that succeeded or was cancelled.
            outcome: How it ended.
        """
        try:
            span = self._span or self._start()
            if outcome == names.CANCELLED:
                span.set_attribute(names.OUTCOME, outcome)
            elif error_type is not None:
                span.set_attribute(names.ERROR_TYPE, error_type)
                if error is None:
                    span.set_status(StatusCode.ERROR)
                else:
                    record_failure(span, error, names.EXECUTE_TOOL)
            span.end(self._epoch_offset + perf_counter_ns())
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("closing an attempt's span")
        finally:
            if self._token is not None:
                detach_silently(self._token)

    def _start(self) -> Span:
        return instruments.tracer.start_span(
            f"{names.ATTEMPT} {self._tool}",
            self._parent,
            SpanKind.INTERNAL,
            {names.OWN_TOOL_NAME: self._tool},
            (),
            self._epoch_offset + self._start_clock,
        )
