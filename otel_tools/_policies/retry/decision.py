"""Does another attempt follow this outcome, and after how long? tenacity's strategies are asked."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._call.scope import cancelled, remaining
from otel_tools._policies.retry.transient import retry_after
from otel_tools.errors import REFUSED, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Call, Outcome
    from otel_tools._policies.retry.retry import Retry

__all__ = ["NEVER_RETRIED", "Judge", "is_async"]

logger = logging.getLogger("otel_tools.policies.retry_judge")

NEVER_RETRIED: Final = (InvalidArguments, *REFUSED)
"""Another attempt would be refused as the last one was, or in vain."""

_PARTS: Final = ("retries", "stops", "wait_funcs", "strategies", "predicate")
"""The attributes in which tenacity's strategies keep what they are made of."""


class Judge:
    """What is decided for one tool after an attempt. Built at decoration; keeps nothing of any call.

    Args:
        options: What the tool was given.
        info: The tool.
    """

    __slots__ = (
        "_info",
        "_longest",
        "_respects",
        "_retry",
        "_retrying",
        "_sees_results",
        "_stop",
        "_tenacity",
        "_wait",
    )

    def __init__(self, options: Retry, info: ToolInfo) -> None:
        import tenacity  # noqa: PLC0415 - `import otel_tools` does not load it

        self._tenacity = tenacity
        self._info = info
        self._longest = options.max
        self._respects = options.respect_retry_after
        self._stop = tenacity.stop_after_attempt(options.attempts) if options.stop is None else options.stop
        growing = tenacity.wait_exponential if options.jitter is None else tenacity.wait_random_exponential
        backoff = growing(multiplier=options.initial, max=options.max, exp_base=options.multiplier)
        self._wait = backoff if options.wait is None else options.wait
        on = tenacity.retry_if_exception(_predicate(options.on))
        self._retry = on if options.retry is None else options.retry
        self._sees_results = not _is_about_errors_alone(self._retry)
        # Nothing runs in it: a strategy may ask for what it is part of.
        self._retrying = tenacity.Retrying(stop=self._stop, wait=self._wait, retry=self._retry)

    def has_a_say(self, outcome: Outcome) -> bool:
        """Whether the outcome is one that another attempt may follow at all."""
        error = outcome.error
        if error is None:
            return self._sees_results
        return outcome.result == "error" and isinstance(error, Exception) and not isinstance(error, NEVER_RETRIED)

    def state(self, call: Call, began: float) -> RetryCallState:
        """What the strategies are shown of a call, to be made when its first attempt has ended."""
        state = self._tenacity.RetryCallState(self._retrying, self._info.function, call.args, call.kwargs)
        state.start_time = began
        return state

    def delay(self, state: RetryCallState, outcome: Outcome, call: Call) -> float | None:
        """Seconds after which the call is tried again; None where it is not.

        The strategies are asked in tenacity's own order, so that ``stop_before_delay`` knows of the sleep to come.
        """
        _tell(state, outcome)
        try:
            if not isinstance(outcome.error, self._tenacity.TryAgain) and not _truth(self._retry(state)):
                return None
            delay = self._wanted(state, outcome)
            if delay is None:
                return None
            state.upcoming_sleep = delay
            if _truth(self._stop(state)):
                return None
        except Exception:
            with contextlib.suppress(Exception):
                logger.exception("the retry options of tool %r raised; it is not tried again", self._info.tool)
            return None
        # Nobody would wait for the attempt after it: neither this call's caller nor that of a tool around it.
        if cancelled() or any(left is not None and delay >= left for left in (call.left(), remaining())):
            return None
        state.idle_for += delay
        state.next_action = self._tenacity.RetryAction(delay)
        return delay

    def _wanted(self, state: RetryCallState, outcome: Outcome) -> float | None:
        """Seconds that the server asks for, else those of the backoff; None where the server asks for too many."""
        if self._respects and outcome.error is not None:
            asked = retry_after(outcome.error)
            if asked is not None:
                return asked if asked <= self._longest else None
        delay = float(self._wait(state))
        if not math.isfinite(delay):
            raise ValueError(f"the wait strategy said {delay} s")
        return max(0.0, delay)


def is_async(function: object) -> bool:
    """Whether a function or a strategy, or something that the strategy is made of, must be awaited."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return True
    if not type(function).__module__.startswith("tenacity."):
        return False
    kept = (getattr(function, name, ()) for name in _PARTS)
    return any(is_async(part) for parts in kept for part in (parts if isinstance(parts, (tuple, list)) else (parts,)))


def _tell(state: RetryCallState, outcome: Outcome) -> None:
    """Put the outcome of the latest attempt into what the strategies are shown, at the time of our own clock."""
    if state.outcome is not None:
        state.prepare_for_next_attempt()
    if outcome.error is None:
        state.set_result(outcome.value)
    else:
        state.set_exception((type(outcome.error), outcome.error, outcome.error.__traceback__))
    state.outcome_timestamp = clock.now()


def _predicate(on: Any) -> Callable[[BaseException], bool]:
    if isinstance(on, (type, tuple)):
        return lambda error: isinstance(error, on)
    return lambda error: _truth(on(error))


def _truth(answer: object) -> bool:
    """The answer as true or false. One to be awaited would always be true: not every async function shows itself."""
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("a strategy must not be async")
    return bool(answer)


def _is_about_errors_alone(strategy: Any) -> bool:
    """Whether a strategy is known to say no to every result, so that it need not be asked when all goes well."""
    import tenacity  # noqa: PLC0415 - as above

    kind = type(strategy)
    if kind is tenacity.retry_any:
        return all(map(_is_about_errors_alone, strategy.retries))
    if kind is tenacity.retry_all:
        return any(map(_is_about_errors_alone, strategy.retries))
    return kind in {
        tenacity.retry_if_exception,
        tenacity.retry_if_exception_type,
        tenacity.retry_if_not_exception_type,
        tenacity.retry_if_exception_message,
        tenacity.retry_if_exception_cause_type,
        type(tenacity.retry_never),
    }
