"""Is a failed call tried again, and when? The options, and the loop; `Judge` decides and the drivers sleep."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

from otel_tools._call.clock import clock
from otel_tools._call.steps import Sleep
from otel_tools._policies.checks import is_number
from otel_tools._policies.retry.decision import NEVER_RETRIED, Judge, is_async
from otel_tools._policies.retry.transient import transient
from otel_tools.errors import ConfigurationError, ToolError, error_type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Call, Flow, Next, Outcome, Policy

__all__ = ["Retry"]

logger = logging.getLogger("otel_tools.policies.retry")

Retried: TypeAlias = "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]"

_STRATEGIES: Final = {
    "stop": "stop_after_delay(60)",
    "wait": "wait_fixed(1)",
    "retry": "retry_if_exception_type(OSError)",
}
"""The options that take a strategy of tenacity, each with an example."""

_NOTE: Final = ("otel_tools: ", " attempts in ")


class _DefaultInt(int):
    """A default that can be told from the same number given by the user, which would contradict another option."""


class _DefaultFloat(float):
    """As `_DefaultInt`."""


@dataclass(frozen=True, slots=True, eq=False)
class Retry:
    """Try a call again that failed of something that may pass.

    Never tried again, whatever is asked for: arguments that were refused (`InvalidArguments`), attempts that a policy
    refused (`RateLimited`, `ConcurrencyLimited`, `CircuitOpen`), cancellation, and exceptions that are no `Exception`.
    A `ToolTimeout` is a `TimeoutError` and is retried as one. The caller gets the last error as it is, with a note of
    how many attempts there were; where results are retried, the last result.

    Args:
        attempts: Attempts at most, the first included.
        initial: Seconds from which the first wait is drawn.
        max: Seconds that a wait of the backoff takes at most; a ``wait`` strategy has its own bounds. A
            ``Retry-After`` beyond it ends the retrying, with ``wait`` too.
        multiplier: By what the waits grow: the n-th is drawn from 0 to ``min(max, initial * multiplier ** (n - 1))``.
        jitter: ``"full"`` draws each wait evenly from zero up; None waits for the whole of it.
        on: What is retried: exception classes, or a function of the error. By default what `transient` knows.
        stop: A strategy of tenacity, in place of ``attempts``.
        wait: A strategy of tenacity, in place of ``initial``, ``multiplier`` and ``jitter``.
        retry: A strategy of tenacity, in place of ``on``. It may be about results, as ``retry_if_result`` is.
        deadline: Seconds for the whole call with all its waits: none begins that would end after it, and no attempt
            gets more of its ``timeout`` than is left. Without a ``timeout`` an attempt that has begun runs to its end.
        respect_retry_after: Whether a server's ``Retry-After`` (a header of the error's response, or the error's
            attribute ``retry_after``) wins over the backoff.

    A function given here that raises is logged and ends the retrying: the caller gets the tool's own error.

    Raises:
        ConfigurationError: A value cannot work, or two contradict.
    """

    attempts: int = _DefaultInt(3)
    initial: float = _DefaultFloat(0.5)
    max: float = 30.0
    multiplier: float = _DefaultFloat(2.0)
    jitter: Literal["full"] | None = "full"
    on: Retried = transient
    stop: Callable[[RetryCallState], bool] | None = None
    wait: Callable[[RetryCallState], float] | None = None
    retry: Callable[[RetryCallState], bool] | None = None
    deadline: float | None = None
    respect_retry_after: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        self._check_numbers()
        if self.jitter is not None and self.jitter != "full":
            self._refuse("jitter", "'full' or None is needed")
        if type(self.respect_retry_after) is not bool:
            self._refuse("respect_retry_after", "True or False is needed")
        self._check_on()
        for option in _STRATEGIES:
            self._check_strategy(option)
        self._check_contradictions()

    def policy(self, info: ToolInfo) -> Policy:
        """The policy around one tool."""
        judge = Judge(self, info)

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                began = clock.now()
                state: RetryCallState | None = None
                attempt = 1
                while True:
                    call.attempt_began(attempt)
                    outcome = yield from inner(call)
                    delay: float | None = None
                    if judge.has_a_say(outcome):
                        state = state or judge.state(call, began)
                        delay = judge.delay(state, outcome, call)
                    if delay is None:
                        if outcome.error is not None:
                            _note(outcome.error, attempt, clock.now() - began)
                        call.attempt_ended(outcome, None)
                        return outcome
                    call.attempt_ended(outcome, delay)
                    _log(info.tool, attempt, delay, outcome)
                    yield Sleep(delay)
                    attempt += 1

            return flow

        return policy

    def _check_numbers(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or self.attempts < 1:
            self._refuse("attempts", "a whole number from 1 is needed; 1 is without a second attempt")
        for option, least in (("initial", 0), ("max", 0), ("multiplier", 1)):
            value = getattr(self, option)
            if not is_number(value) or value < least:
                self._refuse(option, f"a number from {least} is needed")
        if self.max < self.initial and type(self.initial) is not _DefaultFloat:
            self._refuse("max", f"seconds from initial={self.initial!r} up are needed")
        if self.deadline is not None and (not is_number(self.deadline) or self.deadline <= 0):
            self._refuse("deadline", "seconds above 0, or None, are needed")

    def _check_on(self) -> None:
        needed = "an exception class, a tuple of them, or a function of the error is needed"
        if isinstance(self.on, (type, tuple)):
            kinds: tuple[Any, ...] = self.on if isinstance(self.on, tuple) else (self.on,)
            if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
                self._refuse("on", needed)
            for kind in kinds:
                if not issubclass(kind, Exception) or issubclass(kind, NEVER_RETRIED):
                    self._refuse("on", f"{kind.__name__} is never retried")
        elif not callable(self.on):
            self._refuse("on", needed)
        elif is_async(self.on):
            self._refuse("on", "the function is called in sync tools too, so it must not be async")

    def _check_strategy(self, option: str) -> None:
        strategy = getattr(self, option)
        if strategy is None:
            return
        example = f"such as tenacity.{_STRATEGIES[option]}"
        if isinstance(strategy, type):
            self._refuse(option, f"a strategy is needed, not its class, {example}")
        if not callable(strategy):
            self._refuse(option, f"a strategy of tenacity, or a function of its RetryCallState, is needed, {example}")
        if is_async(strategy):
            self._refuse(option, f"a strategy is asked in sync tools too, so it must not be async, {example}")

    def _check_contradictions(self) -> None:
        if self.retry is not None and self.on is not transient:
            self._refuse("on", f"contradicts retry={self.retry!r}; one of the two is needed")
        if self.stop is not None and type(self.attempts) is not _DefaultInt:
            self._refuse(
                "attempts",
                f"contradicts stop={self.stop!r}; one of the two is needed, or both as "
                f"stop=stop_after_attempt({self.attempts!r}) | ...",
            )
        for option in ("initial", "multiplier"):
            if self.wait is not None and type(getattr(self, option)) is not _DefaultFloat:
                self._refuse(option, f"contradicts wait={self.wait!r}; one of the two is needed")

    def _refuse(self, option: str, why: str) -> NoReturn:
        raise ConfigurationError(f"Retry({option}={getattr(self, option)!r}): {why}")


def _note(error: BaseException, attempts: int, seconds: float) -> None:
    """Say on the error how many attempts there were, in place of what an earlier call said on the same object."""
    with contextlib.suppress(Exception):
        notes = getattr(error, "__notes__", None)
        if notes:
            notes[:] = [note for note in notes if not _is_note_of_ours(note)]
        if attempts > 1:
            error.add_note(f"{_NOTE[0]}{attempts}{_NOTE[1]}{seconds:.2f} s")


def _is_note_of_ours(note: object) -> bool:
    return isinstance(note, str) and note.startswith(_NOTE[0]) and _NOTE[1] in note


def _log(tool: str, attempt: int, delay: float, outcome: Outcome) -> None:
    """Say that another attempt follows; without the error's message, which may hold secrets."""
    if outcome.error is not None:
        error_type = error_type_of(outcome.error)
    else:
        error_type = outcome.error_type or ToolError.error_type
    with contextlib.suppress(Exception):
        logger.warning(
            "tool %r: attempt %d failed (%s); the next begins in %.3g s",
            tool,
            attempt,
            error_type,
            delay,
            extra={"tool": tool, "attempt": attempt, "delay": delay, "error_type": error_type},
        )
