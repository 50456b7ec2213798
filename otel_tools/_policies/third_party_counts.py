"""Tells hits from misses by the totals of a cache's ``cache_info()``, also for calls that run at the same time.

A call reads the totals when it begins and when it ends. A change in between may come from another call. So changes are
collected, and each call that ends claims one: whichever call gets which, the sums equal the cache's own.
"""

from __future__ import annotations

import functools
import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import at_fork, reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.call import CacheResult

__all__ = ["Counts", "counts_of"]


class Counts:
    """The counts of one cache, shared by all tools that call it."""

    __slots__ = ("__weakref__", "_unclaimed")

    def __init__(self) -> None:
        self._unclaimed = _Unclaimed()
        reset_after_fork(self)

    def begin(self, info: Callable[[], Any]) -> Callable[[bool], CacheResult | None]:
        """A call begins.

        Args:
            info: The cache's ``cache_info``.

        Returns:
            To be called once when the call has ended, with whether it failed: what the cache answered, or None where
            the cache seems not to have been asked. A call that failed was no hit, unless calls ran at the same time and
            no miss is left to claim: exact sums come first.
        """
        unclaimed = self._unclaimed
        return functools.partial(unclaimed.end, info, *unclaimed.begin(info))

    def reset_after_fork(self) -> None:
        """In the child of a fork the threads are gone that held the lock, or would have ended their calls."""
        # A call that goes on in the child keeps what it began with.
        self._unclaimed.lock = RLock()
        self._unclaimed = _Unclaimed()


class _Unclaimed:
    """Hits and misses that the cache has counted and no call has claimed yet.

    Attributes:
        lock: Guards all others.
        version: How often the totals have been read: a reading older than another one is thrown away.
        active: Calls that have begun and not ended.
        clears: How often the cache's totals went back, since somebody cleared the cache.
        seen_hits: The cache's hits at the latest reading; ``seen_misses`` likewise.
        hits: Hits that nobody has claimed; ``misses`` likewise.
    """

    __slots__ = ("active", "clears", "hits", "lock", "misses", "seen_hits", "seen_misses", "version")

    def __init__(self) -> None:
        self.lock = RLock()
        self.version = 0
        self.active = 0
        self.clears = 0
        self.seen_hits = self.seen_misses = 0
        self.hits = self.misses = 0

    def begin(self, info: Callable[[], Any]) -> tuple[int, int, int]:
        """Read the totals: hits, misses, and how often they were cleared."""
        return self._read(info, 1)

    def end(self, info: Callable[[], Any], hits: int, misses: int, clears: int, failed: bool) -> CacheResult | None:
        """Claim a hit or a miss, by what changed while the call ran."""
        now_hits, now_misses, now_clears = self._read(info, 0)
        cleared = now_clears != clears
        hit = now_hits > (0 if cleared else hits)
        # A call that changed both was a miss; the hits were calls that its function made. A call whose own count was
        # cleared was a miss too.
        missed = cleared or now_misses > misses
        with self.lock:
            self.active -= 1
            if missed:
                return self._claim(hit=self.hits > 0 and self.misses == 0)
            if hit and not failed:
                return self._claim(hit=self.hits > 0 or self.misses == 0)
            return None

    def _claim(self, *, hit: bool) -> CacheResult:
        if hit:
            self.hits = max(0, self.hits - 1)
            return "hit"
        self.misses = max(0, self.misses - 1)
        return "miss"

    def _read(self, info: Callable[[], Any], begun: int) -> tuple[int, int, int]:
        """Read the totals, and add what the cache has counted since the latest reading."""
        while True:
            version = self.version
            # Not under our lock: this may wait for the cache's own, whose holder may be about to call the tool.
            totals = _totals(info)
            with self.lock:
                if version == self.version:
                    self.version += 1
                    self._add(*(totals or (self.seen_hits, self.seen_misses)))
                    self.active += begun
                    return self.seen_hits, self.seen_misses, self.clears

    def _add(self, hits: int, misses: int) -> None:
        if hits < self.seen_hits or misses < self.seen_misses:
            self.clears += 1
            self.seen_hits = self.seen_misses = 0
        if self.active:
            self.hits += hits - self.seen_hits
            self.misses += misses - self.seen_misses
        else:
            # These belong to no call: the function was called directly, not as a tool.
            self.hits = self.misses = 0
        self.seen_hits, self.seen_misses = hits, misses


def _totals(info: Callable[[], Any]) -> tuple[int, int] | None:
    """Hits and misses; None where the cache raises, which must not fail the call."""
    try:
        now = info()
        return int(now.hits), int(now.misses)
    except Exception:  # noqa: BLE001 - as above
        return None


_by_cache: Final[weakref.WeakKeyDictionary[Any, Counts]] = weakref.WeakKeyDictionary()
_lock = RLock()


def counts_of(cache: Any) -> Counts:
    """The counts of a function with a cache; all tools of the same function share them."""
    with _lock:
        try:
            return _by_cache.setdefault(cache, Counts())
        except TypeError:
            # It cannot be a key: it has no hash, or takes no weak references.
            return Counts()


def _start_again() -> None:
    global _lock  # noqa: PLW0603 - the one way to be rid of a lock that a thread of the parent holds
    _lock = RLock()


at_fork(after_in_child=_start_again)
