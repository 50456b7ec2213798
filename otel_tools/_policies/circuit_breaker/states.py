"""The states of a circuit breaker, and what changes one into another."""

from __future__ import annotations

from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, ClassVar, Final
from weakref import WeakSet

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Call

__all__ = ["Circuit", "Closed", "HalfOpen", "InARow", "InWindow", "Open", "Period"]

_BUCKETS: Final = 10


class Period:
    """The time from one change of state to the next.

    The attempts that it lets through remember it, and what comes of them counts only while it lasts.
    """

    __slots__ = ()
    number: ClassVar[int]

    def lets_through(self, call: Call) -> bool:  # noqa: ARG002 - whichever it is
        """Whether the call may run now; by default none may."""
        return False

    def succeeded(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """Count a success; whether it ends the period."""
        return False

    def failed(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """Count a failure; whether it ends the period."""
        return False


class Closed(Period):
    """All attempts are let through.

    Attributes:
        noted: True where a success would change what has been counted.
    """

    __slots__ = ("noted",)
    number = 0
    noted: object

    def lets_through(self, call: Call) -> bool:  # noqa: ARG002 - whichever it is
        """All may run."""
        return True


class InARow(Closed):
    """Failures count while no success comes between them. ``noted`` is when they were."""

    __slots__ = ("failures", "window")
    noted: deque[float]

    def __init__(self, failures: int, window: float) -> None:
        self.failures = failures
        self.window = window
        self.noted = deque(maxlen=failures)

    def succeeded(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """Forget the failures."""
        self.noted.clear()
        return False

    def failed(self, now: float) -> bool:
        """Whether there are enough of them, the first not too long ago."""
        self.noted.append(now)
        return len(self.noted) == self.failures and now - self.noted[0] <= self.window


class InWindow(Closed):
    """Failures and attempts of the last tenths of the window count; each tenth has a bucket, which is used again."""

    __slots__ = ("attempts", "failed_attempts", "failures", "ratio", "tenth", "tenths")

    def __init__(self, failures: int, window: float, ratio: float) -> None:
        self.noted = True
        self.failures = failures
        self.ratio = ratio
        self.tenth = window / _BUCKETS
        # Of each bucket: which tenth since the clock began, and what was counted in it.
        self.tenths = [-_BUCKETS] * _BUCKETS
        self.attempts = [0] * _BUCKETS
        self.failed_attempts = [0] * _BUCKETS

    def succeeded(self, now: float) -> bool:
        """Count an attempt."""
        self.attempts[self._bucket(now)] += 1
        return False

    def failed(self, now: float) -> bool:
        """Whether there are enough of them in the window, and too many of all attempts."""
        bucket = self._bucket(now)
        self.attempts[bucket] += 1
        self.failed_attempts[bucket] += 1
        attempts = failures = 0
        for index in range(_BUCKETS):
            if self.tenths[bucket] - self.tenths[index] < _BUCKETS:
                attempts += self.attempts[index]
                failures += self.failed_attempts[index]
        return failures >= self.failures and failures / attempts >= self.ratio

    def _bucket(self, now: float) -> int:
        tenth = int(now / self.tenth)
        bucket = tenth % _BUCKETS
        if self.tenths[bucket] != tenth:
            self.tenths[bucket] = tenth
            self.attempts[bucket] = self.failed_attempts[bucket] = 0
        return bucket


class Open(Period):
    """No attempt is let through.

    Attributes:
        until: When the cooldown is over.
    """

    __slots__ = ("until",)
    number = 2

    def __init__(self, until: float) -> None:
        self.until = until


class HalfOpen(Period):
    """A few attempts at once are let through.

    Attributes:
        places: How many at once; as many successes end it.
        probes: The calls that are on their way.
        successes: Probes that went well.
    """

    __slots__ = ("places", "probes", "successes")
    number = 1

    def __init__(self, places: int) -> None:
        self.places = places
        self.probes: set[Call] = set()
        self.successes = 0

    def lets_through(self, call: Call) -> bool:
        """Those that were admitted may."""
        return call in self.probes

    def succeeded(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """Whether there are enough of them."""
        self.successes += 1
        return self.successes >= self.places

    def failed(self, now: float) -> bool:  # noqa: ARG002 - whenever it was
        """One is enough."""
        return True


class Circuit:
    """The state that the tools of one breaker share.

    The garbage collector may end another call of this thread wherever an object is made. So none is made between a
    check and what follows from it.

    Attributes:
        period: What holds now; replaced under the lock, read without it.
    """

    __slots__ = ("__weakref__", "closed", "cooldown", "lock", "period", "places")

    def __init__(self, closed: Callable[[], Closed], cooldown: float, places: int) -> None:
        self.closed = closed
        self.cooldown = cooldown
        self.places = places
        self.lock = RLock()
        self.period: Period = closed()
        _everywhere.add(self)

    def admit(self, call: Call) -> Period:
        """Try to let a call through as a probe; the period that now holds knows whether it was."""
        period = self.period
        if isinstance(period, Open) and clock.now() < period.until:
            return period
        fresh = HalfOpen(self.places)
        with self.lock:
            now = clock.now()
            period = self.period
            if isinstance(period, Open) and period.until <= now:
                period = self.period = fresh
            if isinstance(period, HalfOpen) and len(period.probes) < period.places:
                period.probes.add(call)
        return period

    def succeeded(self, period: Period) -> bool:
        """Count a success of an attempt that a period let through; whether it closed the circuit."""
        fresh = None if isinstance(period, Closed) else self.closed()
        with self.lock:
            now = clock.now()
            if self.period is period and period.succeeded(now) and fresh is not None:
                self.period = fresh
                return True
        return False

    def failed(self, period: Period) -> bool:
        """Count a failure of an attempt that a period let through; whether it opened the circuit."""
        with self.lock:
            now = clock.now()
            fresh = Open(now + self.cooldown)
            if self.period is period and period.failed(now):
                self.period = fresh
                return True
        return False

    def start_again(self) -> None:
        """In the child of a fork those who made attempts are gone, and so may be who held the lock."""
        self.lock = RLock()
        if isinstance(self.period, Closed):
            self.period = self.closed()
        elif isinstance(self.period, HalfOpen):
            self.period = Open(clock.now())


_everywhere: Final[WeakSet[Circuit]] = WeakSet()


def _start_again() -> None:
    for circuit in tuple(_everywhere):
        circuit.start_again()


at_fork(after_in_child=_start_again)
