"""Token buckets by the generic cell rate algorithm (GCRA), and the buckets of one limit in this process.

The algorithm is the "virtual scheduling algorithm" of ITU-T I.371, annex A. The state of a bucket is one number, its
theoretical arrival time (TAT): the time at which the bucket will be full again if no more tokens are taken. Each token
moves it forward by the interval between two tokens. Times are integer nanoseconds, so that a reservation and its
cancellation add up to exactly zero.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import OrderedDict
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import islice
from threading import RLock
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._call.clock import clock
from otel_tools._call.forks import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = [
    "AT_ONCE",
    "COMMON",
    "Demand",
    "KeyedBuckets",
    "Quota",
    "Reservation",
    "TokenBucket",
    "nanoseconds",
    "now",
    "reserve_all",
]

COMMON: Final[Hashable] = object()
"""The key of calls without a key."""

MAX_KEYS: Final = 100_000
"""The most buckets that one limit keeps; they take about 30 MB."""

_DISTANT_PAST: Final = -(1 << 62)
"""A time before any that a clock, or a test's clock, returns."""

_EVICTION_SAMPLE: Final = 16
"""The number of oldest buckets of which the fullest is removed when there are `MAX_KEYS`."""


def nanoseconds(seconds: float) -> int:
    """Seconds, rounded to whole nanoseconds."""
    return math.floor(seconds * 1e9 + 0.5)


def now() -> int:
    """The time of `clock` in nanoseconds."""
    return int(clock.now() * 1e9 + 0.5)


def _nothing() -> None:
    pass


class Reservation(NamedTuple):
    """The answer to a request for a token. A `RateLimitStore` makes it by `after` or `refused`.

    Attributes:
        granted: Whether a token is reserved.
        wait: Nanoseconds from the request to the reserved token. If none is reserved: to the next free token.
        at: The time at the end of ``wait``, in nanoseconds of the process's monotonic clock.
        cancel: Called without arguments when a caller that waits gives up, to return the token if that is possible
            (as ``Reservation.Cancel`` of Go's ``golang.org/x/time/rate``). It must return at once and must not raise.
    """

    granted: bool
    wait: int
    at: int
    cancel: Callable[[], None] = _nothing

    @classmethod
    def after(cls, wait: int, cancel: Callable[[], None] = _nothing) -> Reservation:
        """A reserved token.

        Args:
            wait: Nanoseconds from now after which the caller may use it; 0 for at once.
            cancel: See the class. Without it, the token of a caller that gives up is lost.
        """
        return cls(granted=True, wait=wait, at=now() + wait, cancel=cancel) if wait else AT_ONCE

    @classmethod
    def refused(cls, wait: int) -> Reservation:
        """No token: the next one is further away than the caller's ``max_wait``.

        Args:
            wait: Nanoseconds from now until a token would be free. The caller raises `RateLimited` with it as
                ``retry_after``.
        """
        return cls(granted=False, wait=wait, at=now() + wait)


AT_ONCE: Final = Reservation(granted=True, wait=0, at=0)
"""A token that needs no wait. Always this object: it is compared by identity, and the fast path allocates none."""


class Quota(NamedTuple):
    """The rate and the burst of a limit, as the two parameters of the GCRA (ITU-T I.371, annex A).

    Attributes:
        interval: Nanoseconds between two tokens: the algorithm's increment T.
        tolerance: Nanoseconds by which a token may be early, its limit tau: ``interval * (burst - 1)``.
    """

    interval: int
    tolerance: int

    @classmethod
    def of(cls, rate: float, per: float, burst: int) -> Quota:
        """The quota of a limit.

        The interval is rounded up: rounded down, the limit would give out more than ``rate`` in the long run.

        Args:
            rate: Tokens that are added every ``per`` seconds, above 0.
            per: Seconds, above 0.
            burst: Tokens that may be taken at once after a pause, 1 or more.
        """
        interval = math.ceil(_exact(per) * 10**9 / _exact(rate))
        return cls(interval, interval * (burst - 1))

    @property
    def burst(self) -> float:
        """Tokens that the full bucket holds."""
        return self.tolerance / self.interval + 1

    def for_cost(self, cost: float) -> Quota:
        """The quota by which taking ``cost`` tokens at once is taking one.

        Its tolerance is negative where the cost is above the burst: such a request can never be granted.
        """
        if cost == 1:
            return self
        interval = self.interval * cost if isinstance(cost, int) else math.ceil(self.interval * cost)
        return Quota(interval, self.interval + self.tolerance - interval)


def _exact(number: float) -> Fraction:
    """The number as it was written: 0.1 is exactly a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(float(number)))


class TokenBucket:
    """One token bucket. It has no clock and no lock: the caller passes the time and holds a lock.

    Attributes:
        tat: The theoretical arrival time, in nanoseconds.
    """

    __slots__ = ("_cancelled", "_quota", "tat")

    def __init__(self, quota: Quota, tat: int) -> None:
        self.tat = tat
        self._quota = quota
        # Of each: the TAT that it wrote, and by how much it had moved it.
        self._cancelled: list[tuple[int, int]] | None = None

    def reserve(self, present: int, max_wait: int | None, quota: Quota | None = None) -> Reservation:
        """Reserve the next token, which may lie in the future, unless it comes too late.

        Args:
            present: The time in nanoseconds, not before that of any earlier reservation.
            max_wait: Nanoseconds that the caller can wait; None for any time.
            quota: The bucket's own for one token, or that of `Quota.for_cost`; None is the bucket's own.
        """
        interval, tolerance = quota or self._quota
        tat = self.tat
        at = tat - tolerance
        if at <= present:
            self.tat = max(tat, present) + interval
            return AT_ONCE
        wait = at - present
        if max_wait is not None and wait > max_wait:
            return Reservation(granted=False, wait=wait, at=at)
        self.tat = tat + interval
        return Reservation(granted=True, wait=wait, at=at)

    def cancel(self, at: int, present: int, quota: Quota | None = None) -> None:
        """Return the reserved token of a caller that had to wait for it.

        The callers behind it sleep until their own times, so only the last reservation can be undone at once. Callers
        are often cancelled together, first come first: a reservation that is cancelled in the middle is remembered,
        and undone when all those behind it are cancelled too.

        Args:
            at: The ``at`` of the reservation.
            present: The time in nanoseconds.
            quota: That of the reservation.
        """
        interval, tolerance = quota or self._quota
        # The caller had to wait, so it found a `tat` ahead of its time and moved it forward by exactly one interval.
        before = at + tolerance
        cancelled = self._cancelled
        if self.tat != before + interval:
            if cancelled is None:
                cancelled = self._cancelled = []
            # A token whose time has passed cannot be used again.
            del cancelled[: bisect_right(cancelled, (present, 0))]
            insort(cancelled, (before + interval, interval))
            return
        # First `tat`, then the list: the garbage collector may close another call between two steps, which comes here.
        self.tat = before
        while cancelled and cancelled[-1][0] == self.tat:
            self.tat -= cancelled[-1][1]
            cancelled.pop()


class KeyedBuckets:
    """The token buckets of one limit in this process, one for each key. Safe for threads; memory is bounded.

    Attributes:
        quota: The rate and the burst of each bucket.
    """

    __slots__ = ("__weakref__", "_common", "_interval", "_keyed", "_lock", "_tolerance", "quota")

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._interval, self._tolerance = quota
        # Reentrant: the garbage collector may run while it is held, and a finalizer may call a tool.
        self._lock = RLock()
        self._common = TokenBucket(quota, _DISTANT_PAST)
        # An OrderedDict finds the oldest key and moves it to the end in constant time.
        self._keyed: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        reset_after_fork(self)

    def __len__(self) -> int:
        """The number of keys that have a bucket."""
        return len(self._keyed)

    def reserve(self, max_wait: int | None = None, key: Hashable = COMMON) -> Reservation:
        """Reserve the next token; first come, first served.

        Args:
            max_wait: Nanoseconds that the caller can wait; None for any time.
            key: The key whose bucket it is taken from.

        Raises:
            TypeError: The key is not hashable.
        """
        with self._lock:
            # The time is read under the lock, so that it never goes back for a bucket.
            # monotonic_ns() takes half the time of reading the clock and converting it.
            present = monotonic_ns() if clock.now is monotonic else int(clock.now() * 1e9 + 0.5)
            bucket = self._common if key is COMMON else self._keyed_bucket(key, present)
            # The first case of `TokenBucket.reserve`, inlined: calling it would add a fifth to the time.
            tat = bucket.tat
            if tat - self._tolerance <= present:
                bucket.tat = (tat if tat > present else present) + self._interval  # noqa: FURB136 - max() is a call more
                return AT_ONCE
            reservation = bucket.reserve(present, max_wait)
        if not reservation.granted:
            return reservation
        return reservation._replace(cancel=partial(self._cancel, bucket, reservation.at))

    @property
    def lock(self) -> Any:
        """Held while a bucket is read and changed."""
        return self._lock

    def bucket(self, key: Hashable, present: int) -> TokenBucket:
        """The bucket of a key; the caller holds the lock.

        Raises:
            TypeError: The key is not hashable.
        """
        return self._common if key is COMMON else self._keyed_bucket(key, present)

    def _cancel(self, bucket: TokenBucket, at: int) -> None:
        self.cancel(bucket, at, self.quota)

    def cancel(self, bucket: TokenBucket, at: int, quota: Quota) -> None:
        """Return a reserved token; see `TokenBucket.cancel`."""
        with self._lock:
            bucket.cancel(at, now(), quota)

    def _keyed_bucket(self, key: Hashable, present: int) -> TokenBucket:
        bucket = self._keyed.get(key)
        if bucket is None:
            self._evict(present)
            bucket = self._keyed[key] = TokenBucket(self.quota, present)
        return bucket

    def _evict(self, present: int) -> None:
        """Remove full buckets among the two oldest: a full bucket is as good as a new one. Called for each new key."""
        keyed = self._keyed
        for key, bucket in list(islice(keyed.items(), 2)):
            if bucket.tat <= present:
                del keyed[key]
            else:
                keyed.move_to_end(key)
        if len(keyed) >= MAX_KEYS:
            oldest = [keyed.popitem(last=False) for _ in range(min(_EVICTION_SAMPLE, MAX_KEYS))]
            oldest.remove(min(oldest, key=lambda item: item[1].tat))
            keyed.update(oldest)

    def reset_after_fork(self) -> None:
        """Keep the spent tokens of the parent in a forked child, without the reservations of its waiting callers."""
        self._lock = RLock()
        latest = now() + self.quota.interval + self.quota.tolerance
        # New buckets: a call of the parent that is closed here cancels its reservation on the old ones.
        self._common = TokenBucket(self.quota, min(self._common.tat, latest))
        self._keyed = OrderedDict(
            (key, TokenBucket(self.quota, min(bucket.tat, latest))) for key, bucket in list(self._keyed.items())
        )


class Demand(NamedTuple):
    """What a call takes from one limit.

    Attributes:
        buckets: The limit.
        key: The key of the bucket.
        quota: That of the limit, for what the call costs.
    """

    buckets: KeyedBuckets
    key: Hashable
    quota: Quota


def reserve_all(demands: Sequence[Demand], max_wait: int | None) -> tuple[Reservation, int]:
    """Take from each of several limits at once; where one of them has to be waited for, reserve from that one alone.

    So a call that waits or is refused takes nothing from the others. To be asked again for the others when the wait is
    over.

    Args:
        demands: One for each limit.
        max_wait: Nanoseconds that the caller can wait; None for any time.

    Returns:
        ``AT_ONCE``: everything was taken. Otherwise the reservation, or refusal, of the limit with the longest wait;
        and its index.

    Raises:
        TypeError: A key is not hashable.
    """
    with ExitStack() as locks:
        # Always in the same order: two calls with the same limits must not wait for each other.
        for buckets in sorted({demand.buckets for demand in demands}, key=id):
            locks.enter_context(buckets.lock)
        present = now()
        found = [demand.buckets.bucket(demand.key, present) for demand in demands]
        waits = [bucket.tat - demand.quota.tolerance - present for bucket, demand in zip(found, demands, strict=True)]
        longest = max(waits)
        if longest <= 0:
            for bucket, demand in zip(found, demands, strict=True):
                bucket.reserve(present, 0, demand.quota)
            return AT_ONCE, 0
        index = waits.index(longest)
        buckets, _, quota = demands[index]
        reservation = found[index].reserve(present, max_wait, quota)
    if reservation.granted:
        reservation = reservation._replace(cancel=partial(buckets.cancel, found[index], reservation.at, quota))
    return reservation, index
