"""The in-process memory of a cache: a mapping under a lock, which forgets the entries of objects that are gone."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._call.forks import reset_after_fork
from otel_tools._call.safe_logging import log_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

__all__ = ["CacheMemory", "Entry", "InstanceRef"]

logger = logging.getLogger("otel_tools.policies.cache")

_LOG_INTERVAL: Final = 60.0
"""Seconds between two log lines about the same operation."""


class Entry:
    """One value in the cache; a mapping of the user's contains these.

    Attributes:
        key: The key that it is kept under.
        put_at: When it was put there, in seconds: by the monotonic clock in memory, since the epoch in a store.
        copy: Returns a copy of the value.
    """

    __slots__ = ("__weakref__", "copy", "key", "put_at")

    def __init__(self, key: Any, put_at: float, copy: Callable[[], Any]) -> None:
        self.key = key
        self.put_at = put_at
        self.copy = copy

    @property
    def value(self) -> Any:
        """A copy of the value, for a mapping's own ``getsizeof``."""
        return self.copy()


class InstanceRef(weakref.ref[Any]):
    """Stands in keys for the object whose method is cached. It compares by identity and does not keep the object alive.

    Attributes:
        id: The object's id, while it lives.
        entries: The entries of calls of its methods.
    """

    __slots__ = ("entries", "id")

    id: int
    entries: weakref.WeakSet[Entry]

    # The identity of this reference, not of the object: the id of a dead object is given to another one.
    __hash__ = object.__hash__
    __eq__ = object.__eq__


class CacheMemory:
    """A mapping from keys to entries, safe for threads, for mappings that raise and for objects that vanish.

    Attributes:
        lock: Held while the mapping is changed or read, and never longer.
        puts: How many entries were put. While it is the same, a key that was not found is still not there.
    """

    def __init__(self, make_mapping: Callable[[], MutableMapping[Any, Any]], *, owned: bool) -> None:
        """Create the memory.

        Args:
            make_mapping: Returns the mapping.
            owned: Whether the mapping is ours, and is created again after a fork in the middle of a change.
        """
        self.lock = threading.RLock()
        self.puts = 0
        self._make_mapping = make_mapping
        self._owned = owned
        self._mapping = make_mapping()
        self._get = self._mapping.get
        self._busy = False
        self._instances: dict[int, InstanceRef] = {}
        self._gone: deque[InstanceRef] = deque()
        self._logged: dict[str, float] = {}
        reset_after_fork(self)

    @property
    def maxsize(self) -> float | None:
        """How many entries there may be, where the mapping says so."""
        size = getattr(self._mapping, "maxsize", None)
        return size if isinstance(size, (int, float)) else None

    def get(self, key: Any) -> Entry | None:
        """The entry under the key, however old.

        Raises:
            Exception: Whatever a mapping of the user's raises.
        """
        # Our own mapping looks the key up in a dictionary, which needs no lock.
        if self._owned and key not in self._mapping:
            return None
        with self.lock:
            if self._busy:  # the garbage collector has called a tool in the middle of a change
                return None
            self._busy = True
            try:
                entry = self._get(key)
            finally:
                self._busy = False
        return entry if type(entry) is Entry else None

    def put(self, key: Any, copy: Callable[[], Any]) -> bool:
        """Keep a value, of which ``copy`` returns copies; whether it could be kept.

        Raises:
            Exception: Whatever a mapping of the user's raises, but for a `ValueError`: that of cachetools says that the
                value is too large.
        """
        entry = Entry(key, clock.now(), copy)
        instance = key[1] if type(key[1]) is InstanceRef else None
        with self.lock:
            if self._busy or (instance is not None and instance() is None):
                return False
            self._busy = True
            try:
                self._mapping[key] = entry
            except ValueError:
                return False
            finally:
                self._busy = False
            self.puts += 1
            if instance is not None:
                instance.entries.add(entry)
        if self._gone:
            self._sweep()
        return True

    def drop(self, key: Any) -> None:
        """Remove a key, if it is there."""
        with self._changing() as mapping:
            mapping.pop(key, None)

    def clear(self, has_namespace: Callable[[Any], bool]) -> None:
        """Remove the entries of some namespaces; each key begins with one."""
        with self._changing() as mapping:
            dead = [mapping.pop(key, None) for key in _keys_of(mapping, has_namespace)]
        # Values die here, not under the lock: they may have a __del__ of their own.
        del dead

    def count(self, has_namespace: Callable[[Any], bool]) -> int:
        """How many entries some namespaces have."""
        self._sweep()
        with self._changing() as mapping:
            return len(_keys_of(mapping, has_namespace))

    @contextmanager
    def _changing(self) -> Iterator[MutableMapping[Any, Any]]:
        with self.lock:
            before, self._busy = self._busy, True
            try:
                yield self._mapping
            finally:
                self._busy = before

    def instance(self, receiver: Any) -> InstanceRef | None:
        """The reference that stands for an object in keys; None for an object that takes no weak references."""
        existing = self._instances.get(id(receiver))
        # An object that is gone may have had this id, and its callback may not have run yet.
        if existing is not None and existing() is receiver:
            return existing
        try:
            reference = InstanceRef(receiver, self._instance_gone)
        except TypeError:
            return None
        reference.id = id(receiver)
        reference.entries = weakref.WeakSet()
        with self.lock:
            existing = self._instances.get(reference.id)
            if existing is not None and existing() is receiver:
                return existing
            self._instances[reference.id] = reference
        return reference

    def _instance_gone(self, instance: Any) -> None:
        """Note that an object is gone.

        This may run in any thread and in the middle of anything. So only the lock's holder removes entries.
        """
        self._gone.append(instance)
        if not self._busy and self.lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self.lock.release()

    def _sweep(self) -> None:
        """Remove the entries of objects that are gone."""
        while self._gone:
            with self.lock:
                if self._busy:
                    return
                try:
                    instance = self._gone.popleft()
                except IndexError:
                    return
                if self._instances.get(instance.id) is instance:
                    del self._instances[instance.id]
                dead = list(instance.entries)
                try:
                    with self._changing() as mapping:
                        for entry in dead:
                            mapping.pop(entry.key, None)
                except Exception:  # noqa: BLE001 - a mapping of the user's may raise anything
                    self.log("delete")
            del dead

    def log(self, operation: str, error: BaseException | None = None) -> None:
        """Log an error, or the exception that is being handled, once a minute for each operation."""
        now = clock.now()
        if now - self._logged.get(operation, -_LOG_INTERVAL) < _LOG_INTERVAL:
            return
        self._logged[operation] = now
        log_safely(
            logger, logging.WARNING, "the store of a cache failed in %s", operation, exc_info=error or sys.exc_info()
        )

    def reset_after_fork(self) -> None:
        """In the child of a fork: the threads that were changing the mapping are gone."""
        self.lock = threading.RLock()
        if self._busy and self._owned:
            self._mapping = self._make_mapping()
            self._get = self._mapping.get
        self._busy = False


def _keys_of(mapping: MutableMapping[Any, Any], has_namespace: Callable[[Any], bool]) -> list[Any]:
    return [key for key in list(mapping) if isinstance(key, tuple) and key and has_namespace(key[0])]
