"""Fork handlers: one registration with the operating system for the whole package.

Does nothing where processes cannot fork (Windows).
"""

from __future__ import annotations

import os
import sys
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ForkHandlers", "Resettable", "at_fork", "reset_after_fork"]


class Resettable(Protocol):
    """An object with state that a forked child must not inherit."""

    def reset_after_fork(self) -> None:
        """Called in the child: locks may be held by threads that are not there, and waiters do not exist."""
        ...


class ForkHandlers:
    """Handlers of one registration with the operating system, which is made when this object is made.

    As with `os.register_at_fork`, ``before`` handlers run in reverse order, the others in the order in which they were
    added, and an exception in one does not stop the others. Objects are reset after the handlers, in the order in
    which they were added.

    No lock guards this: a thread that held one would not exist in the child. Each change is one operation on a list
    or a dictionary, and a fork iterates over a copy, so the child sees each handler whole or not at all.
    """

    def __init__(self) -> None:
        self._before: list[Callable[[], None]] = []
        self._after_in_parent: list[Callable[[], None]] = []
        self._after_in_child: list[Callable[[], None]] = []
        self._objects: dict[int, weakref.ref[Resettable]] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: _run(reversed(self._before)),
                after_in_parent=lambda: _run(tuple(self._after_in_parent)),
                after_in_child=self._run_in_child,
            )

    def add(
        self,
        *,
        before: Callable[[], None] | None = None,
        after_in_parent: Callable[[], None] | None = None,
        after_in_child: Callable[[], None] | None = None,
    ) -> None:
        """Add handlers; they stay for the life of the process."""
        for handlers, handler in (
            (self._before, before),
            (self._after_in_parent, after_in_parent),
            (self._after_in_child, after_in_child),
        ):
            if handler is not None:
                handlers.append(handler)

    def add_object(self, resettable: Resettable) -> None:
        """Call ``resettable.reset_after_fork()`` in a child, as long as the object lives."""
        key = id(resettable)
        # The callback runs before another object can have the same id.
        self._objects[key] = weakref.ref(resettable, lambda _: self._objects.pop(key, None))

    def _run_in_child(self) -> None:
        _run(tuple(self._after_in_child))
        objects = (reference() for reference in tuple(self._objects.values()))
        _run(each.reset_after_fork for each in objects if each is not None)


def _run(handlers: Iterable[Callable[[], None]]) -> None:
    for handler in handlers:
        try:
            handler()
        except BaseException as error:  # noqa: BLE001 - as CPython does: nobody could catch it
            unraisable = SimpleNamespace(
                exc_type=type(error),
                exc_value=error,
                exc_traceback=error.__traceback__,
                err_msg="Exception ignored in a fork handler",
                object=handler,
            )
            sys.unraisablehook(cast("Any", unraisable))


_handlers: Final = ForkHandlers()
at_fork: Final = _handlers.add
reset_after_fork: Final = _handlers.add_object
