"""`Outcome`: how an attempt or a call ended. Errors travel as values between policies and drivers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_tools.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXPIRED",
    "SERVED",
    "TOO_MANY_ABANDONED",
    "Outcome",
    "OutcomeName",
    "ReportsOutcome",
    "is_cancellation",
    "outcome_from",
    "outcome_name_of",
    "outcome_of",
]

OutcomeName: TypeAlias = Literal["ok", "cached", "fallback", "invalid", "cancelled", "error"]
"""How a call ended; the values of the ``otel_tools.outcome`` attribute."""


SERVED: Final[tuple[OutcomeName, ...]] = ("ok", "cached", "fallback")
"""Outcomes with which the caller got a value."""


class ReportsOutcome:
    """The base of values that say how the call ended whose function returned them; `ToolResult` is one."""

    __slots__ = ()

    @property
    def outcome(self) -> tuple[OutcomeName, str | None]:
        """How the call ended, and its ``error.type``."""
        raise NotImplementedError

    @property
    def retry_after(self) -> float | None:
        """Seconds until another call may succeed; None where that is unknown."""
        raise NotImplementedError

    @property
    def message(self) -> str | None:
        """What went wrong; None where nothing did."""
        raise NotImplementedError


class Outcome:
    """How an attempt or a call ended: with a value, or with the error that the caller gets.

    Attributes:
        value: The function's return value; None when it failed.
        error: The exception object that the function raised; the same object is raised to the caller.
        result: How the call ended.
        error_type: The ``error.type`` to report where it is not the class of ``error``.
    """

    __slots__ = ("error", "error_type", "result", "value")

    def __init__(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: OutcomeName = "ok",
        error_type: str | None = None,
    ) -> None:
        self.value = value
        self.error = error
        self.result = result
        self.error_type = error_type

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        """The outcome of a call that raised this exception."""
        return cls(None, error, outcome_name_of(error))

    def __repr__(self) -> str:
        return f"Outcome(value={self.value!r}, error={self.error!r}, result={self.result!r})"


EXPIRED: Final = Outcome(None, None, "error")
"""The answer to an `Invoke` whose timeout passed; compared by identity by the policy that set the timeout."""

TOO_MANY_ABANDONED: Final = Outcome(None, None, "error")
"""The answer to an `Invoke` that was not started: too many functions run on after their timeout. By identity too."""


def outcome_from(value: Any) -> Outcome:
    """The outcome of a function that returned this value."""
    # By the type: isinstance() would run the value's own code where it has a `__class__` of its own.
    return Outcome(value, None, *value.outcome) if issubclass(type(value), ReportsOutcome) else Outcome(value)


def outcome_of(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    """Call a function, and return its value or its exception as an outcome.

    Raises:
        BaseException: The function raised an exception that is not an `Exception`; no policy handles those.
    """
    try:
        return outcome_from(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
        return Outcome.of_error(error)


def outcome_name_of(error: BaseException) -> OutcomeName:
    """How a call ended whose caller gets this exception."""
    if isinstance(error, InvalidArguments):
        # The tool checks its arguments itself: still the model's mistake.
        return "invalid"
    return "cancelled" if is_cancellation(error) else "error"


def is_cancellation(error: BaseException) -> bool:
    """Whether the exception means that the caller gave up, not that the tool failed.

    ``trio.Cancelled`` is recognised by its name, so that trio is not imported.
    """
    if isinstance(error, Exception):
        return False
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)):
        return True
    return type(error).__name__ == "Cancelled"
