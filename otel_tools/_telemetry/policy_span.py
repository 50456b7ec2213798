"""Observes a call with policies: counts what they do, and records it on the spans of the call and its attempts."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.error_types import error_type_of
from otel_tools._telemetry import names
from otel_tools._telemetry.attempt_span import AttemptSpan
from otel_tools._telemetry.call_span import ObservedCall
from otel_tools._telemetry.content.capture import redact_text
from otel_tools._telemetry.exceptions import record_exception
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools._telemetry.policy_counters import OTHER, increment
from otel_tools._telemetry.policy_metrics import PolicyEvent
from otel_tools._telemetry.tool_telemetry import ToolTelemetry
from otel_tools.errors import ToolError

if TYPE_CHECKING:
    from otel_tools._call.call import CacheResult, ThrottlingPolicy, ThrottlingResult
    from otel_tools._call.outcome import Outcome, OutcomeName

__all__ = ["AbandonedThread", "ObservedCallWithPolicies", "record_unknown_tool"]

_MAX_NAME_LENGTH: Final = 128
_NO_ARGUMENTS: Final = Arguments(lambda: None)


class ObservedCallWithPolicies(ObservedCall):
    """A call whose policies report what they do. As in its base, no method raises an `Exception` of telemetry."""

    __slots__ = ("_attempt", "_first_start", "_policy_attributes", "_retry_cause", "_wait_time")

    def __init__(self, tool: ToolTelemetry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.scope = None
        # Of the first attempt only its start: most calls have no other attempt, and then it has no span.
        self._first_start: int | None = None
        self._attempt: AttemptSpan | None = None
        self._policy_attributes: dict[str, Any] = {}
        self._retry_cause = ToolError.error_type
        self._wait_time = 0.0
        super().__init__(tool, args, kwargs)

    def attempt_began(self, number: int) -> None:
        """Start the attempt's span; for the first attempt, only read the clock."""
        start = perf_counter_ns()
        if number == 1:
            self._first_start = start
        else:
            self.retried(self._retry_cause)
            self._attempt = attempt = self._attempt_span(start)
            attempt.open()
        if instruments.policy_listener:
            self._notify("attempt_began", number=number)

    def attempt_ended(self, outcome: Outcome, retry_in: float | None) -> None:
        """End the attempt's span; a first attempt that another one follows gets its span now, with its true times."""
        first_start, self._first_start = self._first_start, None
        if retry_in is None and first_start is not None and not instruments.policy_listener:
            return
        error_type = outcome.error_type or (None if outcome.error is None else error_type_of(outcome.error))
        attempt, self._attempt = self._attempt, None
        if first_start is not None:
            attempt = self._attempt_span(first_start)
        if attempt is not None and (attempt.is_open or retry_in is not None):
            attempt.end(outcome.error, error_type, outcome.result)
        if retry_in is not None:
            # Counted when the next attempt begins: the caller may give up before.
            self._retry_cause = error_type or ToolError.error_type
        if instruments.policy_listener:
            self._notify("attempt_ended", outcome=outcome.result, error_type=error_type, retry_in=retry_in)

    def retried(self, error_type: str) -> None:
        """Count a retry."""
        with self._counters.lock:
            self._counters.policies.retry(error_type)
        self._policy_attributes[names.RETRY_COUNT] = self._policy_attributes.get(names.RETRY_COUNT, 0) + 1
        if instruments.policy_listener:
            self._notify("retried", error_type=error_type)

    def cache_answered(self, result: CacheResult) -> None:
        """Count the cache's answer."""
        with self._counters.lock:
            self._counters.policies.cache[result] += 1
        self._policy_attributes[names.CACHE_RESULT] = result
        if instruments.policy_listener:
            self._notify("cache_answered", result=result)

    def queued(self, policy: ThrottlingPolicy) -> None:
        """Count an attempt that begins to wait."""
        with self._counters.lock:
            increment(self._counters.policies.queued, policy)
        if instruments.policy_listener:
            self._notify("queued", policy=policy)

    def throttled(self, policy: ThrottlingPolicy, result: ThrottlingResult, waited: float | None) -> None:
        """Count the result; record the time of a wait and of a refusal."""
        policies = self._counters.policies
        with self._counters.lock:
            policies.requests[policy][result] += 1
            if waited is not None:
                increment(policies.queued, policy, -1)
        if waited is not None or result == "rejected":
            self._record_wait(policy, result, waited or 0.0)
        if instruments.policy_listener:
            self._notify("throttled", policy=policy, result=result, waited=waited)

    def store_failed(self, operation: str) -> None:
        """Count an error of a store."""
        with self._counters.lock:
            increment(self._counters.policies.store_errors, operation)
        if instruments.policy_listener:
            self._notify("store_failed", operation=operation)

    def abandoned(self, change: Literal[1, -1]) -> None:
        """Count an abandoned function, or one less; also after the call."""
        with self._counters.lock:
            self._counters.policies.abandoned += change
        if instruments.policy_listener:
            self._notify("abandoned", change=change)

    def recovered(self, outcome: Outcome) -> None:
        """Record the error that the caller does not get: the span shows why something else was served."""
        try:
            if outcome.error is not None:
                record_exception(self._span, outcome.error, names.EXECUTE_TOOL)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("recording what was replaced")
        if instruments.policy_listener:
            self._notify("recovered", outcome=outcome.result)

    def _report(
        self, elapsed: int, value: Any, error: BaseException | None, result: OutcomeName, error_type: str | None
    ) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and attempt.is_open:
            # The call ended during the attempt. `close` restores the context of before the call.
            attempt.keep_context()
            attempt.end(error, error_type or (None if error is None else error_type_of(error)), result)
        super()._report(elapsed, value, error, result, error_type)

    def _attempt_span(self, start: int) -> AttemptSpan:
        return AttemptSpan(self._tool.metrics.tool, self._context, start, self._start_time - self._start_clock)

    def _record_wait(self, policy: ThrottlingPolicy, result: ThrottlingResult, seconds: float) -> None:
        self._wait_time += seconds
        self._policy_attributes[names.THROTTLING_WAIT] = self._wait_time
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

    def _notify(self, name: str, **values: Any) -> None:
        try:
            listener = instruments.policy_listener
            if listener is not None:
                listener(PolicyEvent(self._tool.metrics.tool, name, values))
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("telling of a policy")


class _CallOfNoTool(ObservedCall):
    """A call of a name that no tool has."""

    __slots__ = ("_policy_attributes",)

    def name_as_called(self, name: str | None) -> None:
        """Keep the name that was called, cut and without secrets."""
        self._policy_attributes = {} if name is None else {names.OWN_TOOL_NAME: redact_text(name, _MAX_NAME_LENGTH)}


def record_unknown_tool(name: str | None) -> None:
    """Report a call of a model that names no tool: a span, a duration, a count of ``invalid`` and a log record.

    All are of the tool ``_OTHER``, as the conventions call what has no series of its own: models invent names without
    end. The name itself is on the span and the log record alone.

    Args:
        name: The name that the model gave; None where it gave none.
    """
    call = _CallOfNoTool(ToolTelemetry(OTHER, None, _NO_ARGUMENTS, None), (), {})
    call.name_as_called(name)
    call.close(None, None, "invalid", names.UNKNOWN_TOOL)


class AbandonedThread(Call):
    """Counts an abandoned thread of a tool, where something else records the call itself."""

    __slots__ = ("_counters",)

    def __init__(self, tool: ToolTelemetry) -> None:
        super().__init__((), {})
        self._counters = tool.metrics.counters

    def abandoned(self, change: Literal[1, -1]) -> None:
        """Count the thread, or one less."""
        with self._counters.lock:
            self._counters.policies.abandoned += change
