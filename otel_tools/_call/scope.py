"""What a running tool can ask about its own call: how long it has left, and whether anybody still waits for it."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from otel_tools._call.clock import clock

if TYPE_CHECKING:
    from contextvars import Token

    from otel_tools._call.call import Call

__all__ = ["Scope", "cancelled", "current", "leave", "remaining"]


class Scope:
    """One attempt, or one call, as the function that runs in it may know it.

    Attributes:
        deadline: When its time is over, by the clock; None is never.
        given_up: Whether nobody waits for it any more.
        call: The call that it belongs to.
        outer: The scope that was current where this one began: a tool may be called by a tool.
    """

    __slots__ = ("call", "deadline", "given_up", "outer")

    def __init__(self, call: Call | None, deadline: float | None, outer: Scope | None) -> None:
        self.call = call
        self.deadline = deadline
        self.given_up = False
        self.outer = outer


current: Final[ContextVar[Scope | None]] = ContextVar("otel_tools-scope", default=None)
"""The innermost scope. Threads and tasks that copy their context (timeouts do) see it too."""


def leave(token: Token[Scope | None]) -> None:
    """Put back what was current before; where the garbage collector closes a call in another context, nothing was."""
    with suppress(ValueError):
        current.reset(token)


def remaining() -> float | None:
    """Seconds that are left of the running call: until its timeout, its deadline, or those of a tool around it.

    For tools that can pass a deadline on, as in ``httpx.get(url, timeout=remaining())``.

    Returns:
        0.0 when the time is over; None when there is no limit, and outside of tools.
    """
    earliest: float | None = None
    scope = current.get()
    while scope is not None:
        if scope.deadline is not None and (earliest is None or scope.deadline < earliest):
            earliest = scope.deadline
        scope = scope.outer
    return None if earliest is None else max(0.0, earliest - clock.now())


def cancelled() -> bool:
    """Whether the running call was given up: its ``timeout`` passed, or that of a tool around it, and nobody waits.

    For loops in sync tools, which cannot be stopped from outside: ``while not cancelled(): ...``.
    """
    scope = current.get()
    while scope is not None:
        if scope.given_up:
            return True
        scope = scope.outer
    return False
