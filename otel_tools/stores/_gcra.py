"""A token bucket as one number, and one of them for each key: who may go when, by arithmetic alone.

The number is the bucket's *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371, annex A, "virtual
scheduling"): when the bucket will be full again if nobody else comes. Every token moves it on by the interval between
two tokens. Times are integer nanoseconds, so that what is taken and given back adds up to nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import OrderedDict
from fractions import Fraction
from functools import partial
from itertools import islice
from threading import RLock
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakSet

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["AT_ONCE", "COMMON", "Bucket", "Buckets", "Quota", "Reservation", "nanoseconds", "now"]

COMMON: Final[Hashable] = object()
"""The key of calls that have none."""

MAX_KEYS: Final = 100_000
"""So many buckets are kept at most, about 30 MB."""

_LONG_AGO: Final = -(1 << 62)
"""Before any time that a clock, or one put in its place for a test, will tell."""

_COMPARED: Final = 16
"""So many old buckets are compared to forget the fullest of them, when there are too many."""


def nanoseconds(seconds: float) -> int:
    """Seconds as the nearest whole number of nanoseconds."""
    return math.floor(seconds * 1e9 + 0.5)


def now() -> int:
    """The clock's time in nanoseconds."""
    return int(clock.now() * 1e9 + 0.5)


def _nothing() -> None:
    pass


class Reservation(NamedTuple):
    """What a bucket answers.

    Attributes:
        granted: Whether a token is reserved.
        wait: Nanoseconds until it is the caller's; where none is reserved, until one would be free.
        at: When that is, in nanoseconds of the clock.
        give_back: For a caller that had to wait and no longer wants the token. It blocks for an instant at most and
            does not raise.
    """

    granted: bool
    wait: int
    at: int
    give_back: Callable[[], None] = _nothing


AT_ONCE: Final = Reservation(granted=True, wait=0, at=0)
"""The token is the caller's already; this very object, so that the plain path makes none."""


class Quota(NamedTuple):
    """How much a bucket gives.

    Attributes:
        interval: Nanoseconds between two tokens.
        tolerance: Nanoseconds between the first and the last token of a burst, had they come one by one.
    """

    interval: int
    tolerance: int

    @classmethod
    def of(cls, rate: float, per: float, burst: int) -> Quota:
        """So many tokens per so many seconds, and so many at once.

        The interval is rounded up: rounded down, more would be given in the long run than was allowed.
        """
        interval = math.ceil(_exact(per) * 10**9 / _exact(rate))
        return cls(interval, interval * (burst - 1))


def _exact(number: float) -> Fraction:
    """The number that was written: 0.1 is a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(float(number)))


class Bucket:
    """One bucket. It knows no clock and no lock.

    Attributes:
        tat: The theoretical arrival time, in nanoseconds.
    """

    __slots__ = ("_gaps", "_interval", "_tolerance", "tat")

    def __init__(self, quota: Quota, tat: int) -> None:
        self.tat = tat
        self._interval, self._tolerance = quota
        self._gaps: list[int] | None = None

    def reserve(self, present: int, max_wait: int | None) -> Reservation:
        """Take the next token, which may be one of the future, unless that is too far away.

        Args:
            present: The time in nanoseconds, not before that of any earlier reservation.
            max_wait: Nanoseconds that the caller would wait; None is without end.
        """
        tat = self.tat
        at = tat - self._tolerance
        if at <= present:
            self.tat = max(tat, present) + self._interval
            return AT_ONCE
        wait = at - present
        if max_wait is not None and wait > max_wait:
            return Reservation(granted=False, wait=wait, at=at)
        self.tat = tat + self._interval
        return Reservation(granted=True, wait=wait, at=at)

    def give_back(self, at: int, present: int) -> None:
        """Take back the reservation of a caller that had to wait for it.

        Those behind it are asleep until their times, so only the last place is free for the next caller. But callers
        are often given up together, first come first: a place given up in the middle becomes free when those behind
        it are given up too.

        Args:
            at: What the reservation said.
            present: The time in nanoseconds.
        """
        # Whoever waits came upon this `tat`, which was ahead of its time, and moved it on by exactly one interval.
        before = at + self._tolerance
        gaps = self._gaps
        if self.tat != before + self._interval:
            if gaps is None:
                gaps = self._gaps = []
            # What is past cannot be had again, whoever gives it up.
            del gaps[: bisect_right(gaps, present)]
            insort(gaps, before + self._interval)
            return
        # In this order, so that a call that the garbage collector makes in the middle is not forgotten.
        self.tat = before
        while gaps and gaps[-1] == self.tat:
            self.tat -= self._interval
            gaps.pop()


_all: Final[WeakSet[Buckets]] = WeakSet()


class Buckets:
    """The buckets of one limit, one for each key, in bounded memory, for any number of threads and tasks.

    Attributes:
        quota: What each of them gives.
    """

    __slots__ = ("__weakref__", "_common", "_interval", "_keyed", "_lock", "_tolerance", "quota")

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._interval, self._tolerance = quota
        # Re-entrant: the garbage collector may run while it is held, and a destructor may call a tool.
        self._lock = RLock()
        self._common = Bucket(quota, _LONG_AGO)
        # In an ordered dictionary the oldest can be found and put last in constant time.
        self._keyed: OrderedDict[Hashable, Bucket] = OrderedDict()
        _all.add(self)

    def __len__(self) -> int:
        """How many keys have a bucket."""
        return len(self._keyed)

    def reserve(self, max_wait: int | None = None, key: Hashable = COMMON) -> Reservation:
        """Reserve a token: first come, first served.

        Args:
            max_wait: Nanoseconds that the caller would wait; None is without end.
            key: Whose token.

        Raises:
            TypeError: The key is not hashable.
        """
        with self._lock:
            # The time is read where nobody can come between, so that it never goes back for the bucket.
            # The real time comes as a whole number at half the price.
            present = monotonic_ns() if clock.now is monotonic else int(clock.now() * 1e9 + 0.5)
            bucket = self._common if key is COMMON else self._of(key, present)
            # `Bucket.reserve` once more, for a token that is there: the call would be a fifth of the whole.
            tat = bucket.tat
            if tat - self._tolerance <= present:
                bucket.tat = (tat if tat > present else present) + self._interval  # noqa: FURB136 - a call less
                return AT_ONCE
            reservation = bucket.reserve(present, max_wait)
        if not reservation.granted:
            return reservation
        return reservation._replace(give_back=partial(self._give_back, bucket, reservation.at))

    def _give_back(self, bucket: Bucket, at: int) -> None:
        with self._lock:
            bucket.give_back(at, now())

    def _of(self, key: Hashable, present: int) -> Bucket:
        bucket = self._keyed.get(key)
        if bucket is None:
            self._make_room(present)
            bucket = self._keyed[key] = Bucket(self.quota, present)
        return bucket

    def _make_room(self, present: int) -> None:
        """Forget buckets that are full: they are as good as new. For each that comes the two oldest are looked at."""
        keyed = self._keyed
        for key, bucket in list(islice(keyed.items(), 2)):
            if bucket.tat <= present:
                del keyed[key]
            else:
                keyed.move_to_end(key)
        if len(keyed) >= MAX_KEYS:
            oldest = [keyed.popitem(last=False) for _ in range(min(_COMPARED, MAX_KEYS))]
            oldest.remove(min(oldest, key=lambda item: item[1].tat))
            keyed.update(oldest)

    def _forked(self) -> None:
        """In the child: the parent's tokens are spent, but those who waited for more are not here."""
        self._lock = RLock()
        latest = now() + self.quota.interval + self.quota.tolerance
        # New ones: a call of the parent's that is closed here gives its place back to the old.
        self._common = Bucket(self.quota, min(self._common.tat, latest))
        self._keyed = OrderedDict(
            (key, Bucket(self.quota, min(bucket.tat, latest))) for key, bucket in list(self._keyed.items())
        )


def _after_fork() -> None:
    for buckets in list(_all):
        buckets._forked()  # noqa: SLF001 - one module


at_fork(after_in_child=_after_fork)
