"""A clock that is moved instead of waited for: back-offs, time to live, cooldowns and timeouts take no time."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from threading import Condition
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from otel_tools._call.clock import clock
from otel_tools._call.scope import current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Future

__all__ = ["FakeClock"]

_EPOCH: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""

_PATIENCE: Final = 1.0
"""Real seconds after which a wait that nobody ends moves the clock itself."""

_POLL: Final = 0.002


class _Limit(NamedTuple):
    """A timeout that ends when the clock gets there."""

    deadline: float
    timeout: asyncio.Timeout
    loop: asyncio.AbstractEventLoop


class FakeClock:
    """In its block all policies go by this clock, in every thread and task.

    Sleeping moves the clock and returns: that is how a retry's back-off and the wait for a token take no time. A wait
    with an end, such as that for a slot, goes on until it is over, or until somebody has moved the clock past its end;
    where nothing happens for a second of real time, it moves the clock there itself. A function that sleeps past its
    timeout with `sleep` or `asleep` (as `faults(latency=...)` does) times out.

    It begins where the clock stands that it replaces, so that what tools remember (tokens, cached values, open
    circuits) is as old in the block as it is, and where it ends the time goes on from there.

    Attributes:
        slept: How long each sleep was meant to be, in seconds, in order.
    """

    def __init__(self) -> None:
        self._began = self._now = clock.now()
        self._before: dict[str, Any] = {}
        self._changed = Condition()
        self._limits: list[_Limit] = []
        self.slept: list[float] = []

    def __enter__(self) -> Self:
        self._before = {name: getattr(clock, name) for name in clock.__slots__}
        self._began = self._now = clock.now()
        clock.now = self.now
        clock.time = self.time
        clock.sleep = self.sleep
        clock.asleep = self.asleep
        clock.wait = self._wait
        clock.await_ = self._await
        clock.timeout = self._timeout
        return self

    def __exit__(self, *_exception: object) -> None:
        if isinstance(getattr(self._before["sleep"], "__self__", None), FakeClock):
            outer: FakeClock = self._before["sleep"].__self__
            outer.advance(self.elapsed)
            for name, function in self._before.items():
                setattr(clock, name, function)
        else:
            clock.reset()

    def now(self) -> float:
        """Seconds since some point; only differences mean something."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds that have passed in the block."""
        return self._now - self._began

    def time(self) -> float:
        """Seconds since the epoch; the clock starts with the year 2026."""
        return _EPOCH + self.elapsed

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._move(self._now + seconds)

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass for who calls; a tool's timeout ends in the middle of it, if it does."""
        self._note(seconds)
        scope, target = current.get(), self._now + seconds
        if scope is not None and scope.deadline is not None and scope.deadline < target:
            self._move(scope.deadline)
            patience = time.monotonic() + _PATIENCE
            while not scope.given_up and time.monotonic() < patience:
                time.sleep(_POLL)
        self._move(target)

    async def asleep(self, seconds: float) -> None:
        """As `sleep`, awaiting."""
        self._note(seconds)
        scope, target = current.get(), self._now + seconds
        if scope is not None and scope.deadline is not None and scope.deadline < target:
            self._move(scope.deadline)
            # The timeout cancels this task now; where it is not this task's, its caller has only to be let run.
            await asyncio.sleep(_PATIENCE if any(limit.deadline <= self._now for limit in self._limits) else 0)
        self._move(target)
        await asyncio.sleep(0)

    def _note(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)

    def _move(self, to: float) -> None:
        with self._changed:
            self._now = max(self._now, to)
            self._changed.notify_all()
        for limit in tuple(self._limits):
            if limit.deadline <= self._now:
                limit.loop.call_soon_threadsafe(_expire, limit)

    def _wait(self, future: Future[Any], timeout: float | None) -> bool:
        end = None if timeout is None else self._now + timeout
        future.add_done_callback(self._notify)
        patience = time.monotonic() + _PATIENCE
        while not future.done():
            if end is not None and time.monotonic() > patience:
                self._move(end)
            if end is not None and self._now >= end:
                return future.done()
            with self._changed:
                self._changed.wait(_POLL)
        return True

    def _notify(self, _future: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _await(self, future: Future[Any], timeout: float | None) -> bool:  # noqa: ASYNC109 - as the real one
        end = None if timeout is None else self._now + timeout
        wrapped = asyncio.wrap_future(future)
        patience = time.monotonic() + _PATIENCE
        while not wrapped.done():
            if end is not None and time.monotonic() > patience:
                self._move(end)
            if end is not None and self._now >= end:
                return wrapped.done()
            await asyncio.wait([wrapped], timeout=_POLL)
        return True

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as timeout:
            limit = _Limit(self._now + seconds, timeout, asyncio.get_running_loop())
            self._limits.append(limit)
            try:
                yield timeout
            finally:
                self._limits.remove(limit)


def _expire(limit: _Limit) -> None:
    if not limit.timeout.expired():
        try:
            limit.timeout.reschedule(limit.loop.time())
        except RuntimeError:
            # It has ended in the meantime.
            return
