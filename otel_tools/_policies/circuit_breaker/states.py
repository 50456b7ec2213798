"""The states of a circuit breaker, and the transitions between them."""

from __future__ import annotations

from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, ClassVar, Final

from otel_tools._call.clock import clock
from otel_tools._call.forks import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.call import Call

__all__ = ["Circuit", "Closed", "HalfOpen", "InARow", "InWindow", "Open", "Period"]

_BUCKETS: Final = 10


class Period:
    """The time from one change of state to the next.

    An attempt belongs to the period that let it through, and its outcome counts only while that period lasts.

    Attributes:
        number: The state as a gauge shows it: 0 closed, 1 half open, 2 open.
    """

    __slots__ = ()
    number: ClassVar[int]

    def lets_through(self, call: Call) -> bool:  # noqa: ARG002 - the same for every call
        """Whether the call may run now; by default none may."""
        return False

    def succeeded(self, now: float) -> bool:  # noqa: ARG002 - the same at any time
        """Count a success; whether it ends the period."""
        return False

    def failed(self, now: float) -> bool:  # noqa: ARG002 - the same at any time
        """Count a failure; whether it ends the period."""
        return False


class Closed(Period):
    """All attempts are let through.

    Attributes:
        noted: True where a success would change the counts.
    """

    __slots__ = ("noted",)
    number = 0
    noted: object

    def lets_through(self, call: Call) -> bool:  # noqa: ARG002 - the same for every call
        """All may run."""
        return True


class InARow(Closed):
    """Closed; opens after a number of failures without a success between them. ``noted`` has their times."""

    __slots__ = ("failures", "window")
    noted: deque[float]

    def __init__(self, failures: int, window: float) -> None:
        self.failures = failures
        self.window = window
        self.noted = deque(maxlen=failures)

    def succeeded(self, now: float) -> bool:  # noqa: ARG002 - the same at any time
        """Forget the failures."""
        self.noted.clear()
        return False

    def failed(self, now: float) -> bool:
        """Count a failure; whether there are enough of them within the window."""
        self.noted.append(now)
        return len(self.noted) == self.failures and now - self.noted[0] <= self.window


class InWindow(Closed):
    """Closed; opens at a ratio of failures to attempts in a sliding window.

    Each tenth of the window has a bucket, which is reused.
    """

    __slots__ = ("attempts", "failed_attempts", "failures", "ratio", "tenth", "tenths")

    def __init__(self, failures: int, window: float, ratio: float) -> None:
        self.noted = True
        self.failures = failures
        self.ratio = ratio
        self.tenth = window / _BUCKETS
        # For each bucket: the number of its tenth since the clock began, and the counts in that tenth.
        self.tenths = [-_BUCKETS] * _BUCKETS
        self.attempts = [0] * _BUCKETS
        self.failed_attempts = [0] * _BUCKETS

    def succeeded(self, now: float) -> bool:
        """Count an attempt."""
        self.attempts[self._bucket(now)] += 1
        return False

    def failed(self, now: float) -> bool:
        """Count a failure; whether there are enough in the window, and too many in relation to all attempts."""
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
    """A few attempts at once are let through, as probes.

    Attributes:
        places: Probes at once; as many successes end the period.
        probes: The calls that run as probes.
        successes: Probes that succeeded.
    """

    __slots__ = ("places", "probes", "successes")
    number = 1

    def __init__(self, places: int) -> None:
        self.places = places
        self.probes: set[Call] = set()
        self.successes = 0

    def lets_through(self, call: Call) -> bool:
        """Whether the call was admitted as a probe."""
        return call in self.probes

    def succeeded(self, now: float) -> bool:  # noqa: ARG002 - the same at any time
        """Count a success; whether there are enough of them."""
        self.successes += 1
        return self.successes >= self.places

    def failed(self, now: float) -> bool:  # noqa: ARG002 - the same at any time
        """One failure ends the period."""
        return True


class Circuit:
    """The state that the tools of one breaker share.

    The garbage collector may end another call of this thread wherever an object is created. So none is created between
    a check and the change that follows from it.

    Attributes:
        closed: Creates a closed period.
        cooldown: Seconds of an open period.
        places: Probes at once.
        lock: Guards the changes of state.
        period: The current period; replaced under the lock, read without it.
    """

    __slots__ = ("__weakref__", "closed", "cooldown", "lock", "period", "places")

    def __init__(self, closed: Callable[[], Closed], cooldown: float, places: int) -> None:
        self.closed = closed
        self.cooldown = cooldown
        self.places = places
        self.lock = RLock()
        self.period: Period = closed()
        reset_after_fork(self)

    def admit(self, call: Call) -> Period:
        """Try to admit a call as a probe. Returns the current period, whose ``lets_through`` says whether it was."""
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

    def set(self, period: Period) -> None:
        """Begin another period by hand."""
        with self.lock:
            self.period = period

    def reset_after_fork(self) -> None:
        """In the child of a fork: the threads that made attempts or held the lock are gone."""
        self.lock = RLock()
        if isinstance(self.period, Closed):
            self.period = self.closed()
        elif isinstance(self.period, HalfOpen):
            self.period = Open(clock.now())
