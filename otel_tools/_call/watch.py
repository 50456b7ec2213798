"""`Watch`: follows one call of a tool for the code that makes it, and can end the call from outside.

The watched plan of a tool has two more policies, so that a call that nobody watches pays nothing for it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.call import Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._call.steps import Flow, Next

    OpenCall = Callable[[tuple[Any, ...], dict[str, Any]], Call]

__all__ = ["Watch", "current_watch", "watch_attempt", "watch_call", "watched_open"]


class Watch:
    """Follows one call of a tool. A subclass sees how the call and its attempts end, and may replace the outcome.

    Attributes:
        owner: The tool whose call it follows.
        call: The call; None before it begins. Where a function around the tool calls it again, the latest.
    """

    __slots__ = ("_is_running", "_not_begun", "_over", "call", "owner")

    def __init__(self) -> None:
        self.owner: object = None
        self.call: Call | None = None
        self._is_running = False
        # Popping is atomic: either the call begins or it is over before it has begun.
        self._not_begun: list[None] = [None]
        self._over: Outcome | None = None

    def attempted(self, outcome: Outcome) -> Outcome:
        """An attempt ended so; returns how it counts for the policies around it. Not asked without policies."""
        return outcome

    def ended(self, outcome: Outcome) -> Outcome:
        """The call ends so; returns the outcome that is reported, and that the caller gets."""
        return outcome

    def open(self, open_call: OpenCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Open the call.

        Raises:
            BaseException: It was ended before it began, so the function must not run.
        """
        if self._is_running:
            # The tool calls itself.
            return open_call(args, kwargs)
        self._refuse_if_over()
        if self.call is None:
            try:
                self._not_begun.pop()
            except IndexError:
                self._refuse_if_over()
        self.call = call = open_call(args, kwargs)
        self._is_running = True
        if (over := self._over) is not None:
            call.close(None, over.error, over.result)
            self._refuse_if_over()
        return call

    def end(self, outcome: Outcome) -> bool:
        """End the call from outside with an error, or as cancelled; what it does from now on changes nothing.

        Returns:
            Whether this was its end: False if it ended by itself before, or did not begin.
        """
        self._over = outcome
        return self.call is not None and self.call.close(None, outcome.error, outcome.result) is not False

    def prevent(self) -> bool:
        """Keep a call that has not begun from beginning; returns whether it had not. To be used after `end`."""
        try:
            self._not_begun.pop()
        except IndexError:
            return False
        return True

    def _refuse_if_over(self) -> None:
        if self._over is not None:
            raise self._over.error or RuntimeError("the call was given up before it began")

    def follow(self, flow: Flow) -> Flow:
        """The flow of the call, with `ended` at its end."""
        try:
            return self.ended((yield from flow))
        finally:
            self._is_running = False


current_watch: Final[ContextVar[Watch | None]] = ContextVar("otel_tools-watch", default=None)
"""Who watches the calls of this context."""


def watched_open(open_call: OpenCall, owner: object) -> OpenCall:
    """Opens the record of a call for the watch of the context, if that is about this tool."""

    def open_watched(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        watch = current_watch.get()
        # A context also has the watched plans of the tools that called this one.
        if watch is None or watch.owner is not owner:
            return open_call(args, kwargs)
        return watch.open(open_call, args, kwargs)

    return open_watched


def watch_call(inner: Next) -> Next:
    """The outermost policy of a watched call."""

    def flow(call: Call) -> Flow:
        watch = current_watch.get()
        return inner(call) if watch is None or watch.call is not call else watch.follow(inner(call))

    return flow


def watch_attempt(inner: Next) -> Next:
    """The policy of a watched call that stands between what retries, keeps or replaces results and the function."""

    def flow(call: Call) -> Flow:
        outcome = yield from inner(call)
        watch = current_watch.get()
        return outcome if watch is None or watch.call is not call else watch.attempted(outcome)

    return flow
