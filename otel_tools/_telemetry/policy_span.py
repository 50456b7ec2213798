"""The record of a call with policies: what they do is counted, and told on its span and those of its attempts."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry.context import attach
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from otel_tools._call.steps import Call, is_cancellation
from otel_tools._telemetry import names
from otel_tools._telemetry.call_span import ObservedCall, leave
from otel_tools._telemetry.exceptions import record_exception, record_failure
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools._telemetry.policy_counters import increment
from otel_tools._telemetry.policy_metrics import PolicyEvent
from otel_tools.errors import ToolError, error_type_of

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

    from otel_tools._call.steps import CacheResult, Outcome, Result, ThrottlingPolicy, ThrottlingResult
    from otel_tools._telemetry.tool_telemetry import ToolTelemetry

__all__ = ["AbandonedThread", "ObservedCallWithPolicies"]


class _Attempt:
    """One attempt that is under way.

    Attributes:
        began: Nanoseconds since the call began.
        span: Its span; that of a first attempt is written when it is over and another one follows.
        token: What puts back the context that was current before.
    """

    __slots__ = ("began", "span", "token")

    def __init__(self, began: int) -> None:
        self.began = began
        self.span: Span | None = None
        self.token: Token[Context] | None = None


class ObservedCallWithPolicies(ObservedCall):
    """A call whose policies report what they do. As its base it never raises into who reports."""

    __slots__ = ("_attempt", "_cause", "_counters_at_start", "_first_began", "_policy_attributes", "_waited")

    def __init__(self, tool: ToolTelemetry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.scope = None
        # Of the first attempt only when it began: most calls have no other, and then it has no span.
        self._first_began: int | None = None
        self._attempt: _Attempt | None = None
        self._policy_attributes: dict[str, Any] = {}
        self._cause = ToolError.error_type
        self._waited = 0.0
        # Kept after the call is over: a function that was given up ends later.
        self._counters_at_start = tool.metrics.counters
        super().__init__(tool, args, kwargs)

    def attempt_began(self, number: int) -> None:
        """The first attempt costs a look at the clock, each other one a span."""
        began = perf_counter_ns() - self._started
        if number == 1:
            self._first_began = began
        else:
            self.retried(self._cause)
            self._attempt = attempt = _Attempt(began)
            try:
                attempt.span = span = self._span_of(attempt)
                attempt.token = attach(set_span_in_context(span, self._context))
            except Exception:  # noqa: BLE001 - telemetry never fails a call
                log_failure("opening an attempt's span")
        if instruments.policy_listener:
            self._notify("attempt_began", number=number)

    def attempt_ended(self, outcome: Outcome, retry_in: float | None) -> None:
        """Close its span; where another attempt follows the first, write the first one's now, with its true times."""
        first, self._first_began = self._first_began, None
        if retry_in is None and first is not None and not instruments.policy_listener:
            return
        error_type = outcome.error_type or (None if outcome.error is None else error_type_of(outcome.error))
        attempt, self._attempt = self._attempt, None
        if first is not None:
            attempt = _Attempt(first)
        if attempt is not None and (attempt.span is not None or retry_in is not None):
            self._end(attempt, outcome.error, error_type)
        if retry_in is not None:
            # Counted when the next one begins: the caller may give up before.
            self._cause = error_type or ToolError.error_type
        if instruments.policy_listener:
            self._notify("attempt_ended", outcome=outcome.result, error_type=error_type, retry_in=retry_in)

    def retried(self, error_type: str) -> None:
        """Count it."""
        with self._counters_at_start.lock:
            self._counters_at_start.policies.retry(error_type)
        self._policy_attributes[names.RETRY_COUNT] = self._policy_attributes.get(names.RETRY_COUNT, 0) + 1
        if instruments.policy_listener:
            self._notify("retried", error_type=error_type)

    def cache_answered(self, result: CacheResult) -> None:
        """Count it."""
        self._counters_at_start.policies.answers[result].more()
        self._policy_attributes[names.CACHE_RESULT] = result
        if instruments.policy_listener:
            self._notify("cache_answered", result=result)

    def queued(self, policy: ThrottlingPolicy) -> None:
        """Count it as waiting now."""
        with self._counters_at_start.lock:
            increment(self._counters_at_start.policies.queued, policy)
        if instruments.policy_listener:
            self._notify("queued", policy=policy)

    def throttled(self, policy: ThrottlingPolicy, result: ThrottlingResult, waited: float | None) -> None:
        """Count it; a wait, and a refusal, have a duration."""
        numbers = self._counters_at_start.policies
        numbers.requests[policy][result].more()
        if waited is not None:
            with self._counters_at_start.lock:
                increment(numbers.queued, policy, -1)
        if waited is not None or result == "rejected":
            self._waited_for(policy, result, waited or 0.0)
        if instruments.policy_listener:
            self._notify("throttled", policy=policy, result=result, waited=waited)

    def store_failed(self, operation: str) -> None:
        """Count it."""
        with self._counters_at_start.lock:
            increment(self._counters_at_start.policies.store_errors, operation)
        if instruments.policy_listener:
            self._notify("store_failed", operation=operation)

    def abandoned(self, change: Literal[1, -1]) -> None:
        """Count it, also after the call is over."""
        with self._counters_at_start.lock:
            self._counters_at_start.policies.abandoned += change
        if instruments.policy_listener:
            self._notify("abandoned", change=change)

    def recovered(self, outcome: Outcome) -> None:
        """Record the error that the caller will not see: its span tells why something else was served."""
        try:
            if outcome.error is not None:
                record_exception(self._span, outcome.error, names.EXECUTE_TOOL)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("recording what was replaced")
        if instruments.policy_listener:
            self._notify("recovered", outcome=outcome.result)

    def _report(
        self, elapsed: int, value: Any, error: BaseException | None, result: Result, error_type: str | None
    ) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and attempt.span is not None:
            # Nobody ended it: the caller gave up in the middle of it. Its context goes with the call's.
            attempt.token = None
            self._end(attempt, error, names.CANCELLED if error is None or is_cancellation(error) else None)
        super()._report(elapsed, value, error, result, error_type)

    def _waited_for(self, policy: ThrottlingPolicy, result: ThrottlingResult, seconds: float) -> None:
        self._waited += seconds
        self._policy_attributes[names.THROTTLING_WAIT] = self._waited
        try:
            instruments.time_in_queue.record(
                seconds,
                {
                    names.TOOL_NAME: self._tool.metrics.tool,
                    names.THROTTLING_POLICY: policy,
                    names.THROTTLING_RESULT: result,
                },
                self._context,
            )
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("recording a wait")

    def _span_of(self, attempt: _Attempt) -> Span:
        tool = self._tool.metrics.tool
        return instruments.tracer.start_span(
            f"{names.ATTEMPT} {tool}",
            self._context,
            SpanKind.INTERNAL,
            {names.TOOL_NAME: tool},
            (),
            self._began + attempt.began,
        )

    def _end(self, attempt: _Attempt, error: BaseException | None, error_type: str | None) -> None:
        try:
            span = attempt.span or self._span_of(attempt)
            if error_type is not None:
                span.set_attribute(names.ERROR_TYPE, error_type)
                if error_type != names.CANCELLED:
                    if error is None:
                        span.set_status(StatusCode.ERROR)
                    else:
                        record_failure(span, error, names.EXECUTE_TOOL)
            span.end(self._began + perf_counter_ns() - self._started)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("closing an attempt's span")
        finally:
            if attempt.token is not None:
                leave(attempt.token)

    def _notify(self, name: str, **values: Any) -> None:
        try:
            listener = instruments.policy_listener
            if listener is not None:
                listener(PolicyEvent(self._tool.metrics.tool, name, values))
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("telling of a policy")


class AbandonedThread(Call):
    """ToolCounters a thread that runs for nobody, where its call is another's to record."""

    __slots__ = ("_counters",)

    def __init__(self, tool: ToolTelemetry) -> None:
        super().__init__((), {})
        self._counters = tool.metrics.counters

    def abandoned(self, change: Literal[1, -1]) -> None:
        """Count it."""
        with self._counters.lock:
            self._counters.policies.abandoned += change
