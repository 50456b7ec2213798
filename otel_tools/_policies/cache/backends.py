"""Where a cache keeps its values: in memory, or in a store that outlives the process.

What may take time is a flow; all that fails raises `Away`. What memory does at once is no flow: a generator would cost
as much as what it does.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_tools._call.clock import clock
from otel_tools._call.steps import Outcome, Perform
from otel_tools._policies.cache.copying import as_json
from otel_tools._policies.cache.memory import Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from otel_tools._call.steps import Call, Step
    from otel_tools._policies.cache.memory import Entries
    from otel_tools.stores._protocols import CacheStore

    Steps: TypeAlias = Generator[Step, Any, Any]

__all__ = ["Away", "InMemory", "InStore"]


class Away(Exception):  # noqa: N818 - says what the store is; it never leaves the cache
    """The store could not be asked; this was counted and logged.

    Attributes:
        error: Why.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class InMemory:
    """Entries of this process.

    Attributes:
        strict: Whether a call fails when the store is away.
    """

    strict = False

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def now(self) -> float:
        """The time that entries are dated by: seconds by the monotonic clock."""
        return clock.now()

    def find(self, call: Call, key: Any) -> Steps:
        """The entry under the key, however old, or None."""
        yield from ()
        try:
            return self._entries.get(key)
        except Exception as error:
            raise self._away(call, "get", error) from error

    def keep(self, call: Call, key: Any, make: Callable[[], Any]) -> bool:
        """Keep a value, of which ``make`` gives copies; whether it could be kept."""
        try:
            return self._entries.put(key, make)
        except Exception as error:
            raise self._away(call, "set", error) from error

    def forget(self, call: Call, key: Any) -> None:
        """Forget the key."""
        try:
            self._entries.drop(key)
        except Exception as error:
            raise self._away(call, "delete", error) from error

    def _away(self, call: Call, operation: str, error: Exception) -> Away:
        call.store_failed(operation)
        self._entries.log(operation, error)
        return Away(error)


class InStore:
    """Text in a `CacheStore`."""

    def __init__(self, store: CacheStore, expires_in: float, log: Callable[[str, BaseException], None]) -> None:
        """Keep values in a store.

        Args:
            store: Where.
            expires_in: Seconds for which a value is of any use.
            log: Called with the operation and the error when the store fails.
        """
        self._store = store
        self._expires_in = expires_in
        self._log = log

    @property
    def strict(self) -> bool:
        """Whether a call fails when the store is away."""
        return self._store.on_error == "raise"

    def now(self) -> float:
        """Seconds since the epoch: other processes and other machines read them too."""
        return clock.time()

    def find(self, call: Call, key: str) -> Steps:
        """As that of `InMemory`."""
        written = yield from self._do(call, "get", partial(self._store.get, key), partial(self._store.aget, key))
        return _parsed(key, written)

    def keep(self, call: Call, key: str, value: Any) -> Steps:
        """Keep a value; whether it could be kept."""
        written = as_json(value, at=clock.time())
        if written is None:
            return False
        kept = key, written, self._expires_in
        yield from self._do(call, "set", partial(self._store.set, *kept), partial(self._store.aset, *kept))
        return True

    def forget(self, call: Call, key: str) -> Steps:
        """Forget the key."""
        yield from self._do(call, "delete", partial(self._store.delete, key), partial(self._store.adelete, key))

    def _do(
        self, call: Call, operation: str, blocking: Callable[[], Any], awaiting: Callable[[], Awaitable[Any]]
    ) -> Steps:
        done: Outcome = yield Perform(blocking, awaiting)
        if done.error is not None:
            call.store_failed(operation)
            self._log(operation, done.error)
            raise Away(done.error)
        return done.value


def _parsed(key: str, written: Any) -> Entry | None:
    """An entry as `InStore` wrote it; None for anything else."""
    try:
        found = json.loads(written)
        made = float(found["at"])
        found["value"]
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
    return Entry(key, made, lambda: json.loads(written)["value"])
