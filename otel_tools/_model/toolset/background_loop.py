"""The event loop that runs async tools for sync callers: one per process, on a daemon thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

__all__ = ["run_on_background_loop"]

T = TypeVar("T")

_END_TIMEOUT: Final = 2.0
"""Seconds that an interrupted caller waits for its cancelled tools, and the end of the process for the thread."""


class _LoopThread:
    """The loop and its thread, started on first use."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: Thread | None = None
        self.is_ending = False

    def get(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None or self.thread is None or not self.thread.is_alive():
                self.loop = asyncio.new_event_loop()
                self.thread = Thread(target=self._run, args=(self.loop,), name="otel_tools-loop", daemon=True)
                self.thread.start()
            return self.loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self.is_ending:
            # All tools share the loop, and one of them may stop it.
            with contextlib.suppress(BaseException):
                loop.run_forever()

    def end(self) -> None:
        """Stop the thread and close the loop, so that Python warns of nothing at its end."""
        with self.lock:
            loop, thread, self.loop = self.loop, self.thread, None
            if loop is None or thread is None or not thread.is_alive():
                return
            self.is_ending = True
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_END_TIMEOUT)
            if not thread.is_alive():
                loop.close()
            self.is_ending = False


_loop_thread = _LoopThread()
_inherited: Final[list[_LoopThread]] = []
"""Loops of the parent process, kept alive: closing them would close the parent's sockets."""


def _start_again() -> None:
    global _loop_thread  # noqa: PLW0603 - its thread does not exist in the child of a fork
    _inherited.append(_loop_thread)
    _loop_thread = _LoopThread()


at_fork(after_in_child=_start_again)


@atexit.register
def _end_at_exit() -> None:
    _loop_thread.end()


def run_on_background_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the background loop, in a copy of the caller's context, and wait for its result.

    If the wait is interrupted, the coroutine is cancelled and gets up to 2 seconds to clean up.
    """
    ended = Event()

    async def signalling() -> T:
        try:
            return await work()
        finally:
            ended.set()

    future: Future[T] = asyncio.run_coroutine_threadsafe(signalling(), _loop_thread.get())
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            ended.wait(_END_TIMEOUT)
        raise
