"""The scope of a call: its deadline, and whether anybody still waits for it. A running tool can ask for both."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from otel_tools._call.clock import clock

if TYPE_CHECKING:
    from contextvars import Token

__all__ = ["Scope", "cancelled", "current_scope", "remaining", "reset_current_scope", "time_left"]


class Scope:
    """The deadline and the flag of an attempt, or of a call, as its function can read them.

    Attributes:
        deadline: The time at which it must be over, by the clock; None is never.
        given_up: Whether nobody waits for it any more.
        owner: The identity of the call that the scope belongs to; only compared.
        outer: The scope that was current where this one began: a tool may call a tool.
    """

    __slots__ = ("deadline", "given_up", "outer", "owner")

    def __init__(self, owner: object, deadline: float | None, outer: Scope | None) -> None:
        self.owner = owner
        self.deadline = deadline
        self.given_up = False
        self.outer = outer


current_scope: Final[ContextVar[Scope | None]] = ContextVar("otel_tools-scope", default=None)
"""The innermost scope. Threads and tasks with a copy of the context see it too; those of timeouts have one."""


def reset_current_scope(token: Token[Scope | None]) -> None:
    """Restore the scope that was current before.

    Does nothing in another context: the garbage collector may close a call there, and nothing was current in it.
    """
    with suppress(ValueError):
        current_scope.reset(token)


def remaining() -> float | None:
    """Return the seconds until the earliest timeout or deadline of the running call and of the tools that called it.

    For tools that can pass a deadline on, as in ``httpx.get(url, timeout=remaining())``.

    Returns:
        Seconds, never negative; None when there is no limit, and outside of tools.
    """
    earliest: float | None = None
    scope = current_scope.get()
    while scope is not None:
        if scope.deadline is not None and (earliest is None or scope.deadline < earliest):
            earliest = scope.deadline
        scope = scope.outer
    return None if earliest is None else max(0.0, earliest - clock.now())


def time_left(own: float | None) -> float | None:
    """Seconds until the earliest deadline of a call, of which ``own`` is left, and of the tools around it."""
    around = remaining()
    if own is None or around is None:
        return around if own is None else own
    return min(own, around)


def cancelled() -> bool:
    """Return whether the running call was given up: its timeout passed, or that of a tool that called it.

    For loops in sync tools, which cannot be stopped from outside: ``while not cancelled(): ...``.
    """
    scope = current_scope.get()
    while scope is not None:
        if scope.given_up:
            return True
        scope = scope.outer
    return False
