"""The cache policy of one tool: looks a call up, runs it on a miss, and shares the run with calls of the same key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from otel_tools._call.call import CacheResult
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import IS_AWAITED, ended_flow, event_loop_is_running
from otel_tools._policies.cache.copying import copy_factory
from otel_tools._policies.cache.keeping import KeptValues
from otel_tools._policies.cache.keys import Namespace, key_in_memory, key_in_store
from otel_tools._policies.cache.sharing import NOT_SHARED, ResultSharing, shared_result
from otel_tools._policies.cache.single_flight import Waiter, deliver, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next
    from otel_tools._policies.cache.memory import CacheMemory, Entry
    from otel_tools._policies.cache.options import CacheOptions
    from otel_tools._policies.cache.single_flight import InFlightCalls, SharedResult

__all__ = ["CachePolicy"]

_RESULTS: Final[tuple[CacheResult, ...]] = get_args(CacheResult)


_FirstLookup: TypeAlias = "tuple[int, Entry | None] | None"
"""``CacheMemory.puts`` at a first lookup and the expired entry that it found, if any; None for no lookup."""


class CachePolicy:
    """The cache policy of one tool.

    Attributes:
        namespace: The first part of its keys in memory.
        key_of: Returns the key of a call's arguments. Raises `NoCacheKeyError` where there is none, and the `TypeError`
            of the function where the arguments do not fit.
        memory: The memory that the tools of the cache share.
        in_flight: The in-flight calls that they share.
        store: The store of its values, where that is not memory.
        kept: Its values.
    """

    def __init__(self, options: CacheOptions, info: ToolInfo, memory: CacheMemory, in_flight: InFlightCalls) -> None:
        self.namespace = Namespace(info.tool, memory)
        self._results: dict[CacheResult, int] = dict.fromkeys(_RESULTS, 0)
        self.memory = memory
        self.in_flight = in_flight
        self.store = options.outside_store
        self._ttl = options.ttl
        self._function = info.function  # Kept alive: a `Cache` finds this object by the id of the function.
        if self.store is None:
            self.key_of = key_in_memory(options, info, self.namespace, memory)
        else:
            self.key_of = key_in_store(options, info)
        self.kept = KeptValues(options, info.tool, memory, self.store)
        self._sharing = ResultSharing(in_flight, self.kept, info)
        self._blocking = not info.asynchronous
        # Whether a sync function returned a coroutine: its callers await the result; a kept value cannot be awaited.
        self._returns_coroutines = False

    @property
    def counts(self) -> dict[CacheResult, int]:
        """The number of calls with each result."""
        with self.memory.lock:
            return dict(self._results)

    def policy(self, inner: Next) -> Next:
        """Put the cache around a flow."""
        key_of, ttl, entries, in_memory = self.key_of, self._ttl, self.memory, self.store is None
        get, results = entries.get, self._results

        def flow(call: Call) -> Flow:
            try:
                key = key_of(call.args, call.kwargs)
            except Exception:  # noqa: BLE001 - no key, no cache; arguments that do not fit are the function's to refuse
                key = None
            first: _FirstLookup = None
            if key is not None and in_memory:
                # `_run` looks up too, but a generator costs more than this. What fails here fails there again, and is
                # reported there.
                try:
                    puts = entries.puts
                    entry = get(key)
                    if entry is not None and clock.now() < entry.put_at + ttl:
                        value = entry.copy()
                        with entries.lock:
                            results["hit"] += 1
                        call.cache_answered("hit")
                        return ended_flow(Outcome(value, None, "cached"))
                    first = puts, entry
                except Exception:  # noqa: BLE001, S110 - above
                    pass
            if key is None or self._returns_coroutines:
                self._answer(call, "bypass")
                return inner(call)
            return self._run(call, key, inner, first)

        return flow

    def _run(self, call: Call, key: Any, inner: Next, first: _FirstLookup) -> Flow:
        """Run a call of which no fresh value was found, or wait for an in-flight call of the same key."""
        outcome: Outcome | None = None
        result: CacheResult = "miss"
        shared: SharedResult | None = None
        found: Entry | None = None
        copy: Callable[[], Any] | None = None
        token = None
        joined = self.in_flight.join(key, blocking=self._blocking)
        if isinstance(joined, Waiter):
            outcome, joined = yield from self._sharing.wait(call, key, joined, self._answer)
            if outcome is not None:
                return outcome
        # At once, so that a Ctrl-C leaves no in-flight call that nobody would end.
        try:
            token = enter(joined)
            if first is not None and first[0] == self.memory.puts:
                found = first[1]
            else:
                # Another call may have put the value between the first lookup and now.
                result, found, outcome, copy = yield from self.kept.find(call, key)
                if outcome is not None:
                    return outcome
            outcome = yield from inner(call)
            # Without an event loop nobody can be awaiting.
            if self._blocking and event_loop_is_running() and (yield IS_AWAITED).value:
                self._returns_coroutines = True
                result, shared = "bypass", NOT_SHARED
                return outcome
            if outcome.error is None:
                copy = copy_factory(outcome.value)
            returned = outcome
            if outcome.result == "ok":
                kept = self.kept.keep(call, key, result, outcome, copy, joined)
                result, returned = kept if isinstance(kept, tuple) else (yield from kept)
            elif outcome.result == "error" and (stale := self.kept.stale(call, outcome, found)) is not None:
                result, returned = "stale", stale
            return returned
        finally:
            leave(token)
            if joined is not None and (waiters := self.in_flight.end(key, joined)):
                deliver(waiters, shared or shared_result(outcome, copy, found))
            self._answer(call, result)

    def _answer(self, call: Call, result: CacheResult) -> None:
        with self.memory.lock:
            self._results[result] += 1
        call.cache_answered(result)
