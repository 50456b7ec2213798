"""The clock of drivers and policies; a test can replace it (``otel_tools.testing.FakeClock``).

Spans and durations do not use it: they always show real time.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import CancelledError
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager

__all__ = ["Clock", "clock"]


class Clock:
    """Tells the time, sleeps and waits.

    Attributes:
        now: Seconds that never go back; only differences mean something.
        time: Seconds since the epoch.
        sleep: Block for this many seconds.
        asleep: As ``sleep``, for async code.
        wait: Block until a future is done or this many seconds have passed; returns whether it is done.
        await_future: As ``wait``, for async code. Does not cancel the future when it is cancelled or times out.
        timeout: An `asyncio.timeout` of this many seconds.
    """

    __slots__ = ("asleep", "await_future", "now", "sleep", "time", "timeout", "wait")

    now: Callable[[], float]
    time: Callable[[], float]
    sleep: Callable[[float], None]
    asleep: Callable[[float], Awaitable[None]]
    wait: Callable[[Future[Any], float | None], bool]
    await_future: Callable[[Future[Any], float | None], Awaitable[bool]]
    timeout: Callable[[float], AbstractAsyncContextManager[asyncio.Timeout]]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Use the real time, but never go back: decisions made by a clock that was ahead stay valid."""
        ahead = self.now() - time.monotonic() if hasattr(self, "now") else 0.0
        self.now = time.monotonic if ahead <= 0 else lambda: time.monotonic() + ahead
        self.time = time.time
        self.sleep = time.sleep
        self.asleep = asyncio.sleep
        self.wait = _wait
        self.await_future = _await_future
        self.timeout = asyncio.timeout


def _wait(future: Future[Any], timeout: float | None) -> bool:
    # Takes a third of the time of concurrent.futures.wait().
    try:
        future.exception(timeout if timeout is None else min(timeout, TIMEOUT_MAX))
    except TimeoutError:
        return future.done()
    except CancelledError:
        pass
    return True


async def _await_future(future: Future[Any], timeout: float | None) -> bool:  # noqa: ASYNC109 - a wait that ends is no error
    # asyncio.wait() does not cancel the future when it is cancelled or times out, so other waiters go on.
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=timeout)
    return bool(done)


clock: Final = Clock()
