"""The cache around one tool: what a call does when it finds a value, an old one, another call's, or none."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from otel_tools._call.clock import clock
from otel_tools._call.counter import Counter
from otel_tools._call.steps import IS_AWAITED, CacheResult, Outcome, Wait, loop_runs_here, over
from otel_tools._policies.cache.backends import Away, InMemory, InStore
from otel_tools._policies.cache.copying import copier
from otel_tools._policies.cache.keys import Owner, key_in_memory, key_in_store
from otel_tools._policies.cache.single_flight import Landing, Ticket, follow, hand_over, lead
from otel_tools.errors import ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Call, Flow, Next
    from otel_tools._policies.cache.backends import Steps
    from otel_tools._policies.cache.cache import Cache
    from otel_tools._policies.cache.memory import Entries, Entry
    from otel_tools._policies.cache.single_flight import Flight, Flights
    from otel_tools.stores._protocols import CacheStore

__all__ = ["Caching"]

logger = logging.getLogger("otel_tools.policies.cache")

_RESULTS: Final[tuple[CacheResult, ...]] = get_args(CacheResult)


_Looked: TypeAlias = "tuple[int, Entry | None] | None"
"""What a first look found, which was too old or nothing, and how many entries had been put before; None for no look."""


class Caching:
    """The cache of one tool at work.

    Attributes:
        owner: Its tool, in keys.
        key_of: The key of a call's arguments. Raises `Unkeyable` where there is none, and the `TypeError` of the
            function where the arguments do not fit.
        entries: Its memory, shared by the tools of a `Cache`.
        flights: The calls that are under way, likewise.
        store: What it keeps its values in, where that is not memory.
    """

    def __init__(
        self, options: Cache, info: ToolInfo, entries: Entries, flights: Flights, store: CacheStore | None
    ) -> None:
        self.owner = Owner(info.tool, entries)
        self._answers = {result: Counter() for result in _RESULTS}
        self.entries = entries
        self.flights = flights
        self.store = store
        self._options = options
        self._cache_if = options.cache_if
        self._tool = info.tool
        self._function = info.function  # whoever looks this up goes by the id of the function
        self._good_for = options.ttl + (options.stale_if_error or 0.0)
        self._shelf: InMemory | InStore
        if store is None:
            self._shelf = InMemory(entries)
            self.key_of = key_in_memory(options, info, self.owner, entries)
        else:
            self._shelf = InStore(store, self._good_for, entries.log)
            self.key_of = key_in_store(options, info)
        self._blocking = not info.asynchronous
        # Sync, yet what it returned had to be awaited: its callers await what they get, and no value can be that.
        self._gives_coroutines = False

    @property
    def counts(self) -> dict[CacheResult, int]:
        """How many calls got which answer."""
        return {result: counter.value for result, counter in self._answers.items()}

    def policy(self, inner: Next) -> Next:
        """Put the cache around a flow."""
        key_of, ttl, entries, in_memory = self.key_of, self._options.ttl, self.entries, self.store is None
        get, one_more_hit = entries.get, self._answers["hit"].more

        def flow(call: Call) -> Flow:
            try:
                key = key_of(call.args, call.kwargs)
            except Exception:  # noqa: BLE001 - no key, no cache; arguments that do not fit are the function's to refuse
                key = None
            looked: _Looked = None
            if key is not None and in_memory:
                # What `_lead` would find too, at the price of one look; what fails here fails there, and is told there.
                try:
                    puts = entries.puts
                    entry = get(key)
                    if entry is not None and clock.now() < entry.made + ttl:
                        value = entry.make()
                        one_more_hit()
                        call.cache_answered("hit")
                        return over(Outcome(value, None, "cached"))
                    looked = puts, entry
                except Exception:  # noqa: BLE001, S110 - above
                    pass
            if key is None or self._gives_coroutines:
                self._answer(call, "bypass")
                return inner(call)
            return self._lead(call, key, inner, looked)

        return flow

    def _follow(self, call: Call, key: Any, ticket: Ticket) -> Steps:
        """Wait for the call that already gets the value.

        Returns:
            The outcome; or None where the call must get it itself, and the flight that it leads then, if any.
        """
        boarded: Flight | Ticket | None = ticket
        while isinstance(boarded, Ticket):
            left = call.left()
            try:
                yield Wait(boarded.future, None if left is None else max(0.0, left))
            except GeneratorExit:
                self._answer(call, "coalesced")
                raise
            finally:
                boarded.leave()
            landing = boarded.future.result() if boarded.future.done() else self._too_late()
            if landing is not None:
                error = landing.outcome.error
                value = None if error is not None else _copied(landing.make)
                return None if error is None and value is None else self._landed(call, landing, value), None
            boarded = self.flights.board(key, blocking=self._blocking)
        return None, boarded

    def _too_late(self) -> Landing:
        error = ToolTimeout(
            f"tool {self._tool!r}: the deadline passed while another call with the same arguments was under way",
            tool=self._tool,
        )
        return Landing(Outcome.of_error(error), None, None, None)

    def _landed(self, call: Call, landing: Landing, value: tuple[Any] | None) -> Outcome:
        """What a call gets that waited for another one."""
        error, result = landing.outcome.error, landing.outcome.result
        if error is not None and landing.traceback is not None:
            # Many calls raise this one error, and each adds its frames to it: they all begin where it was made.
            error.__traceback__ = landing.traceback
        outcome = Outcome(value[0] if value else None, error, result, landing.outcome.error_type)
        answer: CacheResult = "coalesced"
        if result != "error":
            outcome.result = "cached"
        elif (stale := self._instead(call, outcome, landing.stale)) is not None:
            answer, outcome = "stale", stale
        self._answer(call, answer)
        return outcome

    def _lead(self, call: Call, key: Any, inner: Next, looked: _Looked) -> Flow:
        """Nothing fresh was found: run what is inside, for all that want it too, or wait for the call that does."""
        outcome: Outcome | None = None
        answer: CacheResult = "miss"
        landing: Landing | None = None
        found: Entry | None = None
        make: Callable[[], Any] | None = None
        token = None
        flight = self.flights.board(key, blocking=self._blocking)
        if isinstance(flight, Ticket):
            outcome, flight = yield from self._follow(call, key, flight)
            if outcome is not None:
                return outcome
        # At once, so that a Ctrl-C finds no flight that nobody would end.
        try:
            token = lead(flight)
            if looked is not None and looked[0] == self.entries.puts:
                found = looked[1]
            else:
                # Another call may have brought the value between the first look and now.
                answer, found, outcome, make = yield from self._look(call, key)
                if outcome is not None:
                    return outcome
            outcome = yield from inner(call)
            # Without an event loop nobody can be awaiting.
            if self._blocking and loop_runs_here() and (yield IS_AWAITED).value:
                self._gives_coroutines = True
                answer, landing = "bypass", _LEFT_ALONE
                return outcome
            if outcome.error is None:
                make = copier(outcome.value)
            given = outcome
            if outcome.result == "ok":
                kept = self._keep(call, key, answer, outcome, make, flight)
                answer, given = kept if isinstance(kept, tuple) else (yield from kept)
            elif outcome.result == "error" and (stale := self._instead(call, outcome, found)) is not None:
                answer, given = "stale", stale
            return given
        finally:
            follow(token)
            if flight is not None and (tickets := self.flights.end(key, flight)):
                hand_over(tickets, landing or _landing(outcome, make, found))
            self._answer(call, answer)

    def _look(self, call: Call, key: Any) -> Steps:
        """What the shelf has.

        Returns:
            What to say of it; the entry, however old; the outcome of the call, where this is its end; and what gives
            copies of the value, where it is fresh.
        """
        try:
            found = yield from self._shelf.find(call, key)
        except Away as away:
            return "bypass", None, Outcome.of_error(away.error) if self._shelf.strict else None, None
        if found is not None and self._shelf.now() < found.made + self._options.ttl:
            value = _copied(found.make)
            if value is not None:
                return "hit", found, Outcome(value[0], None, "cached"), found.make
        return "miss", found, None, None

    def _keep(  # noqa: PLR0913, PLR0917 - what `_lead` knows
        self,
        call: Call,
        key: Any,
        answer: CacheResult,
        outcome: Outcome,
        make: Callable[[], Any] | None,
        flight: Flight | None,
    ) -> tuple[CacheResult, Outcome] | Steps:
        """Keep a value, of which ``make`` gives copies.

        Returns:
            What to say of it, and the outcome of the call; a flow that gives them where a store has to be asked.
        """
        if make is None:
            return "bypass", outcome
        if answer != "miss" or (self._cache_if is not None and not self._is_worth_it(outcome.value)):
            return answer, outcome
        if isinstance(self._shelf, InStore):
            return self._store(self._shelf, call, key, outcome, flight)
        try:
            if not self._shelf.keep(call, key, make):
                answer = "bypass"
            # Asked after it was kept, so that whoever invalidates it meanwhile is never too early.
            if flight is not None and flight.outdated:
                self._shelf.forget(call, key)
        except Away:
            return "bypass", outcome
        return answer, outcome

    def _store(self, shelf: InStore, call: Call, key: Any, outcome: Outcome, flight: Flight | None) -> Steps:
        """As `_keep`, in a store."""
        try:
            kept = yield from shelf.keep(call, key, outcome.value)
            if flight is not None and flight.outdated:
                yield from shelf.forget(call, key)
        except Away as away:
            return "bypass", Outcome.of_error(away.error) if shelf.strict else outcome
        return "miss" if kept else "bypass", outcome

    def _instead(self, call: Call, outcome: Outcome, entry: Entry | None) -> Outcome | None:
        """The call failed: an expired value, if there is one that is not too old."""
        if entry is None or self._options.stale_if_error is None or self._shelf.now() > entry.made + self._good_for:
            return None
        value = _copied(entry.make)
        if value is None:
            return None
        call.recovered(outcome)
        return Outcome(value[0], None, "fallback")

    def _is_worth_it(self, value: Any) -> bool:
        try:
            return bool(self._cache_if(value)) if self._cache_if is not None else True
        except Exception:
            # A broken logging handler must not fail the tool either.
            with contextlib.suppress(Exception):
                logger.exception("cache_if of tool %r raised; the result is not cached", self._tool)
            return False

    def _answer(self, call: Call, result: CacheResult) -> None:
        self._answers[result].more()
        call.cache_answered(result)


def _copied(make: Callable[[], Any] | None) -> tuple[Any] | None:
    """A copy of a value, in a tuple for it may be None; None where there is none."""
    if make is None:
        return None
    try:
        return (make(),)
    except Exception:  # noqa: BLE001 - copying runs code of the user's
        return None


def _landing(outcome: Outcome | None, make: Callable[[], Any] | None, stale: Entry | None) -> Landing | None:
    """What a flight brought; None where it was cancelled."""
    if outcome is None or outcome.result == "cancelled":
        return None
    error = outcome.error
    # A copy, for the driver takes the error out of its own.
    kept = Outcome(None, error, outcome.result, outcome.error_type)
    return Landing(kept, error.__traceback__ if error is not None else None, make, stale)


_LEFT_ALONE: Final = Landing(Outcome(), None, None, None)
"""What cannot be shared: each that waited for it runs on its own."""
