"""One event loop of our own, on one daemon thread of the process, for async tools that are run from sync code."""

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

__all__ = ["run_on_private_loop"]

T = TypeVar("T")

_PATIENCE: Final = 2.0
"""Seconds for which an interrupted caller waits for its tools to notice."""


class _Home:
    """The loop and its thread, made when they are first needed."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: Thread | None = None
        self.ending = False

    def get(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None or self.thread is None or not self.thread.is_alive():
                self.loop = asyncio.new_event_loop()
                self.thread = Thread(target=self._run, args=(self.loop,), name="otel_tools-loop", daemon=True)
                self.thread.start()
            return self.loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self.ending:
            # A tool may stop the loop that it runs on, which is everybody's.
            with contextlib.suppress(BaseException):
                loop.run_forever()

    def end(self) -> None:
        """Leave nothing behind that Python would complain about at its end."""
        with self.lock:
            loop, thread, self.loop = self.loop, self.thread, None
            if loop is None or thread is None or not thread.is_alive():
                return
            self.ending = True
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)
            if not thread.is_alive():
                loop.close()
            self.ending = False


_home = _Home()
_left: Final[list[_Home]] = []
"""Of the parent of this process: their sockets are not ours to close."""


def _start_again() -> None:
    global _home  # noqa: PLW0603 - in the child of a fork its thread is gone
    _left.append(_home)
    _home = _Home()


at_fork(after_in_child=_start_again)


@atexit.register
def _end() -> None:
    _home.end()


def run_on_private_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the private loop, in a copy of the caller's context, and wait for its result.

    Where the wait is interrupted the coroutine is cancelled, and given a moment to clean up.
    """
    ended = Event()

    async def watched() -> T:
        try:
            return await work()
        finally:
            ended.set()

    future: Future[T] = asyncio.run_coroutine_threadsafe(watched(), _home.get())
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            ended.wait(_PATIENCE)
        raise
