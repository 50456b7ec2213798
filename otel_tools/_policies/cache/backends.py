"""The two places where a cache keeps its values: memory, and a store that outlives the process.

An operation that may take time is a flow; one that fails raises `StoreUnavailable`. Writing to memory is no flow: a
generator would cost as much as the writing.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_tools._call.clock import clock
from otel_tools._call.steps import Perform
from otel_tools._policies.cache.copying import to_lossless_json
from otel_tools._policies.cache.memory import Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from otel_tools._call.call import Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._call.steps import Step
    from otel_tools._policies.cache.memory import CacheMemory
    from otel_tools.stores._protocols import CacheStore

    Steps: TypeAlias = Generator[Step, Any, Any]

__all__ = ["MemoryBackend", "StoreBackend", "StoreUnavailable"]


class StoreUnavailable(Exception):  # noqa: N818 - says what the store is; it never leaves the cache
    """An operation of the store or mapping failed; this was counted and logged.

    Attributes:
        error: The error of the store.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class MemoryBackend:
    """Keeps values in the memory of this process.

    Attributes:
        strict: Whether a call fails when the store is unavailable.
    """

    strict = False

    def __init__(self, memory: CacheMemory) -> None:
        self._memory = memory

    def now(self) -> float:
        """The clock of ``Entry.put_at``: seconds by the monotonic clock."""
        return clock.now()

    def find(self, call: Call, key: Any) -> Steps:
        """The entry under the key, however old, or None."""
        yield from ()
        try:
            return self._memory.get(key)
        except Exception as error:
            raise self._unavailable(call, "get", error) from error

    def keep(self, call: Call, key: Any, copy: Callable[[], Any]) -> bool:
        """Keep a value, of which ``copy`` returns copies; whether it could be kept."""
        try:
            return self._memory.put(key, copy)
        except Exception as error:
            raise self._unavailable(call, "set", error) from error

    def forget(self, call: Call, key: Any) -> None:
        """Remove the key."""
        try:
            self._memory.drop(key)
        except Exception as error:
            raise self._unavailable(call, "delete", error) from error

    def _unavailable(self, call: Call, operation: str, error: Exception) -> StoreUnavailable:
        call.store_failed(operation)
        self._memory.log(operation, error)
        return StoreUnavailable(error)


class StoreBackend:
    """Keeps values as JSON text in a `CacheStore`."""

    def __init__(self, store: CacheStore, expires_in: float, log: Callable[[str, BaseException], None]) -> None:
        """Keep values in a store.

        Args:
            store: The store.
            expires_in: Seconds after which the store may remove a value.
            log: Called with the operation and the error when the store fails.
        """
        self._store = store
        self._expires_in = expires_in
        self._log = log

    @property
    def strict(self) -> bool:
        """Whether a call fails when the store is unavailable."""
        return self._store.on_error == "raise"

    def now(self) -> float:
        """The clock of ``Entry.put_at``: seconds since the epoch, which other processes and machines read too."""
        return clock.time()

    def find(self, call: Call, key: str) -> Steps:
        """The entry under the key, however old, or None."""
        text = yield from self._do(call, "get", partial(self._store.get, key), partial(self._store.aget, key))
        return _parsed(key, text)

    def keep(self, call: Call, key: str, value: Any) -> Steps:
        """Keep a value; whether it could be kept."""
        text = to_lossless_json(value, at=clock.time())
        if text is None:
            return False
        arguments = key, text, self._expires_in
        yield from self._do(call, "set", partial(self._store.set, *arguments), partial(self._store.aset, *arguments))
        return True

    def forget(self, call: Call, key: str) -> Steps:
        """Remove the key."""
        yield from self._do(call, "delete", partial(self._store.delete, key), partial(self._store.adelete, key))

    def _do(
        self, call: Call, operation: str, blocking: Callable[[], Any], awaiting: Callable[[], Awaitable[Any]]
    ) -> Steps:
        done: Outcome = yield Perform(blocking, awaiting)
        if done.error is not None:
            call.store_failed(operation)
            self._log(operation, done.error)
            raise StoreUnavailable(done.error)
        return done.value


def _parsed(key: str, text: Any) -> Entry | None:
    """An entry as `StoreBackend` wrote it; None for anything else."""
    try:
        found = json.loads(text)
        put_at = float(found["at"])
        found["value"]
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
    return Entry(key, put_at, lambda: json.loads(text)["value"])
