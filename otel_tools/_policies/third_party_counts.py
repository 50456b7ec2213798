"""Was it a hit? Told from the totals that a cache keeps, as lru_cache does, for calls that run side by side.

A call asks for the totals when it begins and when it ends. What moved in between may be another call's, so it goes into
a balance from which each call that ends takes one: whoever gets which, the sums come out as the cache's own.
"""

from __future__ import annotations

import functools
import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import CacheResult

__all__ = ["Counts", "counts_of"]


class Counts:
    """The counts of one cache, shared by all tools that call it."""

    __slots__ = ("__weakref__", "_balance")

    def __init__(self) -> None:
        self._balance = _Balance()
        _all.add(self)

    def begin(self, info: Callable[[], Any]) -> Callable[[bool], CacheResult | None]:
        """A call begins.

        Args:
            info: The cache's ``cache_info``.

        Returns:
            To be called once when the call has ended, with whether it failed: what the cache said to it, or None where
            the cache seems not to have been asked. A call that failed was no hit, unless calls ran side by side and no
            miss is left to take: exact sums go before.
        """
        balance = self._balance
        return functools.partial(balance.end, info, *balance.begin(info))

    def start_again(self) -> None:
        """In the child of a fork the threads are gone that held the lock, or would have ended their calls."""
        # A call that goes on in the child keeps what it began with.
        self._balance.lock = RLock()
        self._balance = _Balance()


class _Balance:
    """What the cache has counted and no call has taken yet."""

    __slots__ = ("active", "clears", "hits", "lock", "misses", "seen_hits", "seen_misses", "version")

    def __init__(self) -> None:
        self.lock = RLock()
        self.version = 0
        self.active = 0
        self.clears = 0
        self.seen_hits = self.seen_misses = 0
        self.hits = self.misses = 0

    def begin(self, info: Callable[[], Any]) -> tuple[int, int, int]:
        """Where the totals stand: hits, misses, and how often they were cleared."""
        return self._look(info, 1)

    def end(self, info: Callable[[], Any], hits: int, misses: int, clears: int, failed: bool) -> CacheResult | None:
        """Take one from the balance: what moved while the call ran, as far as it is there."""
        now_hits, now_misses, now_clears = self._look(info, 0)
        cleared = now_clears != clears
        hit = now_hits > (0 if cleared else hits)
        # A call that moved both was a miss: what it hit, it hit while it ran. So was one whose own count was cleared.
        missed = cleared or now_misses > misses
        with self.lock:
            self.active -= 1
            if missed:
                return self._take(hit=self.hits > 0 and self.misses == 0)
            if hit and not failed:
                return self._take(hit=self.hits > 0 or self.misses == 0)
            return None

    def _take(self, *, hit: bool) -> CacheResult:
        if hit:
            self.hits = max(0, self.hits - 1)
            return "hit"
        self.misses = max(0, self.misses - 1)
        return "miss"

    def _look(self, info: Callable[[], Any], begun: int) -> tuple[int, int, int]:
        """Add to the balance what the cache has counted since somebody last looked."""
        while True:
            version = self.version
            # Not under our lock: it may wait for the cache's own, whose holder may be about to call the tool.
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
            # Nobody's: the function was called past the tool.
            self.hits = self.misses = 0
        self.seen_hits, self.seen_misses = hits, misses


def _totals(info: Callable[[], Any]) -> tuple[int, int] | None:
    """Hits and misses; None where the cache cannot tell for once, which must not fail the call."""
    try:
        now = info()
        return int(now.hits), int(now.misses)
    except Exception:  # noqa: BLE001 - as above
        return None


_all: Final[weakref.WeakSet[Counts]] = weakref.WeakSet()
_by_cache: Final[weakref.WeakKeyDictionary[Any, Counts]] = weakref.WeakKeyDictionary()
_lock = RLock()


def counts_of(cache: Any) -> Counts:
    """The counts of a function with a cache; tools around the same one share them."""
    with _lock:
        try:
            return _by_cache.setdefault(cache, Counts())
        except TypeError:
            # It can be no key: no hash, or no weak references.
            return Counts()


def _start_again() -> None:
    global _lock  # noqa: PLW0603 - the one way to be rid of a lock that a thread of the parent holds
    _lock = RLock()
    for counts in list(_all):
        counts.start_again()


at_fork(after_in_child=_start_again)
