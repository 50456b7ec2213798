"""Defers the report of a call that the garbage collector ends until the collector is done.

The collector may run whenever an object is created, also while this thread holds a lock of the SDK. It closes the
generators and coroutines that nobody refers to any more. A report from there would ask for the same lock again and wait
for ever; this was measured with the SDK's own export.
"""

from __future__ import annotations

import gc
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["gc_running", "pending_reports", "report_pending"]

pending_reports: Final[deque[Callable[[], Any]]] = deque()
"""Reports that the next call of any tool makes, or the next reading of the metrics."""


class _GcRunning(set[str]):
    """A set that is not empty while the garbage collector runs in any thread.

    Only C code fills and empties it. In a callback written in Python, a pending Ctrl-C could be raised, and the
    collector swallows what its callbacks raise.
    """

    start = property(None, set.update)
    stop = property(None, set.difference_update)


gc_running: Final = _GcRunning()


def report_pending() -> None:
    """Make all pending reports."""
    while pending_reports and not gc_running:
        try:
            report = pending_reports.popleft()
        except IndexError:
            # Another thread took the last one.
            return
        report()


gc.callbacks.append(partial(setattr, gc_running))
# The parent of a fork makes its own pending reports.
at_fork(after_in_child=pending_reports.clear)
