"""The words between policies and drivers: a policy yields a step, a driver performs it and sends the answer.

A policy never calls, sleeps, awaits or starts a thread, so it is written once for sync and async tools and can be
tested by sending it values. Errors travel as `Outcome` values and are never thrown into a policy: throwing a
user's ``StopIteration`` into a generator would turn it into a ``RuntimeError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_tools._call.clock import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from concurrent.futures import Future

    from otel_tools._call.scope import Scope

__all__ = [
    "CROWDED",
    "EXPIRED",
    "IS_AWAITED",
    "CacheResult",
    "Call",
    "CircuitState",
    "Flow",
    "Invoke",
    "Next",
    "Outcome",
    "Perform",
    "Policy",
    "Result",
    "Sleep",
    "Step",
    "ThrottlingPolicy",
    "ThrottlingResult",
    "Wait",
    "is_cancellation",
    "loop_runs_here",
    "over",
    "result_of",
]

Result: TypeAlias = Literal["ok", "cached", "fallback", "invalid", "cancelled", "error"]
"""How a call ended; the words of the ``otel_tools.outcome`` attribute."""

CacheResult: TypeAlias = Literal["hit", "miss", "stale", "coalesced", "bypass"]
"""What a cache said: found; not found; expired, served all the same; another call's; it could not be asked."""

ThrottlingPolicy: TypeAlias = Literal["rate_limit", "concurrency"]
"""What a call waits for: a token or a slot."""

ThrottlingResult: TypeAlias = Literal["acquired", "rejected", "cancelled"]
"""What came of asking for it."""

CircuitState: TypeAlias = Literal["closed", "half_open", "open"]
"""Whether attempts are let through, let through on trial, or refused."""


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


EXPIRED: Final = Outcome(None, None, "error")
"""The answer to an `Invoke` whose timeout passed. It is this very object; the policy that set the timeout knows it."""

CROWDED: Final = Outcome(None, None, "error")
"""The answer to an `Invoke` with a timeout where too many functions that timed out are still running; likewise."""


def over(outcome: Outcome) -> Flow:
    """A flow that is over before it does anything, for a policy that is no generator itself.

    A policy that has nothing to do after what is inside it may be a plain function that gives back the inner flow: a
    generator that only delegates is paid for at every step.
    """
    yield from ()
    return outcome


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
    """Run a function once with the call's arguments; answered with its `Outcome`, `EXPIRED` or `CROWDED`.

    Attributes:
        function: What to run; None is the tool's own function.
        timeout: Seconds it may take; None is without end. A sync function then runs on a thread of its own.
    """

    function: Callable[..., Any] | None = None
    timeout: float | None = None


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


@dataclass(frozen=True, slots=True)
class Perform:
    """Do something that may block, such as asking a store; answered with its `Outcome`.

    Attributes:
        blocking: Does it in a sync tool.
        awaiting: Does it in an async tool.
    """

    blocking: Callable[[], Any]
    awaiting: Callable[[], Awaitable[Any]]


def _blocks() -> bool:
    return False


async def _awaits() -> bool:
    return True


IS_AWAITED: Final = Perform(_blocks, _awaits)
"""Answered with whether the rest of the call is awaited; that of a sync tool is only when it gave a coroutine."""


def loop_runs_here() -> bool:
    """Whether this thread runs an event loop."""
    # get_running_loop() would raise where there is none, which takes longer than all else here.
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - documented for those who drive tasks


class Call:
    """One logical use of a tool, with all its attempts.

    This is also the hook protocol: a plan opens one `Call` for each use, and the driver and the policies tell it how
    the use goes. Telemetry listens by being a subclass; its methods never raise and never block.

    Attributes:
        args: Positional arguments as the caller gave them, or as validation made them.
        kwargs: Keyword arguments likewise.
        scope: What the function may ask about this call; None while no policy has set one.
    """

    __slots__ = ("args", "kwargs", "scope")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.scope: Scope | None = None

    def left(self) -> float | None:
        """Seconds until this call's deadline, negative when it is over; None where it has none."""
        if self.scope is None or self.scope.deadline is None:
            return None
        return self.scope.deadline - clock.now()

    def suspend(self) -> None:
        """Control goes back to the caller although the call goes on: a generator has yielded."""

    def resume(self) -> None:
        """The body of a suspended call runs again."""

    def attempt_began(self, number: int) -> None:
        """An attempt begins; the first is number 1. Told by a policy that may make more than one."""

    def attempt_ended(self, outcome: Outcome, retry_in: float | None) -> None:
        """The attempt is over; another follows after so many seconds, or none."""

    def retried(self, error_type: str) -> None:
        """The function itself, already decorated with retries, tried again after such an error."""

    def cache_answered(self, result: CacheResult) -> None:
        """What the cache said to this call; once a call."""

    def queued(self, policy: ThrottlingPolicy) -> None:
        """The call begins to wait for a token or a slot; `throttled` says how the wait ended."""

    def throttled(self, policy: ThrottlingPolicy, result: ThrottlingResult, waited: float | None) -> None:
        """A token or slot was asked for, once an attempt: got, refused or no longer wanted.

        Args:
            policy: Which of the two.
            result: What came of it.
            waited: Seconds since the call was `queued`; None where it never was.
        """

    def store_failed(self, operation: str) -> None:
        """A store could not do something; the call goes on without it, or fails of it."""

    def abandoned(self, change: Literal[1, -1]) -> None:
        """A sync function still runs although its time is over (1), or has at last ended (-1)."""

    def recovered(self, outcome: Outcome) -> None:
        """The call failed with this outcome, and something else will be served in its place."""

    def close(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: Result = "ok",
        error_type: str | None = None,
    ) -> None:
        """The call is over, with what an `Outcome` says; unpacked, so that the plain path need not make one."""


Step: TypeAlias = Invoke | Sleep | Wait | Perform
Flow: TypeAlias = Generator[Step, Any, Outcome]
Next: TypeAlias = Callable[[Call], Flow]
Policy: TypeAlias = Callable[[Next], Next]
"""A policy takes what is inside it and gives back the same thing with itself around."""
