"""Runs a function when the process ends: by `atexit`, at the end of a `multiprocessing` child, and on SIGTERM."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_at_exit"]

_SIGTERM_TIMEOUT: Final = 2.0
"""Seconds after SIGTERM until the process ends, whatever it waits for."""


def call_at_exit(shut_down: Callable[[], object]) -> None:
    """Have a function called at every end of the process that Python can see.

    SIGTERM is handled only where its handler is the default one and this is the main thread.

    Args:
        shut_down: A function of a module, which may be called more than once.
    """
    atexit.register(shut_down)
    _call_at_exit_of_multiprocessing(shut_down)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _sigterm_handler(shut_down))


def _sigterm_handler(shut_down: Callable[[], object]) -> Callable[[int, Any], None]:
    def handle(number: int, _frame: Any) -> None:
        """Shut down in a thread, then send the signal again with its default effect. A second signal ends at once.

        Not in this thread: the signal may have interrupted the main thread inside a lock that flushing needs.
        """
        signal.signal(number, signal.SIG_DFL)

        def shut_down_and_end() -> None:
            # Processors that the application added to our providers may take longer than the process may.
            flushing = threading.Thread(target=shut_down, name="otel-tools-flush", daemon=True)
            with contextlib.suppress(RuntimeError):
                flushing.start()
                flushing.join(_SIGTERM_TIMEOUT)
            os.kill(os.getpid(), number)

        try:
            threading.Thread(target=shut_down_and_end, name="otel-tools-sigterm", daemon=True).start()
        except RuntimeError:
            # From Python 3.12 on no thread can be started while the interpreter exits, and it exits already.
            if threading.main_thread().is_alive():
                os.kill(os.getpid(), number)

    return handle


def _call_at_exit_of_multiprocessing(shut_down: Callable[[], object]) -> None:
    """A child process of `multiprocessing` ends without `atexit` functions, but runs its finalizers."""
    from multiprocessing import util  # noqa: PLC0415 - only a configured process needs it

    def register(_: object = None) -> None:
        util.Finalize(None, shut_down, exitpriority=0)

    register()
    # A forked child forgets the finalizers of its parent before it runs these. They live as long as their object.
    util.register_after_fork(shut_down, register)
