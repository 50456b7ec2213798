"""Finds and keeps the values of one tool, and serves expired ones when a call fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.safe_logging import log_safely
from otel_tools._policies.cache.backends import MemoryBackend, StoreBackend, StoreUnavailable
from otel_tools._policies.cache.copying import copy_factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.call import CacheResult
    from otel_tools._policies.cache.backends import Steps
    from otel_tools._policies.cache.memory import CacheMemory, Entry
    from otel_tools._policies.cache.options import CacheOptions
    from otel_tools._policies.cache.single_flight import InFlightCall
    from otel_tools.stores._protocols import CacheStore

__all__ = ["KeptValues", "copied"]

logger = logging.getLogger("otel_tools.policies.cache")


class KeptValues:
    """The values of one tool, in memory or in a store.

    Args:
        options: The options of the cache.
        tool: The tool's name.
        memory: The memory that the tools of the cache share; it also logs the errors of a store.
        store: The store; None keeps the values in memory.
    """

    def __init__(self, options: CacheOptions, tool: str, memory: CacheMemory, store: CacheStore | None) -> None:
        self._ttl = options.ttl
        self._kept_for = options.kept_for
        self._serves_stale = options.stale_if_error is not None
        self._cache_if = options.cache_if
        self._tool = tool
        self._backend: MemoryBackend | StoreBackend = (
            MemoryBackend(memory) if store is None else StoreBackend(store, options.kept_for, memory.log)
        )

    def find(self, call: Call, key: Any) -> Steps:
        """Look a key up.

        Returns:
            The result to report; the entry, however old; the outcome of the call, where this is its end; and the
            function that copies the value, where it is fresh.
        """
        try:
            entry = yield from self._backend.find(call, key)
        except StoreUnavailable as failure:
            return "bypass", None, Outcome.of_error(failure.error) if self._backend.strict else None, None
        if entry is not None and self._backend.now() < entry.put_at + self._ttl:
            value = copied(entry.copy)
            if value is not None:
                return "hit", entry, Outcome(value[0], None, "cached"), entry.copy
        return "miss", entry, None, None

    def keep(  # noqa: PLR0913, PLR0917 - the state of the call that keeps it
        self,
        call: Call,
        key: Any,
        result: CacheResult,
        outcome: Outcome,
        copy: Callable[[], Any] | None,
        in_flight: InFlightCall | None,
    ) -> tuple[CacheResult, Outcome] | Steps:
        """Keep a value, of which ``copy`` returns copies.

        Returns:
            The result to report and the outcome of the call; a flow that returns both where a store is written to.
        """
        if copy is None:
            return "bypass", outcome
        if result != "miss" or (self._cache_if is not None and not self._is_worth_keeping(outcome.value)):
            return result, outcome
        if in_flight is not None and in_flight.outdated:
            # Another value may have been put in the meantime.
            return result, outcome
        if isinstance(self._backend, StoreBackend):
            return self._keep_in_store(self._backend, call, key, outcome, in_flight)
        try:
            if not self._backend.keep(call, key, copy):
                result = "bypass"
            # Checked after it was kept, so that an invalidation in between is not missed.
            if in_flight is not None and in_flight.outdated:
                self._backend.forget(call, key)
        except StoreUnavailable:
            return "bypass", outcome
        return result, outcome

    def _keep_in_store(
        self, backend: StoreBackend, call: Call, key: Any, outcome: Outcome, in_flight: InFlightCall | None
    ) -> Steps:
        try:
            kept = yield from backend.keep(call, key, outcome.value)
            if in_flight is not None and in_flight.outdated:
                yield from backend.forget(call, key)
        except StoreUnavailable as failure:
            return "bypass", Outcome.of_error(failure.error) if backend.strict else outcome
        return "miss" if kept else "bypass", outcome

    def value(self, key: Any) -> Steps:
        """A copy of the fresh value under a key; None where there is none.

        Raises:
            StoreUnavailable: The store failed.
        """
        entry = yield from self._backend.find(_no_call(), key)
        if entry is None or not self._backend.now() < entry.put_at + self._ttl:
            return None
        value = copied(entry.copy)
        return None if value is None else value[0]

    def put(self, key: Any, value: Any) -> Steps:
        """Keep a value under a key; whether it could be kept.

        Raises:
            StoreUnavailable: The store failed.
        """
        if isinstance(self._backend, StoreBackend):
            return (yield from self._backend.keep(_no_call(), key, value))
        copy = copy_factory(value)
        return copy is not None and self._backend.keep(_no_call(), key, copy)

    def stale(self, call: Call, failed: Outcome, entry: Entry | None) -> Outcome | None:
        """The outcome of a failed call that is served an expired value; None where there is none recent enough."""
        if entry is None or not self._serves_stale or self._backend.now() > entry.put_at + self._kept_for:
            return None
        value = copied(entry.copy)
        if value is None:
            return None
        call.recovered(failed)
        return Outcome(value[0], None, "fallback")

    def _is_worth_keeping(self, value: Any) -> bool:
        try:
            return bool(self._cache_if(value)) if self._cache_if is not None else True
        except Exception:  # noqa: BLE001 - the user's own code; logged, and the call goes on
            log_safely(
                logger, logging.ERROR, "cache_if of tool %r raised; the result is not cached", self._tool, exc_info=True
            )
            return False


def _no_call() -> Call:
    """Gets the reports of what is done by hand, and keeps none."""
    return Call((), {})


def copied(copy: Callable[[], Any] | None) -> tuple[Any] | None:
    """A copy of a value, in a tuple since it may be None; None where there is none."""
    if copy is None:
        return None
    try:
        return (copy(),)
    except Exception:  # noqa: BLE001 - copying runs code of the user's
        return None
