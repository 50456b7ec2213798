"""Runs a function when the process ends: by `atexit`, at the end of a `multiprocessing` child, and by `os._exit`."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["call_at_exit", "call_before_exec", "call_before_hard_exit", "call_before_own_signal", "call_bounded"]

_ENDING_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""Signals by which a process is asked to end, and by which one that was asked ends itself."""

_TIMEOUT: Final = 2.0
"""Seconds that the end of the process waits at most, whatever the function waits for."""


def call_at_exit(shut_down: Callable[[], object]) -> None:
    """Have a function called where Python itself ends the process, or a child process of `multiprocessing`.

    Args:
        shut_down: A function of a module, which may be called more than once.
    """
    from multiprocessing import util  # noqa: PLC0415 - only a configured process needs it

    def register(_: object = None) -> None:
        util.Finalize(None, shut_down, exitpriority=0)

    atexit.register(shut_down)
    # A child process ends without `atexit` functions, but runs its finalizers.
    register()
    # A forked child forgets the finalizers of its parent before it runs these. They live as long as their object.
    util.register_after_fork(shut_down, register)


def call_before_hard_exit(shut_down: Callable[[], object]) -> None:
    """Have a function called by `os._exit`, with which workers such as those of billiard (Celery) and RQ end.

    Nothing else runs in such a process: no `atexit` function, and no finalizer of `multiprocessing`.
    """
    _put_before(os, "_exit", shut_down)


def call_before_exec(flush: Callable[[], object]) -> None:
    """Have a function called before another program replaces the process. It may fail: the process then goes on."""
    _put_before(os, "execv", flush)
    _put_before(os, "execve", flush)


def call_before_own_signal(shut_down: Callable[[], object]) -> None:
    """Have a function called where the process ends itself by a signal whose handler is the default one.

    Servers such as uvicorn do that: they handle the signal, put back the handler that was there, and send the signal
    again.
    """

    def ends(number: int) -> bool:
        return number in _ENDING_SIGNALS and has_default_handler(number)

    _put_before(signal, "raise_signal", shut_down, ends)
    _put_before(os, "kill", shut_down, lambda pid, number: pid == os.getpid() and ends(number))


def has_default_handler(number: int) -> bool:
    """Whether nobody handles a signal, neither in Python nor in C.

    A program that Python is embedded in, such as uWSGI, handles signals in C; so does `faulthandler`. Only Linux tells.
    """
    if signal.getsignal(number) != signal.SIG_DFL:
        return False
    with contextlib.suppress(OSError, ValueError), Path("/proc/self/status").open(encoding="ascii") as status:
        caught = next((line for line in status if line.startswith("SigCgt:")), "SigCgt: 0")
        return not int(caught.split()[1], 16) & 1 << (number - 1)
    return True


def _put_before(
    module: ModuleType, name: str, first: Callable[[], object], condition: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Replace a function of a module by one that calls another before it, where a condition on its arguments holds."""
    function = getattr(module, name)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Whatever happens here, a signal's KeyboardInterrupt too, the process was to end.
        with contextlib.suppress(BaseException):
            if condition(*args, **kwargs):
                call_bounded(first)
        return function(*args, **kwargs)

    setattr(module, name, call)


def call_bounded(function: Callable[[], object]) -> None:
    """Call a function in another thread, and wait for it within the time limit.

    Not in this thread: a signal may have interrupted it inside a lock that the function needs.
    """
    thread = threading.Thread(target=function, name="otel-tools-flush", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # From Python 3.12 on no thread can be started while the interpreter exits.
        if not threading.main_thread().is_alive():
            function()
        return
    thread.join(_TIMEOUT)
