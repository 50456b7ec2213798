"""Decides whether another attempt follows an outcome, and after how many seconds, by tenacity's strategies."""

from __future__ import annotations

import inspect
import logging
import math
from typing import TYPE_CHECKING, Any

from otel_tools._call.clock import clock
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.scope import cancelled, remaining
from otel_tools._policies.failed_result import error_of, names_failed_results
from otel_tools._policies.retry.options import NEVER_RETRIED
from otel_tools._policies.retry.transient import retry_after, transient
from otel_tools._policies.third_party_private import ignores_results

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._policies.retry.options import RetryOptions

__all__ = ["RetryDecision"]

logger = logging.getLogger("otel_tools.policies.retry_judge")


class RetryDecision:
    """Decides after each attempt of one tool whether and when the next one follows.

    Built at decoration; holds no state of any call.

    Args:
        options: The tool's retry options.
        info: The tool.
    """

    __slots__ = (
        "_asks_on",
        "_info",
        "_max_delay",
        "_respect_retry_after",
        "_retry",
        "_retrying",
        "_sees_results",
        "_stop",
        "_tenacity",
        "_wait",
    )

    def __init__(self, options: RetryOptions, info: ToolInfo) -> None:
        import tenacity  # noqa: PLC0415 - `import otel_tools` does not load it

        self._tenacity = tenacity
        self._info = info
        self._max_delay = options.max
        self._respect_retry_after = options.respect_retry_after
        self._stop = tenacity.stop_after_attempt(options.attempts) if options.stop is None else options.stop
        growing = tenacity.wait_exponential if options.jitter is None else tenacity.wait_random_exponential
        backoff = growing(multiplier=options.initial, max=options.max, exp_base=options.multiplier)
        self._wait = backoff if options.wait is None else options.wait
        on = tenacity.retry_if_exception(_predicate(options.on))
        self._retry = on if options.retry is None else options.retry
        on_results = names_failed_results(options.on) if isinstance(options.on, (type, tuple)) else True
        self._asks_on = options.retry is None and options.on is not transient and on_results
        self._sees_results = not ignores_results(self._retry)
        # Nothing runs in it. It is there because a strategy may read the object that it is part of.
        self._retrying = tenacity.Retrying(stop=self._stop, wait=self._wait, retry=self._retry)

    def is_retryable(self, outcome: Outcome) -> bool:
        """Whether another attempt may follow such an outcome at all; the strategies have the last word."""
        error = outcome.error
        if error is None:
            return self._sees_results or (self._asks_on and outcome.result == "error")
        return outcome.result == "error" and isinstance(error, Exception) and not isinstance(error, NEVER_RETRIED)

    def state(self, call: Call, began: float) -> RetryCallState:
        """The state of a call that tenacity's strategies read; to be made when its first attempt has ended."""
        state = self._tenacity.RetryCallState(self._retrying, self._info.function, call.args, call.kwargs)
        state.start_time = began
        return state

    def delay(self, state: RetryCallState, outcome: Outcome, call: Call) -> float | None:
        """Seconds after which the next attempt begins; None where there is none.

        The strategies are called in tenacity's own order, so that ``stop_before_delay`` knows of the sleep to come.
        """
        # A strategy of tenacity sees the result of an attempt that returned one.
        error = error_of(outcome, self._info.tool) if self._asks_on else outcome.error
        self._record(state, outcome, error)
        try:
            if not isinstance(error, self._tenacity.TryAgain) and not _as_bool(self._retry(state)):
                return None
            delay = self._requested_delay(state, error)
            if delay is None:
                return None
            state.upcoming_sleep = delay
            if _as_bool(self._stop(state)):
                return None
        except Exception:  # noqa: BLE001 - the user's own code; logged, and the call goes on
            log_safely(
                logger,
                logging.ERROR,
                "the retry options of tool %r raised; it is not tried again",
                self._info.tool,
                exc_info=True,
            )
            return None
        # Nobody would wait for the next attempt: neither this call's caller nor that of a tool which called it.
        if cancelled() or any(left is not None and delay >= left for left in (call.left(), remaining())):
            return None
        state.idle_for += delay
        state.next_action = self._tenacity.RetryAction(delay)
        return delay

    def _record(self, state: RetryCallState, outcome: Outcome, error: BaseException | None) -> None:
        """Put the outcome of the latest attempt into the state, at the time of our own clock."""
        if state.outcome is not None:
            state.attempt_number += 1
            state.next_action = None
        # As tenacity's own methods do, by the attributes that it documents.
        future = self._tenacity.Future(state.attempt_number)
        if error is None:
            future.set_result(outcome.value)
        else:
            future.set_exception(error)
        state.outcome = future
        state.outcome_timestamp = clock.now()

    def _requested_delay(self, state: RetryCallState, error: BaseException | None) -> float | None:
        """The server's ``Retry-After`` in seconds, else the backoff's; None where the server's is beyond ``max``."""
        if self._respect_retry_after and error is not None:
            requested = retry_after(error)
            if requested is not None:
                return requested if requested <= self._max_delay else None
        delay = float(self._wait(state))
        if not math.isfinite(delay):
            raise ValueError(f"the wait strategy said {delay} s")
        return max(0.0, delay)


def _predicate(on: Any) -> Callable[[BaseException], bool]:
    if isinstance(on, (type, tuple)):
        return lambda error: isinstance(error, on)
    return lambda error: _as_bool(on(error))


def _as_bool(answer: object) -> bool:
    """The answer as a bool.

    An awaitable would always be true, and not every function that returns one can be recognised beforehand.

    Raises:
        TypeError: The answer is an awaitable.
    """
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("a strategy must not be async")
    return bool(answer)
