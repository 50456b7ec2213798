"""Runs the jobs of a batch at once, sync ones on threads, async ones as tasks, each in a copy of the caller's context.

A job answers for itself: whatever its tool does, the job returns. So one that fails cannot spoil the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._call.call import Call
from otel_tools._call.clock import clock
from otel_tools._call.scope import Scope, current_scope
from otel_tools._call.threads import ThreadBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from otel_tools._call.outcome import Outcome

__all__ = ["CROWDED", "NOT_BEGUN", "UNFINISHED", "Job", "Stopped", "execute"]


class _Mark:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNFINISHED: Final = _Mark("UNFINISHED")
"""In the place of an answer: the time was over before the job was done."""

NOT_BEGUN: Final = _Mark("NOT_BEGUN")
"""The time was over before the job began."""

CROWDED: Final = _Mark("CROWDED")
"""No thread was begun: too many sync jobs whose time was over are still running."""

_GRACE: Final = 1.0
"""Seconds that tasks have to end once they are cancelled."""

_stubborn: Final[set[asyncio.Task[Any]]] = set()
"""Tasks that did not end although they were cancelled; asyncio alone would let go of them."""


class Stopped(Exception):  # noqa: N818 - no failure: the program is to end
    """A tool raised what is to end the program, `SystemExit` or `KeyboardInterrupt`, or another such exception.

    It travels in this, because a task that raises it itself would take the event loop down with it.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(type(error)))
        self.error = error


def _no_record() -> Call:
    return Call((), {})


_common: Final = ThreadBudget()
"""The threads of jobs that are no tool's."""


class Job(NamedTuple):
    """One thing to do.

    Attributes:
        work: Does it and returns the answer. It raises nothing but `Stopped`, and its own cancellation.
        asynchronous: It is a coroutine function; else it may return a coroutine, for what is left to be awaited.
        ordered: It begins when the ordered ones before it are done.
        abandoned_thread: Makes the record that is told of its thread, where that still runs when its time is over.
        thread_budget: Whose threads it runs on, where it is sync.
    """

    work: Callable[[], Any]
    asynchronous: bool
    ordered: bool = False
    abandoned_thread: Callable[[], Call] = _no_record
    thread_budget: ThreadBudget = _common


async def execute(jobs: Sequence[Job], *, most: int, seconds: float | None = None) -> list[Any]:
    """Run jobs and give back their answers, in the order of the jobs.

    Cancelling it cancels the tasks; sync functions that run on cannot be stopped, and can ask `otel_tools.cancelled`.

    Args:
        jobs: What to do.
        most: Jobs that may run at once.
        seconds: How long all may take. Those that are not done by then are given up; None waits for all.

    Returns:
        The answers; `UNFINISHED`, `NOT_BEGUN` or `CROWDED` where there is none.

    Raises:
        Stopped: A job wants the program to end.
    """
    if not jobs:
        return []
    batch = _Batch(jobs, most, seconds)
    tasks = batch.start()
    try:
        try:
            async with clock.timeout(seconds) if seconds is not None else contextlib.nullcontext():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except TimeoutError:
            done = set()
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if any(not task.done() for task in tasks):
            batch.give_up()
        return list(batch.answers)
    finally:
        if unfinished := [task for task in tasks if not task.done()]:
            batch.give_up()
            await _end(unfinished)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    try:
        await asyncio.wait(tasks, timeout=_GRACE)
    finally:
        for task in tasks:
            if task.done():
                _look_at(task)
            else:
                _stubborn.add(task)
                task.add_done_callback(_look_at)


def _look_at(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this one any more; asyncio would complain of an exception that nobody looked at."""
    _stubborn.discard(task)
    if not task.cancelled():
        task.exception()


class _Batch:
    """What the jobs of one batch share.

    Attributes:
        answers: By the place of the job.
    """

    def __init__(self, jobs: Sequence[Job], most: int, seconds: float | None) -> None:
        self.answers: list[Any] = [NOT_BEGUN] * len(jobs)
        self._jobs = jobs
        self._deadline = None if seconds is None else clock.now() + seconds
        self._outer = current_scope.get()
        self._running: dict[int, Scope] = {}
        self._futures: dict[int, Future[Outcome]] = {}
        self._over = False
        self._gate = asyncio.Semaphore(most)
        self._one = self._run if len(jobs) <= most else self._admitted

    def start(self) -> list[asyncio.Task[None]]:
        """One task for each job, and one for all that are in order."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        ordered = [place for place, job in enumerate(self._jobs) if job.ordered]
        tasks = [
            loop.create_task(self._one(place, job), context=context.copy())
            for place, job in enumerate(self._jobs)
            if not job.ordered
        ]
        if ordered:
            tasks.append(loop.create_task(self._in_order(ordered, context)))
        return tasks

    async def _in_order(self, places: list[int], context: contextvars.Context) -> None:
        loop = asyncio.get_running_loop()
        for place in places:
            if self._over:
                return
            # A task for each: what one tool leaves in its context is not the next one's.
            await loop.create_task(self._one(place, self._jobs[place]), context=context.copy())

    async def _admitted(self, place: int, job: Job) -> None:
        async with self._gate:
            await self._run(place, job)

    async def _run(self, place: int, job: Job) -> None:
        self.answers[place] = UNFINISHED
        # What the job can ask: how long there is, and whether anybody still waits.
        self._running[place] = scope = Scope(None, self._deadline, self._outer)
        current_scope.set(scope)
        answer = await (job.work() if job.asynchronous else self._on_thread(place, job))
        if not self._over:
            self.answers[place] = answer
            del self._running[place]

    def give_up(self) -> None:
        """Nobody waits for what is still running."""
        self._over = True
        for place, scope in self._running.items():
            future = self._futures.get(place)
            if future is not None and future.done() and future.exception() is None:
                # It is done; an async job that blocks the loop has kept it from saying so.
                outcome = future.result()
                if outcome.error is None and type(outcome.value) is not CoroutineType:
                    self.answers[place] = outcome.value
                    continue
            scope.given_up = True

    async def _on_thread(self, place: int, job: Job) -> Any:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        future = job.thread_budget.start(contextvars.copy_context(), job.work, (), {})
        if future is None:
            return CROWDED
        self._futures[place] = future

        def end(_future: Future[Outcome]) -> None:
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_set, ended)

        future.add_done_callback(end)
        try:
            await ended
        finally:
            if not future.done():
                job.thread_budget.abandon(future, job.abandoned_thread())
        outcome = future.result()
        if outcome.error is not None:
            raise outcome.error
        answer = outcome.value
        return await answer if type(answer) is CoroutineType else answer


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
