"""The one clock: what drivers wait by and policies decide by, so that a test can put another in its place.

``otel_tools.testing.FakeClock`` does. Spans and durations are not measured by it: what they say is always true.
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
    """Tells the time and lets it pass.

    Attributes:
        now: Seconds that never go back; only differences mean something.
        time: Seconds since the epoch.
        sleep: Block for so many seconds.
        asleep: Await for so many seconds.
        wait: Block until a future is done, or for so many seconds; whether it is done.
        await_: As ``wait``, awaiting. The future may have other waiters: it is left alone whatever happens to this one.
        timeout: An `asyncio.timeout` of so many seconds.
    """

    __slots__ = ("asleep", "await_", "now", "sleep", "time", "timeout", "wait")

    now: Callable[[], float]
    time: Callable[[], float]
    sleep: Callable[[float], None]
    asleep: Callable[[float], Awaitable[None]]
    wait: Callable[[Future[Any], float | None], bool]
    await_: Callable[[Future[Any], float | None], Awaitable[bool]]
    timeout: Callable[[float], AbstractAsyncContextManager[asyncio.Timeout]]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Go by the real time, and never back: what was decided by a clock that was ahead of it is not undone."""
        ahead = self.now() - time.monotonic() if hasattr(self, "now") else 0.0
        self.now = time.monotonic if ahead <= 0 else lambda: time.monotonic() + ahead
        self.time = time.time
        self.sleep = time.sleep
        self.asleep = asyncio.sleep
        self.wait = _wait
        self.await_ = _await
        self.timeout = asyncio.timeout


def _wait(future: Future[Any], timeout: float | None) -> bool:
    # A third of what concurrent.futures.wait() takes.
    try:
        future.exception(timeout if timeout is None else min(timeout, TIMEOUT_MAX))
    except TimeoutError:
        return future.done()
    except CancelledError:
        pass
    return True


async def _await(future: Future[Any], timeout: float | None) -> bool:  # noqa: ASYNC109 - a wait that ends is no error
    # asyncio.wait() leaves what it waits for alone when it is cancelled or out of time, so other waiters go on.
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=timeout)
    return bool(done)


clock: Final = Clock()
