"""Handles SIGTERM and SIGHUP where nobody else does: a function is called, then the process ends by the signal."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_on_signals"]

_TIMEOUT: Final = 2.0
"""Seconds after the signal until the process ends, whatever the function waits for."""

_kill: Final = os.kill

_pending_calls: Final[list[Any]] = []
"""Keeps what the interpreter calls later."""


def call_on_signals(shut_down: Callable[[], object]) -> None:
    """Have a function called on SIGTERM and SIGHUP, each where its handler is the default one.

    Python runs a handler in the main thread, between two of its instructions: one that is inside a function written in
    C runs it when that returns. Called in another thread, this waits for the main thread in the same way.

    Args:
        shut_down: A function of a module, which may be called more than once.
    """
    handlers = {
        getattr(signal, name): _Handler(getattr(signal, name), shut_down)
        for name in ("SIGTERM", "SIGHUP")
        if hasattr(signal, name)
    }

    def install() -> None:
        for number, handler in handlers.items():
            if signal.getsignal(number) == signal.SIG_DFL:
                # Not the main interpreter's: no handler can be set.
                with contextlib.suppress(ValueError):
                    signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        install()
    else:
        _call_in_main_thread(install)


class _Handler:
    """Shuts down in a thread, then sends the signal again with its default effect. Repeated signals change nothing.

    Not in the main thread: the signal may have interrupted it inside a lock that flushing needs. A parent process
    may send the signal twice: `multiprocessing` ends daemon processes that somebody else has told to end already.
    """

    def __init__(self, number: int, shut_down: Callable[[], object]) -> None:
        self._number = number
        self._shut_down = shut_down
        self._set_default = _function_that_sets_default_handlers()
        self._came = False
        reset_after_fork(self)
        # Registered now, before what shuts down at exit, so that it runs after that.
        atexit.register(self._end_at_exit)

    def reset_after_fork(self) -> None:
        """In a forked process: the signal came to the parent."""
        self._came = False

    def __call__(self, number: int, _frame: Any) -> None:
        if self._came:
            return
        self._came = True
        if self._set_default is None:
            signal.signal(number, signal.SIG_DFL)
        try:
            threading.Thread(target=self._end, name="otel-tools-signal", daemon=True).start()
        except RuntimeError:
            signal.signal(number, signal.SIG_DFL)
            # From Python 3.12 on no thread can be started while the interpreter exits, and it exits already.
            if threading.main_thread().is_alive():
                _kill(os.getpid(), number)

    def _end(self) -> None:
        # Processors that the application added to our providers may take longer than the process may.
        flushing = threading.Thread(target=self._shut_down, name="otel-tools-flush", daemon=True)
        with contextlib.suppress(RuntimeError):
            flushing.start()
            flushing.join(_TIMEOUT)
        if self._set_default is not None:
            self._set_default(self._number, None)
        _kill(os.getpid(), self._number)

    def _end_at_exit(self) -> None:
        """Where the main thread has come to its end meanwhile: the process ends by the signal all the same."""
        if self._came:
            signal.signal(self._number, signal.SIG_DFL)
            _kill(os.getpid(), self._number)


def _function_that_sets_default_handlers() -> Callable[[int, None], object] | None:
    """The C library's `signal`: Python's own can be called in the main thread only. None where it is not at hand."""
    try:
        import ctypes  # noqa: PLC0415 - not in every Python

        function = ctypes.CDLL(None).signal
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    return function


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
