"""What ends inside the garbage collector is reported outside of it.

The collector runs whenever an object is made, so also while this thread holds a lock of the SDK's, and it closes the
generators and coroutines that it finds dropped. To report such a call at once would be to ask for that same lock again,
and to wait for it for ever: measured, with the SDK's own export.
"""

from __future__ import annotations

import gc
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["catch_up", "collecting", "waiting"]

waiting: Final[deque[Callable[[], Any]]] = deque()
"""What is to be reported by the next call of any tool, or when metrics are next looked at."""


class _Collecting(set[str]):
    """Full while the garbage collector is at work in any thread, and empty while it rests.

    C code alone fills and empties it. A callback written in Python would be a place where a Ctrl-C that is on its way
    is raised, and the collector swallows what its callbacks raise.
    """

    start = property(None, set.update)
    stop = property(None, set.difference_update)


collecting: Final = _Collecting()


def catch_up() -> None:
    """Report what is waiting."""
    while waiting and not collecting:
        try:
            report = waiting.popleft()
        except IndexError:
            # Another thread was faster.
            return
        report()


gc.callbacks.append(partial(setattr, collecting))
# What the parent of a fork has not reported yet is the parent's to report.
at_fork(after_in_child=waiting.clear)
