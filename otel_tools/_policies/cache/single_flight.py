"""Single flight: of several calls with the same key at once, one runs and the others wait for its result.

The name is that of Go's ``golang.org/x/sync/singleflight``. No call waits where that could be for ever. By its context,
every call knows the in-flight calls that it is part of. An in-flight call that waits for another one notes that. A call
never waits for an in-flight call that itself waits, directly or over others, for one that the call is part of: it runs
on its own instead.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, Token
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from otel_tools._call.forks import at_fork, reset_after_fork
from otel_tools._call.steps import event_loop_is_running

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from types import TracebackType

    from otel_tools._call.outcome import Outcome
    from otel_tools._policies.cache.memory import Entry

__all__ = ["InFlightCall", "InFlightCalls", "SharedResult", "Waiter", "deliver", "enter", "leave"]


T = TypeVar("T")


class SharedResult(NamedTuple):
    """The result of an in-flight call, for those who wait for it.

    Attributes:
        outcome: How it ended, without the value.
        traceback: The traceback of the outcome's error at that time: each call that raises the error adds to it.
        copy: Returns a copy of the value; None where there is none.
        stale: The expired entry of the cache, if there is one.
    """

    outcome: Outcome
    traceback: TracebackType | None
    copy: Callable[[], Any] | None
    stale: Entry | None


class InFlightCall:
    """One running call that others may wait for.

    Attributes:
        thread: The thread in which it began.
        done: Whether it is over.
        outdated: Whether its key was invalidated while it ran: its value is not to be kept.
        waiters: The calls that wait for it.
        waits_for: The in-flight calls that its own call, or one made by it, waits for.
    """

    # Defaults of the class: most have no waiters, and setting these attributes would double the time to make one.
    thread: int
    done: bool = False
    outdated: bool = False
    waiters: tuple[Waiter, ...] = ()
    waits_for: tuple[InFlightCall, ...] = ()


class Waiter:
    """One call that waits for an in-flight call.

    Attributes:
        in_flight: The call that it waits for.
        future: Its result is that call's result; None where that call was cancelled, and the waiter has to join again.
            Each waiter has a future of its own, so that nothing stays behind when it leaves.
    """

    __slots__ = ("_part_of", "future", "in_flight")

    def __init__(self, in_flight: InFlightCall, part_of: tuple[InFlightCall, ...]) -> None:
        self.in_flight = in_flight
        self.future: Future[SharedResult | None] = Future()
        self._part_of = part_of
        in_flight.waiters += (self,)
        for outer in part_of:
            outer.waits_for += (in_flight,)

    def leave(self) -> None:
        """Stop waiting, for whatever reason. To be called once."""
        with _graph.lock:
            for outer in self._part_of:
                outer.waits_for = _without(self.in_flight, outer.waits_for)
            self.in_flight.waiters = _without(self, self.in_flight.waiters)


def _without(item: T, items: tuple[T, ...]) -> tuple[T, ...]:
    """The items but one; it may be gone already, with the end of the in-flight call or with a fork."""
    if item not in items:
        return items
    at = items.index(item)
    return items[:at] + items[at + 1 :]


class _Graph:
    """The lock over "which in-flight call waits for which", of all caches together.

    Attributes:
        lock: Held for a few lines at a time, and never while waiting.
        busy: Whether a change of several steps is being made. The garbage collector may call a tool in the thread that
            makes it, and that call must not wait.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.busy = False

    @contextmanager
    def changing(self) -> Iterator[bool]:
        """Hold the lock for a change of several steps; whether no other such change is being made."""
        with self.lock:
            first, self.busy = not self.busy, True
            try:
                yield first
            finally:
                self.busy = not first


_graph: Final = _Graph()
_part_of: Final[ContextVar[tuple[InFlightCall, ...]]] = ContextVar("otel_tools-flights", default=())


class InFlightCalls:
    """The in-flight calls of one cache, by key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, InFlightCall] = {}
        reset_after_fork(self)

    def __len__(self) -> int:
        return len(self._by_key)

    def join(self, key: Hashable, *, blocking: bool) -> InFlightCall | Waiter | None:
        """Become the in-flight call of a key, or a waiter for the one that there is.

        Args:
            key: The key of the call.
            blocking: Whether the caller would block its thread while it waits.

        Returns:
            A new in-flight call, to be ended by `end`; a waiter, to be ended by its `leave`; or None for a call that
            must run on its own.
        """
        fresh = InFlightCall()
        fresh.thread = get_ident()
        while True:
            # One step under the interpreter's own lock: an in-flight call without waiters needs no other lock to begin.
            in_flight = self._by_key.setdefault(key, fresh)
            if in_flight is fresh:
                return in_flight
            with _graph.changing() as first:
                if in_flight.done:
                    continue  # It ended just now, and is no longer found.
                part_of = tuple([outer for outer in _part_of.get() if not outer.done])
                if not first or _would_hang(in_flight, part_of, blocking=blocking):
                    return None
                return Waiter(in_flight, part_of)

    def end(self, key: Hashable, in_flight: InFlightCall) -> tuple[Waiter, ...]:
        """End an in-flight call; the waiters that it returns are to be given its result by `deliver`."""
        with _graph.lock:
            if self._by_key.get(key) is in_flight:
                del self._by_key[key]
            # In this order: a call that finds it done joins again, and must not find it again.
            in_flight.done = True
            waiters = in_flight.waiters
            if waiters:
                in_flight.waiters = ()
        return waiters

    def outdate(self, has_key: Callable[[Any], bool]) -> None:
        """Mark the in-flight calls of some keys: their values are not kept, and later calls do not wait for them."""
        with _graph.lock:
            # A list of them at once, since others begin without the lock.
            for key in [key for key in list(self._by_key) if has_key(key)]:
                self._by_key.pop(key).outdated = True

    def reset_after_fork(self) -> None:
        """Remove all in a forked child: the threads that run the calls, or wait for them, are the parent's."""
        for in_flight in self._by_key.values():
            in_flight.waiters, in_flight.waits_for = (), ()
        self._by_key = {}


def deliver(waiters: tuple[Waiter, ...], result: SharedResult | None) -> None:
    """Give waiters the result. Not under the lock: callbacks of their futures run here."""
    for waiter in waiters:
        waiter.future.set_result(result)


def enter(in_flight: InFlightCall | None) -> Token[tuple[InFlightCall, ...]]:
    """Make the calls of this context part of the in-flight call, until `leave` is called with the token."""
    earlier = _part_of.get()
    if in_flight is None:
        return _part_of.set(earlier)
    return _part_of.set((*[outer for outer in earlier if not outer.done], in_flight) if earlier else (in_flight,))


def leave(token: Token[tuple[InFlightCall, ...]] | None) -> None:
    """Undo `enter`, if it was reached."""
    if token is None:
        return
    try:
        _part_of.reset(token)
    except ValueError:  # The garbage collector closes a call that nobody awaits any more, in any context.
        return


def _would_hang(in_flight: InFlightCall, part_of: tuple[InFlightCall, ...], *, blocking: bool) -> bool:
    """Whether a call that is part of some in-flight calls could wait for this one for ever."""
    # The call of a sync tool that returned a coroutine may need this very loop to go on.
    if blocking and (in_flight.thread == get_ident() or event_loop_is_running()):
        return True
    seen: set[int] = set()
    to_visit = [in_flight]
    while part_of and to_visit:
        visited = to_visit.pop()
        if visited in part_of:
            return True
        if id(visited) not in seen:
            seen.add(id(visited))
            to_visit += visited.waits_for
    return False


def _after_fork() -> None:
    # A thread that is not in the child may hold the lock.
    _graph.lock, _graph.busy = RLock(), False


at_fork(after_in_child=_after_fork)
