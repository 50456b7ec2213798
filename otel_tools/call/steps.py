"""The words between policies and drivers: a policy yields a step, a driver performs it and sends the answer.

A policy never calls, sleeps, awaits or starts a thread, so it is written once for sync and async tools and can be
tested by sending it values. Errors travel as `Outcome` values and are never thrown into a policy: throwing a
user's ``StopIteration`` into a generator would turn it into a ``RuntimeError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = [
    "Call",
    "Flow",
    "Invoke",
    "Next",
    "Outcome",
    "Policy",
    "Result",
    "Sleep",
    "Step",
    "Wait",
    "is_cancellation",
    "result_of",
]

Result: TypeAlias = Literal["ok", "cached", "fallback", "invalid", "cancelled", "error"]
"""How a call ended; the words of the ``otel_tools.outcome`` attribute."""


class Outcome:
    """What came of an attempt or of a whole call: a value, or the error that the caller will get.

    Attributes:
        value: What the function returned; None when it failed.
        error: The exception object that the function raised; it is raised to the caller as it is.
        result: How the call ended.
        error_type: The ``error.type`` to report when it is not told by the class of ``error``.
    """

    __slots__ = ("error", "error_type", "result", "value")

    def __init__(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: Result = "ok",
        error_type: str | None = None,
    ) -> None:
        self.value = value
        self.error = error
        self.result = result
        self.error_type = error_type

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        """The outcome of a call that ended with this exception."""
        return cls(None, error, result_of(error))

    def __repr__(self) -> str:
        return f"Outcome(value={self.value!r}, error={self.error!r}, result={self.result!r})"


def result_of(error: BaseException) -> Result:
    """How a call ended whose caller gets this exception."""
    return "cancelled" if is_cancellation(error) else "error"


def is_cancellation(error: BaseException) -> bool:
    """Whether the exception says that the caller gave up, rather than that the tool failed.

    ``trio.Cancelled`` is known by its name, so that trio is not imported.
    """
    if isinstance(error, Exception):
        return False
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)):
        return True
    return type(error).__name__ == "Cancelled"


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run the tool's function once; answered with the attempt's `Outcome`."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass; answered with None.

    Attributes:
        seconds: How long; zero and less return at once.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a future that another call completes.

    Answered with True when it is done within the timeout, else with False. The future may be shared by waiters in
    threads and in tasks: a waiter that is cancelled does not cancel it.

    Attributes:
        future: What to wait for.
        timeout: Seconds to wait at most; None waits without end.
    """

    future: Future[Any]
    timeout: float | None = None


class Call:
    """One logical use of a tool, with all its attempts.

    This is also the hook protocol: a plan opens one `Call` for each use and the driver tells it how the use went.
    Telemetry listens by being a subclass; its methods never raise and never block.

    Attributes:
        args: Positional arguments as the caller gave them.
        kwargs: Keyword arguments as the caller gave them.
    """

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def suspend(self) -> None:
        """Control goes back to the caller although the call goes on: a generator has yielded."""

    def resume(self) -> None:
        """The body of a suspended call runs again."""

    def close(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: Result = "ok",
        error_type: str | None = None,
    ) -> None:
        """The call is over, with what an `Outcome` says; unpacked, so that the plain path need not make one."""


Step: TypeAlias = Invoke | Sleep | Wait
Flow: TypeAlias = Generator[Step, Any, Outcome]
Next: TypeAlias = Callable[[Call], Flow]
Policy: TypeAlias = Callable[[Next], Next]
"""A policy takes what is inside it and gives back the same thing with itself around."""
