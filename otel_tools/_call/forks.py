"""Fork handlers: one registration with the operating system for the whole package.

Does nothing where processes cannot fork (Windows).
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ForkHandlers", "Lockable", "Resettable", "at_fork", "lock_at_fork", "reset_after_fork"]

T = TypeVar("T")


class Resettable(Protocol):
    """An object with state that a forked child must not inherit."""

    def reset_after_fork(self) -> None:
        """Called in the child: locks may be held by threads that are not there, and waiters do not exist."""
        ...


class Lockable(Resettable, Protocol):
    """An object that no other thread may be using while the process forks."""

    def lock_before_fork(self) -> None:
        """Called in the parent: wait until no other thread uses the object, and let none begin."""
        ...

    def unlock_after_fork(self) -> None:
        """Called in the parent, by the same thread: let the other threads go on."""
        ...


class ForkHandlers:
    """Handlers of one registration with the operating system, which is made when this object is made.

    As with `os.register_at_fork`, ``before`` handlers run in reverse order, the others in the order in which they were
    added, and an exception in one does not stop the others. Objects are reset after the handlers, in the order in
    which they were added, and locked before the ``before`` handlers.

    No lock guards this: a thread that held one would not exist in the child. Each change is one operation on a list,
    or on a dictionary whose keys are numbers, and runs no Python code. No thread can fork in the middle of one: it
    would need the interpreter's lock, and a free-threaded build stops all threads between two such operations. So the
    child sees each handler whole or not at all. A fork iterates over a copy that ``list()`` makes, which is one such
    operation too. (``tuple()`` is not: the garbage collector may run, and drop objects, in the middle of it.)
    """

    def __init__(self) -> None:
        self._before: list[Callable[[], None]] = []
        self._after_in_parent: list[Callable[[], None]] = []
        self._after_in_child: list[Callable[[], None]] = []
        self._resettable: dict[int, weakref.ref[Resettable]] = {}
        self._lockable: dict[int, weakref.ref[Lockable]] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._run_before,
                after_in_parent=self._run_in_parent,
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
        _add(self._resettable, resettable)

    def add_lockable(self, lockable: Lockable) -> None:
        """As `add_object`; also lock the object before a fork and unlock it in the parent."""
        _add(self._lockable, lockable)
        _add(self._resettable, lockable)

    def _run_before(self) -> None:
        lock = [each.lock_before_fork for each in reversed(_living(self._lockable))]
        _run([*lock, *reversed(self._before)])

    def _run_in_parent(self) -> None:
        unlock = [each.unlock_after_fork for each in _living(self._lockable)]
        _run([*self._after_in_parent, *unlock])

    def _run_in_child(self) -> None:
        reset = [each.reset_after_fork for each in _living(self._resettable)]
        _run([*self._after_in_child, *reset])


def _add(objects: dict[int, weakref.ref[T]], new: T) -> None:
    key = id(new)
    # The callback runs before another object can have the same id.
    objects[key] = weakref.ref(new, lambda _: objects.pop(key, None))


def _living(objects: dict[int, weakref.ref[T]]) -> list[T]:
    return [found for reference in list(objects.values()) if (found := reference()) is not None]


def _run(handlers: Iterable[Callable[[], None]]) -> None:
    """Call every handler, whichever of them raise.

    Raises:
        BaseException: What one handler raised, or a group of what several did. The interpreter hands it to
            `sys.unraisablehook` and goes on. Nobody else can call that hook: the default one takes only an object that
            the interpreter itself makes.
    """
    errors: list[BaseException] = []
    for handler in handlers:
        try:
            handler()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup("several fork handlers failed", errors)


_handlers: Final = ForkHandlers()
at_fork: Final = _handlers.add
reset_after_fork: Final = _handlers.add_object
lock_at_fork: Final = _handlers.add_lockable
