"""The steps between policies and drivers: a policy yields a step, a driver performs it and sends the answer.

A policy never calls, sleeps, awaits or starts a thread. So it is written once for sync and async tools, and a test can
drive it with values. Errors travel as `Outcome` values and are never thrown into a policy: throwing a user's
``StopIteration`` into a generator would turn it into a ``RuntimeError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from concurrent.futures import Future

__all__ = [
    "IS_AWAITED",
    "Flow",
    "Invoke",
    "Next",
    "Perform",
    "Policy",
    "Sleep",
    "Step",
    "Wait",
    "ended_flow",
    "event_loop_is_running",
]


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run a function once with the call's arguments. Answer: its `Outcome`, `EXPIRED` or `TOO_MANY_ABANDONED`.

    Attributes:
        function: The function; None is the tool's own.
        timeout: Seconds that it may take; None is no limit. With a timeout, a sync function runs on another thread.
    """

    function: Callable[..., Any] | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass. Answer: None.

    Attributes:
        seconds: How long; zero and less return at once.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a future that another call completes. Answer: whether it is done within the timeout.

    Threads and tasks may wait for the same future: the cancellation of one waiter does not cancel the future.

    Attributes:
        future: The future.
        timeout: Seconds to wait at most; None is no limit.
    """

    future: Future[Any]
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Perform:
    """Do something that may block, such as an operation of a store. Answer: its `Outcome`.

    Attributes:
        blocking: Does it in a sync tool.
        awaiting: Does it in an async tool.
    """

    blocking: Callable[[], Any]
    awaiting: Callable[[], Awaitable[Any]]


def _false() -> bool:
    return False


async def _true() -> bool:
    return True


IS_AWAITED: Final = Perform(_false, _true)
"""Answer: whether the rest of the call is awaited. A sync tool's call is awaited only if it returned a coroutine."""

Step: TypeAlias = Invoke | Sleep | Wait | Perform
Flow: TypeAlias = Generator[Step, Any, Outcome]
Next: TypeAlias = Callable[[Call], Flow]
Policy: TypeAlias = Callable[[Next], Next]
"""Wraps the flow that is inside it, and returns a flow of the same type."""


def ended_flow(outcome: Outcome) -> Flow:
    """A flow that ends at once with this outcome, for a policy that is not a generator itself.

    A policy that does nothing after the inner flow can be a plain function that returns the inner flow: a generator
    that only delegates costs time at every step.
    """
    yield from ()
    return outcome


def event_loop_is_running() -> bool:
    """Whether this thread runs an event loop."""
    # get_running_loop() raises where there is none, which takes longer than the rest of a call.
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - documented for those who drive tasks
