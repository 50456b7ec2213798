"""A fake clock: back-offs, times to live, cooldowns and timeouts pass in no real time."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from threading import Condition
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from otel_tools._call.clock import clock
from otel_tools._call.scope import current_scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Future

__all__ = ["FakeClock"]

_EPOCH: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""

_MAX_REAL_WAIT: Final = 1.0
"""Real seconds after which a wait with a timeout moves the clock to its own end."""

_POLL_INTERVAL: Final = 0.002
"""Real seconds between two looks at a future or at the clock."""


class _PendingTimeout(NamedTuple):
    """An `asyncio.timeout` that expires when the fake clock reaches its deadline."""

    deadline: float
    timeout: asyncio.Timeout
    loop: asyncio.AbstractEventLoop


class FakeClock:
    """A clock for all policies, in every thread and task, as long as its ``with`` block runs.

    A sleep moves the clock and returns at once, so a retry's back-off and the wait for a token take no real time. A
    wait with a timeout, such as the one for a slot, ends when it succeeds or when somebody moves the clock past its
    end. If neither happens within a second of real time, the wait moves the clock to its end itself. A function that
    sleeps past its timeout with `sleep` or `asleep` (as `faults(latency=...)` does) times out.

    The clock starts at the time of the clock that it replaces, so tokens, cached values and open circuits have the same
    age inside the block as before it. After the block, time goes on from where this clock stopped.

    Attributes:
        slept: The seconds of each sleep, in order.
    """

    def __init__(self) -> None:
        self._began = self._now = clock.now()
        self._replaced: dict[str, Any] = {}
        self._changed = Condition()
        self._pending_timeouts: list[_PendingTimeout] = []
        self.slept: list[float] = []

    def __enter__(self) -> Self:
        self._replaced = {name: getattr(clock, name) for name in clock.__slots__}
        self._began = self._now = clock.now()
        clock.now = self.now
        clock.time = self.time
        clock.sleep = self.sleep
        clock.asleep = self.asleep
        clock.wait = self._wait
        clock.await_future = self._await
        clock.timeout = self._timeout
        return self

    def __exit__(self, *_exception: object) -> None:
        outer = getattr(self._replaced["sleep"], "__self__", None)
        if isinstance(outer, FakeClock):
            outer.advance(self.elapsed)
            for name, function in self._replaced.items():
                setattr(clock, name, function)
        else:
            clock.reset()

    def now(self) -> float:
        """Return the seconds since an arbitrary point in time; only differences have a meaning."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds that have passed since the block began."""
        return self._now - self._began

    def time(self) -> float:
        """Return the seconds since the epoch. The block begins at 2026-01-01T00:00:00Z."""
        return _EPOCH + self.elapsed

    def advance(self, seconds: float) -> None:
        """Move the clock forward by this many seconds."""
        self._move_to(self._now + seconds)

    def sleep(self, seconds: float) -> None:
        """Move the clock forward as a sleep of the caller does; a tool's timeout that ends before then expires."""
        self._record(seconds)
        scope, target = current_scope.get(), self._now + seconds
        if scope is not None and scope.deadline is not None and scope.deadline < target:
            self._move_to(scope.deadline)
            real_end = time.monotonic() + _MAX_REAL_WAIT
            while not scope.given_up and time.monotonic() < real_end:
                time.sleep(_POLL_INTERVAL)
            if scope.given_up:
                # Nobody waits for this thread: if it moved the clock, the caller's next attempt would lose that time.
                return
        self._move_to(target)

    async def asleep(self, seconds: float) -> None:
        """As `sleep`, for async code."""
        self._record(seconds)
        scope, target = current_scope.get(), self._now + seconds
        if scope is not None and scope.deadline is not None and scope.deadline < target:
            self._move_to(scope.deadline)
            # An expired asyncio timeout now cancels this task. Any other deadline needs only one turn of the loop.
            expired = any(pending.deadline <= self._now for pending in self._pending_timeouts)
            await asyncio.sleep(_MAX_REAL_WAIT if expired else 0)
        self._move_to(target)
        await asyncio.sleep(0)

    def _record(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)

    def _move_to(self, target: float) -> None:
        with self._changed:
            self._now = max(self._now, target)
            self._changed.notify_all()
        for pending in tuple(self._pending_timeouts):
            if pending.deadline <= self._now:
                pending.loop.call_soon_threadsafe(_expire, pending)

    def _wait(self, future: Future[Any], timeout: float | None) -> bool:
        end = None if timeout is None else self._now + timeout
        future.add_done_callback(self._notify)
        real_end = time.monotonic() + _MAX_REAL_WAIT
        while not future.done():
            if end is not None and time.monotonic() > real_end:
                self._move_to(end)
            if end is not None and self._now >= end:
                return future.done()
            with self._changed:
                self._changed.wait(_POLL_INTERVAL)
        return True

    def _notify(self, _future: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _await(self, future: Future[Any], timeout: float | None) -> bool:  # noqa: ASYNC109 - as the real one
        end = None if timeout is None else self._now + timeout
        wrapped = asyncio.wrap_future(future)
        real_end = time.monotonic() + _MAX_REAL_WAIT
        while not wrapped.done():
            if end is not None and time.monotonic() > real_end:
                self._move_to(end)
            if end is not None and self._now >= end:
                return wrapped.done()
            await asyncio.wait([wrapped], timeout=_POLL_INTERVAL)
        return True

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as timeout:
            pending = _PendingTimeout(self._now + seconds, timeout, asyncio.get_running_loop())
            self._pending_timeouts.append(pending)
            try:
                yield timeout
            finally:
                self._pending_timeouts.remove(pending)


def _expire(pending: _PendingTimeout) -> None:
    if not pending.timeout.expired():
        try:
            pending.timeout.reschedule(pending.loop.time())
        except RuntimeError:
            # The block under the timeout has ended in the meantime.
            return
