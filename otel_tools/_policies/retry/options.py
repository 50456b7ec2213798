"""The options of `Retry`, and the checks that they can work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

from otel_tools._call.error_types import REFUSED
from otel_tools._policies.checks import is_finite_number
from otel_tools._policies.pydantic_fields import FieldOfModels
from otel_tools._policies.retry.transient import transient
from otel_tools._policies.third_party_private import is_async
from otel_tools.errors import ConfigurationError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

__all__ = ["NEVER_RETRIED", "RetryOptions"]

NEVER_RETRIED: Final = (InvalidArguments, *REFUSED)
"""Errors that are never retried: the next attempt would be refused as well, or would be in vain."""

RetriedErrors: TypeAlias = "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]"

_STRATEGY_EXAMPLES: Final = {
    "stop": "stop_after_delay(60)",
    "wait": "wait_fixed(1)",
    "retry": "retry_if_exception_type(OSError)",
}
"""The options that take a strategy of tenacity, each with an example for error messages."""


class _DefaultInt(int):
    """A default value that differs in type from the same number given by the user.

    A number that the user gave can contradict another option; a default cannot.
    """


class _DefaultFloat(float):
    """As `_DefaultInt`."""


@dataclass(frozen=True, slots=True, eq=False)
class RetryOptions(FieldOfModels):
    """The options of `Retry`, checked. `Retry` documents each of them.

    Raises:
        ConfigurationError: A value cannot work, or two contradict.
    """

    attempts: int = _DefaultInt(3)
    initial: float = _DefaultFloat(0.5)
    max: float = 30.0
    multiplier: float = _DefaultFloat(2.0)
    jitter: Literal["full"] | None = "full"
    on: RetriedErrors = transient
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
        for option in _STRATEGY_EXAMPLES:
            self._check_strategy(option)
        self._check_contradictions()

    def _check_numbers(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or self.attempts < 1:
            self._refuse("attempts", "a whole number from 1 is needed; 1 is without a second attempt")
        for option, minimum in (("initial", 0), ("max", 0), ("multiplier", 1)):
            value = getattr(self, option)
            if not is_finite_number(value) or value < minimum:
                self._refuse(option, f"a number from {minimum} is needed")
        if self.max < self.initial and type(self.initial) is not _DefaultFloat:
            self._refuse("max", f"seconds from initial={self.initial!r} up are needed")
        if self.deadline is not None and (not is_finite_number(self.deadline) or self.deadline <= 0):
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
        example = f"such as tenacity.{_STRATEGY_EXAMPLES[option]}"
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
