"""The memory of a cache: a mapping under a lock, which outlives neither the instances nor the process it is about."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

__all__ = ["Entries", "Entry", "Instance"]

logger = logging.getLogger("otel_tools.policies.cache")

_LOG_EVERY: Final = 60.0


class Entry:
    """One value in the cache; a mapping of the user's holds these.

    Attributes:
        key: What it is kept under.
        made: When it was put there, in seconds: by the monotonic clock in memory, since the epoch in a store.
        make: Gives a copy of the value.
    """

    __slots__ = ("__weakref__", "key", "made", "make")

    def __init__(self, key: Any, made: float, make: Callable[[], Any]) -> None:
        self.key = key
        self.made = made
        self.make = make

    @property
    def value(self) -> Any:
        """A copy of the value, for a mapping's own ``getsizeof``."""
        return self.make()


class Instance(weakref.ref[Any]):
    """The object whose method is cached, in keys: known by identity, and not kept alive.

    Attributes:
        id: The object's, while it lives.
        entries: What is cached for it.
    """

    __slots__ = ("entries", "id")

    id: int
    entries: weakref.WeakSet[Entry]

    # The identity of this reference, not of the object: that of a dead object is given to another one.
    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Entries:
    """A mapping from keys to entries, safe for threads, for mappings that raise and for objects that vanish.

    Attributes:
        lock: Held while the mapping is changed or asked for an entry, and never longer.
        puts: How many entries were put: who looked in vain need not look again while it is the same.
    """

    def __init__(self, make_mapping: Callable[[], MutableMapping[Any, Any]], *, owned: bool) -> None:
        """Make what holds the entries.

        Args:
            make_mapping: Gives the mapping.
            owned: Whether it is ours, to be made anew after a fork in the middle of a change.
        """
        self.lock = threading.RLock()
        self.puts = 0
        self._make_mapping = make_mapping
        self._owned = owned
        self._mapping = make_mapping()
        self._get = self._mapping.get
        self._busy = False
        self._instances: dict[int, Instance] = {}
        self._gone: deque[Instance] = deque()
        self._logged: dict[str, float] = {}
        _all.add(self)

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
        # Whether ours has it is one look into a plain dictionary, which needs no lock.
        if self._owned and key not in self._mapping:
            return None
        with self.lock:
            if self._busy:  # the garbage collector calls a tool in the middle of a change
                return None
            self._busy = True
            try:
                entry = self._get(key)
            finally:
                self._busy = False
        return entry if type(entry) is Entry else None

    def put(self, key: Any, make: Callable[[], Any]) -> bool:
        """Keep a value; whether it could be kept.

        Raises:
            Exception: Whatever a mapping of the user's raises, but for a `ValueError`: that of cachetools says that the
                value is too large.
        """
        entry = Entry(key, clock.now(), make)
        instance = key[1] if type(key[1]) is Instance else None
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
        """Forget a key, if it is there."""
        with self._changing() as mapping:
            mapping.pop(key, None)

    def clear(self, is_owner: Callable[[Any], bool]) -> None:
        """Forget the entries of some owners: keys begin with them."""
        with self._changing() as mapping:
            dead = [mapping.pop(key, None) for key in _owned(mapping, is_owner)]
        # Values die here, not under the lock: they may have a __del__ of their own.
        del dead

    def count(self, is_owner: Callable[[Any], bool]) -> int:
        """How many entries some owners have."""
        self._sweep()
        with self._changing() as mapping:
            return len(_owned(mapping, is_owner))

    @contextmanager
    def _changing(self) -> Iterator[MutableMapping[Any, Any]]:
        with self.lock:
            before, self._busy = self._busy, True
            try:
                yield self._mapping
            finally:
                self._busy = before

    def instance(self, receiver: Any) -> Instance | None:
        """What stands for an object in keys; None for one that cannot be referred to weakly."""
        known = self._instances.get(id(receiver))
        # The object of this id may be another one by now, whose forerunner's end has not been told yet.
        if known is not None and known() is receiver:
            return known
        try:
            made = Instance(receiver, self._end)
        except TypeError:
            return None
        made.id = id(receiver)
        made.entries = weakref.WeakSet()
        with self.lock:
            known = self._instances.get(made.id)
            if known is not None and known() is receiver:
                return known
            self._instances[made.id] = made
        return made

    def _end(self, instance: Any) -> None:
        """An object is gone. This may run in any thread and in the middle of anything: only the lock's holder acts."""
        self._gone.append(instance)
        if not self._busy and self.lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self.lock.release()

    def _sweep(self) -> None:
        """Forget what is cached for objects that are gone."""
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
        if now - self._logged.get(operation, -_LOG_EVERY) < _LOG_EVERY:
            return
        self._logged[operation] = now
        with contextlib.suppress(Exception):
            logger.warning("the store of a cache failed in %s", operation, exc_info=error or sys.exc_info())

    def after_fork(self) -> None:
        """As a process begins: no other thread is here to finish what it had begun."""
        self.lock = threading.RLock()
        if self._busy and self._owned:
            self._mapping = self._make_mapping()
            self._get = self._mapping.get
        self._busy = False


def _owned(mapping: MutableMapping[Any, Any], is_owner: Callable[[Any], bool]) -> list[Any]:
    return [key for key in list(mapping) if isinstance(key, tuple) and key and is_owner(key[0])]


_all: Final[weakref.WeakSet[Entries]] = weakref.WeakSet()


def _after_fork() -> None:
    for entries in _all:
        entries.after_fork()


at_fork(after_in_child=_after_fork)
