"""Runs jobs in parallel: sync ones on threads, async ones as tasks, each in a copy of the caller's context.

A job handles the errors of its tool and always returns an answer, so a failing tool does not affect the other jobs.
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

__all__ = ["CANCELLED", "NOT_BEGUN", "NO_THREAD", "UNFINISHED", "Job", "ProgramEnd", "execute"]


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNFINISHED: Final = _Marker("UNFINISHED")
"""In place of an answer: the time was over before the job was done."""

NOT_BEGUN: Final = _Marker("NOT_BEGUN")
"""In place of an answer: the time was over before the job began."""

CANCELLED: Final = _Marker("CANCELLED")
"""In place of an answer: the job cancelled its own task."""

NO_THREAD: Final = _Marker("NO_THREAD")
"""In place of an answer: the tool has no thread left, since too many of its abandoned jobs are still running."""

_CANCEL_TIMEOUT: Final = 1.0
"""Seconds that tasks have to end once they are cancelled."""

_uncancelled_tasks: Final[set[asyncio.Task[Any]]] = set()
"""Tasks that are still running after they were cancelled. asyncio keeps no reference to them."""


class ProgramEnd(Exception):  # noqa: N818 - not an error: the program is to end
    """A tool raised an exception that ends the program: `SystemExit`, `KeyboardInterrupt` or the like.

    It wraps that exception, because a task that raises it directly stops the event loop.

    Attributes:
        error: The exception that the tool raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(type(error)))
        self.error = error


def _no_record() -> Call:
    return Call((), {})


def _no_answer(_timed_out: bool) -> Any:
    return None


_shared_budget: Final = ThreadBudget()
"""The threads of jobs that have no budget of their own."""


class Job(NamedTuple):
    """One call to make.

    Attributes:
        work: Makes the call and returns the answer. It raises only `ProgramEnd`, and its own cancellation.
        asynchronous: Whether ``work`` is a coroutine function. If not, it may return a coroutine, which is awaited.
        ordered: Whether it begins only when the ordered jobs before it are done.
        abandoned_thread: Makes the record that counts the job's thread if that still runs when the time is over.
        thread_budget: The threads on which a sync job runs.
        give_up: Told that nobody waits for the job any more: whether because the time is over, or else because the
            caller has given up. It may return the answer of a job that has just ended by itself, else None.
    """

    work: Callable[[], Any]
    asynchronous: bool
    ordered: bool = False
    abandoned_thread: Callable[[], Call] = _no_record
    thread_budget: ThreadBudget = _shared_budget
    give_up: Callable[[bool], Any] = _no_answer


async def execute(jobs: Sequence[Job], *, max_parallel: int, time_limit: float | None = None) -> list[Any]:
    """Run jobs and return their answers, in the order of the jobs.

    Cancelling it cancels the tasks. A sync function that is running cannot be stopped; it can ask
    `otel_tools.cancelled`.

    Args:
        jobs: The calls to make.
        max_parallel: How many jobs may run at once.
        time_limit: Seconds for all jobs together. Jobs that are not done by then are abandoned; None waits for all.

    Returns:
        The answers; `UNFINISHED`, `NOT_BEGUN`, `CANCELLED` or `NO_THREAD` where there is none.

    Raises:
        ProgramEnd: A tool ended the program.
    """
    if not jobs:
        return []
    execution = _Execution(jobs, max_parallel, time_limit)
    tasks = execution.start()
    try:
        try:
            async with clock.timeout(time_limit) if time_limit is not None else contextlib.nullcontext():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except TimeoutError:
            done = set()
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if any(not task.done() for task in tasks):
            execution.give_up(timed_out=True)
        return list(execution.answers)
    finally:
        if unfinished := [task for task in tasks if not task.done()]:
            execution.give_up(timed_out=False)
            await _cancel(unfinished)


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    try:
        await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT)
    finally:
        for task in tasks:
            if task.done():
                _retrieve_exception(task)
            else:
                _uncancelled_tasks.add(task)
                task.add_done_callback(_retrieve_exception)


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task that nobody awaits, since asyncio warns of exceptions that are not retrieved."""
    _uncancelled_tasks.discard(task)
    if not task.cancelled():
        task.exception()


class _Execution:
    """The state that the jobs of one `execute` share.

    Attributes:
        answers: The answers by index of the job.
    """

    def __init__(self, jobs: Sequence[Job], max_parallel: int, time_limit: float | None) -> None:
        self.answers: list[Any] = [NOT_BEGUN] * len(jobs)
        self._jobs = jobs
        self._deadline = None if time_limit is None else clock.now() + time_limit
        self._outer_scope = current_scope.get()
        self._running: dict[int, Scope] = {}
        self._futures: dict[int, Future[Outcome]] = {}
        self._is_over = False
        self._semaphore = asyncio.Semaphore(max_parallel)
        self._start_job = self._run if len(jobs) <= max_parallel else self._run_when_admitted

    def start(self) -> list[asyncio.Task[None]]:
        """Start one task for each job, and one task for all ordered jobs."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        ordered = [index for index, job in enumerate(self._jobs) if job.ordered]
        tasks = [
            loop.create_task(self._start_job(index, job), context=context.copy())
            for index, job in enumerate(self._jobs)
            if not job.ordered
        ]
        if ordered:
            tasks.append(loop.create_task(self._in_order(ordered, context)))
        return tasks

    async def _in_order(self, indexes: list[int], context: contextvars.Context) -> None:
        loop = asyncio.get_running_loop()
        for index in indexes:
            if self._is_over:
                return
            # A task for each, so that a tool does not see the context variables that the one before has set.
            task = loop.create_task(self._start_job(index, self._jobs[index]), context=context.copy())
            try:
                await task
            except asyncio.CancelledError:
                this = asyncio.current_task()
                if not task.cancelled() or (this is not None and this.cancelling()):
                    raise
                # The job cancelled its own task: the jobs after it are to be done.

    async def _run_when_admitted(self, index: int, job: Job) -> None:
        async with self._semaphore:
            await self._run(index, job)

    async def _run(self, index: int, job: Job) -> None:
        self.answers[index] = UNFINISHED
        # The tool can ask it how much time is left, and whether the call was abandoned.
        self._running[index] = scope = Scope(None, self._deadline, self._outer_scope)
        current_scope.set(scope)
        try:
            answer = await (job.work() if job.asynchronous else self._on_thread(index, job))
        except asyncio.CancelledError:
            if not self._is_over:
                self.answers[index] = CANCELLED
            raise
        if not self._is_over:
            self.answers[index] = answer
            del self._running[index]

    def give_up(self, *, timed_out: bool) -> None:
        """Abandon the jobs that are not done, because the time is over or the caller has given up; only once."""
        if self._is_over:
            return
        self._is_over = True
        for index, scope in self._running.items():
            future = self._futures.get(index)
            if future is not None and future.done() and future.exception() is None:
                # The thread is done, but an async job blocked the loop, which has not seen that yet.
                outcome = future.result()
                if outcome.error is None and type(outcome.value) is not CoroutineType:
                    self.answers[index] = outcome.value
                    continue
            scope.given_up = True
        for index, answer in enumerate(self.answers):
            if answer is UNFINISHED or answer is NOT_BEGUN:
                given = self._jobs[index].give_up(timed_out)
                if given is not None:
                    self.answers[index] = given

    async def _on_thread(self, index: int, job: Job) -> Any:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        future = job.thread_budget.start(contextvars.copy_context(), job.work, (), {})
        if future is None:
            return NO_THREAD
        self._futures[index] = future

        def end(_future: Future[Outcome]) -> None:
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_set_done, ended)

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


def _set_done(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
