"""What ends inside the garbage collector is reported outside of it.

The collector runs whenever an object is made, so also while this thread holds a lock of the SDK's, and it closes the
generators and coroutines that it finds dropped. To report such a call at once would be to ask for that same lock again,
and to wait for it for ever: measured, with the SDK's own export.
"""

from __future__ import annotations

import gc
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["catch_up", "collecting", "collector", "waiting"]

waiting: Final[deque[Callable[[], Any]]] = deque()
"""What is to be reported by the next call of any tool, or by the next look at the numbers."""


class Collector:
    """Where the garbage collector is at work.

    Attributes:
        thread: The thread in which it is; None while it rests.
    """

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread: int | None = None


collector: Final = Collector()


def collecting() -> bool:
    """Whether what runs here was called by the garbage collector."""
    return collector.thread == get_ident()


def catch_up() -> None:
    """Report what is waiting."""
    while waiting and not collecting():
        try:
            report = waiting.popleft()
        except IndexError:
            # Another thread was faster.
            return
        report()


def _watch(phase: str, _info: dict[str, int]) -> None:
    collector.thread = get_ident() if phase == "start" else None


gc.callbacks.append(_watch)
