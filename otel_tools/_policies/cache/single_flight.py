"""Single flight: of several calls that want the same at once, one goes and the others wait for what it brings.

No call waits where that could be for ever. Every call knows, by its context, which flights it is itself a part of; a
flight that waits for another says so; and a call never waits for a flight that waits, over however many others, for
one that the call is part of. It runs on its own instead.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, Token
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from weakref import WeakSet

from otel_tools._call.forks import at_fork
from otel_tools._call.steps import loop_runs_here

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from types import TracebackType

    from otel_tools._call.steps import Outcome
    from otel_tools._policies.cache.memory import Entry

__all__ = ["Flight", "Flights", "Landing", "Ticket", "follow", "hand_over", "lead"]


T = TypeVar("T")


class Landing(NamedTuple):
    """What a flight brought.

    Attributes:
        outcome: How it ended, without the value.
        traceback: That of the outcome's error, as it was then: each call that raises the error adds to it.
        make: Gives a copy of the value; None where there is none.
        stale: The expired entry of the cache, if there is one.
    """

    outcome: Outcome
    traceback: TracebackType | None
    make: Callable[[], Any] | None
    stale: Entry | None


class Flight:
    """One call that others may wait for.

    Attributes:
        thread: Where its leader began.
        done: Whether it is over.
        outdated: Whether what it brings was invalidated while it was under way: it is not to be kept.
        tickets: What those who wait for it hold.
        waits_for: The flights that its own call, or one made by it, waits for.
    """

    # Defaults of the class: nobody waits for most flights, and to begin one would take half of the time that it costs.
    thread: int
    done: bool = False
    outdated: bool = False
    tickets: tuple[Ticket, ...] = ()
    waits_for: tuple[Flight, ...] = ()


class Ticket:
    """The place of one call that waits for a flight.

    Attributes:
        flight: What it waits for.
        future: Its result is what the flight brought; None when its leader was cancelled, and whoever waits looks
            again. Each ticket has one of its own, so that nothing stays behind of those who leave.
    """

    __slots__ = ("_part_of", "flight", "future")

    def __init__(self, flight: Flight, part_of: tuple[Flight, ...]) -> None:
        self.flight = flight
        self.future: Future[Landing | None] = Future()
        self._part_of = part_of
        flight.tickets += (self,)
        for mine in part_of:
            mine.waits_for += (flight,)

    def leave(self) -> None:
        """Wait no longer, for whatever reason. To be called once."""
        with _graph.lock:
            for mine in self._part_of:
                mine.waits_for = _without(self.flight, mine.waits_for)
            self.flight.tickets = _without(self, self.flight.tickets)


def _without(one: T, several: tuple[T, ...]) -> tuple[T, ...]:
    """All but one of them; it may be gone already, with the end of the flight or with a fork."""
    if one not in several:
        return several
    at = several.index(one)
    return several[:at] + several[at + 1 :]


class _Graph:
    """Which flight waits for which, over all caches: one lock guards them all.

    Attributes:
        lock: Held for a few lines at a time, and never while waiting.
        busy: Whether more than one thing is being done: the garbage collector may call a tool in the very thread that
            does it, and that call must not wait.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.busy = False

    @contextmanager
    def changing(self) -> Iterator[bool]:
        """Hold the lock to do more than one thing; whether that is for the first time."""
        with self.lock:
            first, self.busy = not self.busy, True
            try:
                yield first
            finally:
                self.busy = not first


_graph: Final = _Graph()
_part_of: Final[ContextVar[tuple[Flight, ...]]] = ContextVar("otel_tools-flights", default=())
_all: Final[WeakSet[Flights]] = WeakSet()


class Flights:
    """The flights of one cache that are under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, Flight] = {}
        _all.add(self)

    def __len__(self) -> int:
        return len(self._under_way)

    def board(self, key: Hashable, *, blocking: bool) -> Flight | Ticket | None:
        """Lead a new flight, or wait for the one that is under way.

        Args:
            key: What the call wants.
            blocking: Whether the caller would block its thread while it waits.

        Returns:
            A flight, to be ended by `end`; a ticket, to be left; or None for a call that must go on its own.
        """
        fresh = Flight()
        fresh.thread = get_ident()
        while True:
            # One step under the interpreter's own lock: a flight that nobody waits for needs no other to begin.
            flight = self._under_way.setdefault(key, fresh)
            if flight is fresh:
                return flight
            with _graph.changing() as first:
                if flight.done:
                    continue  # just now, and it is no longer under way
                mine = tuple([each for each in _part_of.get() if not each.done])
                if not first or _would_hang(flight, mine, blocking=blocking):
                    return None
                return Ticket(flight, mine)

    def end(self, key: Hashable, flight: Flight) -> tuple[Ticket, ...]:
        """A flight is over; those who wait for it are to be handed what it brought."""
        with _graph.lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
            # In this order: who finds it over looks for another one, and must not find it again.
            flight.done = True
            tickets = flight.tickets
            if tickets:
                flight.tickets = ()
        return tickets

    def outdate(self, which: Callable[[Any], bool]) -> None:
        """What the flights under way to these keys bring is not to be kept, and later calls do not wait for it."""
        with _graph.lock:
            # In a list at once, for others begin without the lock.
            for key in [key for key in list(self._under_way) if which(key)]:
                self._under_way.pop(key).outdated = True

    def forget(self) -> None:
        """As a process begins."""
        for flight in self._under_way.values():
            flight.tickets, flight.waits_for = (), ()
        self._under_way = {}


def hand_over(tickets: tuple[Ticket, ...], landing: Landing | None) -> None:
    """Those who waited go on with what the flight brought. Not under the lock: callbacks of the futures run here."""
    for ticket in tickets:
        ticket.future.set_result(landing)


def lead(flight: Flight | None) -> Token[tuple[Flight, ...]]:
    """From here on, calls that are made in this context are part of the flight, until `follow` gets what this gives."""
    earlier = _part_of.get()
    if flight is None:
        return _part_of.set(earlier)
    return _part_of.set((*[other for other in earlier if not other.done], flight) if earlier else (flight,))


def follow(token: Token[tuple[Flight, ...]] | None) -> None:
    """Calls are again part of what they were part of before `lead`, if that was reached."""
    if token is None:
        return
    try:
        _part_of.reset(token)
    except ValueError:  # a call that nobody awaits any more is closed by the garbage collector, in any context
        return


def _would_hang(flight: Flight, mine: tuple[Flight, ...], *, blocking: bool) -> bool:
    """Whether a call that is part of ``mine`` could wait for this flight for ever."""
    # A flight of a sync tool that gave back a coroutine may need this very loop to go on.
    if blocking and (flight.thread == get_ident() or loop_runs_here()):
        return True
    seen: set[int] = set()
    ahead = [flight]
    while mine and ahead:
        one = ahead.pop()
        if one in mine:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            ahead += one.waits_for
    return False


def _after_fork() -> None:
    # The threads that led the other flights, or waited for this one, are not here.
    _graph.lock, _graph.busy = RLock(), False
    for flights in _all:
        flights.forget()


at_fork(after_in_child=_after_fork)
