"""Handles SIGTERM and SIGHUP where nobody else does: a function is called, then the process ends by the signal."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_on_signals"]

_TIMEOUT: Final = 2.0
"""Seconds after the signal until the process ends, whatever the function waits for."""

_MAX_MAIN_THREAD_WAIT: Final = 1.0
"""Seconds that the main thread may take until it runs a handler, once the time is over."""

_kill: Final = os.kill
_exit: Final = os._exit

_pending_calls: Final[list[Any]] = []
"""Keeps what the interpreter calls later."""


def call_on_signals(shut_down: Callable[[], object]) -> None:
    """Have a function called on SIGTERM and SIGHUP, each where its handler is the default one.

    Python runs a handler in the main thread, between two of its instructions: one that is inside a function written in
    C runs it when that returns. Called in another thread, this waits for the main thread in the same way.

    Args:
        shut_down: A function of a module, which may be called more than once.
    """

    def install() -> None:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                # Not the main interpreter's: no handler can be set.
                with contextlib.suppress(ValueError):
                    signal.signal(number, _Handler(shut_down))

    if threading.current_thread() is threading.main_thread():
        install()
    else:
        _call_in_main_thread(install)


class _Handler:
    """Shuts down in a thread, then sends the signal again with its default effect. Repeated signals change nothing.

    Not in the main thread: the signal may have interrupted it inside a lock that flushing needs. A parent process
    may send the signal twice: `multiprocessing` ends daemon processes that somebody else has told to end already.
    """

    def __init__(self, shut_down: Callable[[], object]) -> None:
        self._shut_down = shut_down
        self.reset_after_fork()
        reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """In a forked process: no thread of the parent's ends it."""
        self._number = 0
        self._over = False

    def __call__(self, number: int, _frame: Any) -> None:
        if self._number and not self._over:
            return
        if not self._over:
            self._number = number
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._end, name="otel-tools-signal", daemon=True).start()
                return
        signal.signal(number, signal.SIG_DFL)
        # From Python 3.12 on no thread can be started while the interpreter exits, and it exits already.
        if self._over or threading.main_thread().is_alive():
            _kill(os.getpid(), number)

    def _end(self) -> None:
        # Processors that the application added to our providers may take longer than the process may.
        flushing = threading.Thread(target=self._shut_down, name="otel-tools-flush", daemon=True)
        with contextlib.suppress(RuntimeError):
            flushing.start()
            flushing.join(_TIMEOUT)
        self._over = True
        # Only the main thread can set a handler, here the default one.
        _kill(os.getpid(), self._number)
        time.sleep(_MAX_MAIN_THREAD_WAIT)
        _exit(128 + self._number)


def _call_in_main_thread(function: Callable[[], None]) -> None:
    """Have the main thread call a function between two of its instructions, as it calls signal handlers."""
    try:
        import ctypes  # noqa: PLC0415 - rarely needed, and not in every Python
    except ImportError:
        return

    def call(_: object) -> int:
        function()
        return 0

    pending = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(call)
    _pending_calls.append(pending)
    ctypes.pythonapi.Py_AddPendingCall(pending, None)
