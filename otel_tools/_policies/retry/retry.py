"""`Retry`: retry options and the retry loop."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_tools._call.clock import clock
from otel_tools._call.error_types import error_type_of
from otel_tools._call.log_limit import LogLimit
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.scope import cancelled
from otel_tools._call.steps import Sleep
from otel_tools._option_names import check_option_names
from otel_tools._policies.retry.decision import RetryDecision
from otel_tools._policies.retry.options import RetryOptions
from otel_tools.errors import ToolError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["Retry"]

logger = logging.getLogger("otel_tools.policies.retry")

_NOTE: Final = ("otel_tools: ", " attempts in ")
"""The note on an error: what stands before the number of attempts, and what stands after it."""


@check_option_names
@dataclass(frozen=True, slots=True, eq=False)
class Retry(RetryOptions):
    """Retry a call that failed with an error that may pass.

    Never retried, whatever the options say: arguments that were refused (`InvalidArguments`), attempts that a policy
    refused (`RateLimited`, `ConcurrencyLimited`, `CircuitOpen`), cancellation, and exceptions that are no `Exception`.
    A `ToolTimeout` is a `TimeoutError` and is retried as one. The caller gets the last error object itself, with a note
    that says how many attempts there were; where results are retried, the last result.

    A function given here that raises is logged and ends the retrying: the caller gets the tool's own error.

    Args:
        attempts: Attempts at most, the first included.
        initial: Seconds; the first wait is drawn from 0 up to it.
        max: Seconds that a wait of the backoff takes at most; a ``wait`` strategy has its own bounds. A
            ``Retry-After`` beyond it ends the retrying, with ``wait`` too.
        multiplier: Growth of the waits: the n-th is drawn from 0 to ``min(max, initial * multiplier ** (n - 1))``.
        jitter: ``"full"`` draws each wait evenly from zero up; None waits for the whole of it.
        on: The errors that are retried: exception classes, or a function of the error. By default `transient`.
            `FailedResult` or `ToolError` among the classes retries a result that counts as a failure (``failed_if``,
            ``ToolResult.failure``) too, and a function is asked about it.
        stop: A strategy of tenacity, in place of ``attempts``.
        wait: A strategy of tenacity, in place of ``initial``, ``multiplier`` and ``jitter``.
        retry: A strategy of tenacity, in place of ``on``. It may be about results, as ``retry_if_result`` is.
        deadline: Seconds for the whole call with all its waits: none begins that would end after it, and no attempt
            gets more of its ``timeout`` than is left. Without a ``timeout`` an attempt that has begun runs to its end.
        respect_retry_after: Whether a server's ``Retry-After`` (a header of the error's response, or the error's
            attribute ``retry_after``) wins over the backoff.

    Raises:
        ConfigurationError: A value cannot work, or two contradict.
    """

    def policy(self, info: ToolInfo) -> Policy:
        """The retry policy of one tool."""
        decision = RetryDecision(self, info)
        limit = LogLimit()

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                began = clock.now()
                state: RetryCallState | None = None
                attempt = 1
                while True:
                    call.attempt_began(attempt)
                    outcome = yield from inner(call)
                    delay: float | None = None
                    if decision.is_retryable(outcome):
                        state = state or decision.state(call, began)
                        delay = decision.delay(state, outcome, call)
                    if delay is None:
                        if outcome.error is not None:
                            _note_attempts(outcome.error, attempt, clock.now() - began)
                        call.attempt_ended(outcome, None)
                        return outcome
                    call.attempt_ended(outcome, delay)
                    _log(limit, info.tool, attempt, delay, outcome)
                    yield Sleep(delay)
                    if cancelled():
                        # The caller was told of a timeout meanwhile: nothing may start any more.
                        return outcome
                    attempt += 1

            return flow

        return policy


def _note_attempts(error: BaseException, attempts: int, seconds: float) -> None:
    """Add a note with the number of attempts to the error, and remove that of an earlier call on the same object."""
    with contextlib.suppress(Exception):
        notes = getattr(error, "__notes__", None)
        if notes:
            notes[:] = [note for note in notes if not _is_attempts_note(note)]
        if attempts > 1:
            error.add_note(f"{_NOTE[0]}{attempts}{_NOTE[1]}{seconds:.2f} s")


def _is_attempts_note(note: object) -> bool:
    return isinstance(note, str) and note.startswith(_NOTE[0]) and _NOTE[1] in note


def _log(limit: LogLimit, tool: str, attempt: int, delay: float, outcome: Outcome) -> None:
    """Log that another attempt follows; without the error's message, which may hold secrets.

    A warning for the first of a tool and an error in a minute; the others are for those who look at DEBUG.
    """
    if outcome.error is not None:
        error_type = error_type_of(outcome.error)
    else:
        error_type = outcome.error_type or ToolError.error_type
    held_back = limit.held_back(error_type)
    log_safely(
        logger,
        logging.DEBUG if held_back is None else logging.WARNING,
        "tool %r: attempt %d failed (%s); the next begins in %.3g s%s",
        tool,
        attempt,
        error_type,
        delay,
        f" (and {held_back} more such retries since the last warning)" if held_back else "",
        extra={"tool": tool, "attempt": attempt, "delay": delay, "error_type": error_type},
    )
