"""Worker threads for sync functions with a timeout. Each function gets an idle worker or a new one at once.

There is no queue: it would block tools that call tools. The threads are daemons, so the process can end while they run.
A worker that is idle for half a minute ends.
"""

from __future__ import annotations

from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_tools._call.forks import at_fork, reset_after_fork
from otel_tools._call.outcome import Outcome, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from otel_tools._call.call import Call

__all__ = ["MAX_ABANDONED", "ThreadBudget"]

MAX_ABANDONED: Final = 32
"""Functions of one tool that may run on after their timeout. At this number, its next calls are refused."""

_IDLE_TIMEOUT: Final = 30.0
"""Seconds after which an idle worker ends."""

_Job: TypeAlias = "tuple[Future[Outcome], Context, Callable[..., Any], tuple[Any, ...], dict[str, Any]]"


class _Worker(Thread):
    """A thread that runs one job at a time."""

    def __init__(self) -> None:
        super().__init__(name="otel_tools-worker", daemon=True)
        self.jobs: SimpleQueue[_Job] = SimpleQueue()

    def run(self) -> None:
        while (job := self._next()) is not None:
            future, context, function, args, kwargs = job
            try:
                outcome = context.run(outcome_of, function, args, kwargs)
            except BaseException as error:  # noqa: BLE001 - SystemExit and the like are the caller's to raise
                idle.append(self)
                future.set_exception(error)
            else:
                # Idle before the result is set: the caller may need a worker at once.
                idle.append(self)
                future.set_result(outcome)
            del job, future, context, function, args, kwargs

    def _next(self) -> _Job | None:
        try:
            return self.jobs.get(timeout=_IDLE_TIMEOUT)
        except Empty:
            try:
                idle.remove(self)
            except ValueError:
                # Another thread has just taken it, and will send a job.
                return self.jobs.get()
            return None


idle: Final[list[_Worker]] = []
"""Workers that wait for a job; the last one to finish is taken first."""


class ThreadBudget:
    """Starts the functions of one tool on worker threads, and bounds how many may run on after their timeout.

    Attributes:
        abandoned: One element for each function that runs on after its timeout. Appending and popping need no lock.
    """

    __slots__ = ("__weakref__", "abandoned")

    def __init__(self) -> None:
        self.abandoned: list[None] = []
        reset_after_fork(self)

    def start(
        self, context: Context, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[Outcome] | None:
        """Run a function in a context on a thread; returns None if too many functions are abandoned."""
        if len(self.abandoned) >= MAX_ABANDONED:
            return None
        future: Future[Outcome] = Future()
        try:
            worker = idle.pop()
        except IndexError:
            worker = _Worker()
            worker.start()
        worker.jobs.put((future, context, function, args, kwargs))
        return future

    def abandon(self, future: Future[Outcome], call: Call) -> None:
        """Count a function that nobody waits for any more, until it ends."""
        abandoned = self.abandoned
        abandoned.append(None)
        call.abandoned(1)

        def end(_future: Future[Outcome]) -> None:
            abandoned.pop()
            call.abandoned(-1)

        future.add_done_callback(end)

    def reset_after_fork(self) -> None:
        """The abandoned functions run in the parent alone."""
        self.abandoned = []


# A forked child has no workers.
at_fork(after_in_child=idle.clear)
