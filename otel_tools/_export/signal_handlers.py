"""Handles SIGTERM and SIGHUP where nobody else does: a function is called, then the process ends by the signal.

A handler of `signal.signal` runs in the main thread, between two of its instructions. That may be never: a signal that
comes just before the main thread waits in the system does not wake it up, and `multiprocessing.Pool.terminate` would
hang. So `faulthandler` handles the signals: it writes into a pipe at once, in whichever thread, and a thread that reads
the pipe does the rest. For `signal.getsignal`, and for servers that look at it, the handler is the default one.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from otel_tools._call.forks import ForkHandlers
from otel_tools._export.process_hooks import call_bounded, has_default_handler

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_on_signals"]

_LOWEST: Final = 3800
"""The lowest number of our file descriptors, where the system allows so many. Whoever closes all files, as daemons do,
does not open as many again: nothing else gets our numbers, and is written to when a signal comes."""

_kill: Final = os.kill


def call_on_signals(shut_down: Callable[[], object]) -> None:
    """Have a function called on SIGTERM and SIGHUP, each where its handler is the default one. Works in any thread.

    The function runs in a thread: what holds the interpreter's lock without a pause delays it. Does nothing on
    Windows, which ends a process without asking it.

    Args:
        shut_down: A function of a module, which may be called more than once.
    """
    if not hasattr(faulthandler, "register"):
        return
    handlers = [
        _SignalHandler(number, shut_down) for number in (signal.SIGTERM, signal.SIGHUP) if has_default_handler(number)
    ]
    if not handlers:
        return
    blocked = threading.local()

    def block() -> None:
        # A signal that comes to the child before it has pipes of its own would be read by the parent.
        blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, [handler.number for handler in handlers])

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked.before)

    def renew_and_unblock() -> None:
        try:
            for handler in handlers:
                handler.renew()
        finally:
            unblock()

    ForkHandlers().add(before=block, after_in_parent=unblock, after_in_child=renew_and_unblock)


class _SignalHandler:
    """Shuts down, then lets the signal end the process. Repeated signals change nothing.

    A parent process may send a signal twice: `multiprocessing` ends daemon processes that somebody else has told to
    end already.
    """

    def __init__(self, number: int, shut_down: Callable[[], object]) -> None:
        self.number = number
        self._shut_down = shut_down
        self._pipe: tuple[int, int] | None = None
        self.renew()
        # Registered before what shuts down at exit, so that it runs after that.
        atexit.register(self._at_exit)

    def renew(self) -> None:
        """Make a pipe and a thread; in a forked process, in the place of the parent's."""
        self._came = False
        inherited, self._pipe = self._pipe, None
        try:
            self._pipe = reader, writer = _high_pipe()
            threading.Thread(target=self._wait, args=(reader,), name="otel-tools-signal", daemon=True).start()
            # Where it is registered already, only the file is another; the application may have set a handler since.
            faulthandler.register(self.number, writer, all_threads=False)
        except (OSError, RuntimeError):
            # No more files or threads can be had.
            self._unregister()
        for number in inherited or ():
            with contextlib.suppress(OSError):
                os.close(number)

    def _wait(self, reader: int) -> None:
        came = b""
        with contextlib.suppress(OSError):
            came = os.read(reader, 1)
        if came:
            self._came = True
            call_bounded(self._shut_down)
            self._end()
        else:
            # Somebody has closed all files, as daemons do.
            self._unregister()

    def _at_exit(self) -> None:
        """Where the main thread has come to its end meanwhile: the process ends by the signal all the same."""
        if self._came:
            self._end()
        else:
            # Threads do not run any more when the interpreter ends.
            self._unregister()

    def _end(self) -> None:
        faulthandler.unregister(self.number)
        _kill(os.getpid(), self.number)

    def _unregister(self) -> None:
        # It would put the default handler in the place of one that the application has set.
        if signal.getsignal(self.number) == signal.SIG_DFL:
            faulthandler.unregister(self.number)


def _high_pipe() -> tuple[int, int]:
    """A pipe with high numbers. Writing to it never blocks."""
    import fcntl  # noqa: PLC0415 - not on Windows
    import resource  # noqa: PLC0415 - not on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = _LOWEST if limit < 0 else max(0, min(limit - 200, _LOWEST))
    low = os.pipe()
    try:
        reader, writer = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, lowest) for number in low)
    except OSError:
        reader, writer = low
    else:
        for number in low:
            os.close(number)
    os.set_blocking(writer, False)
    return reader, writer
