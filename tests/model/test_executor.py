"""Jobs of a batch run at once, within bounds, in the caller's context; what ends a batch leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from otel_tools._call.scope import cancelled, remaining
from otel_tools._call.threads import MAX_ABANDONED, ThreadBudget
from otel_tools._model.toolset.executor import NO_THREAD, NOT_BEGUN, UNFINISHED, Job, ProgramEnd, execute

marked: contextvars.ContextVar[str] = contextvars.ContextVar("marked", default="nothing")


def blocking(work: Any, *, ordered: bool = False, thread_budget: ThreadBudget | None = None) -> Job:
    return Job(work, asynchronous=False, ordered=ordered, thread_budget=thread_budget or ThreadBudget())


def awaiting(work: Any, *, ordered: bool = False) -> Job:
    async def job() -> Any:
        return await work()

    return Job(job, asynchronous=True, ordered=ordered)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what a thread does sets no asyncio.Event
            await asyncio.sleep(0.002)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_answers_come_in_the_order_of_the_jobs() -> None:
    async def slow() -> str:
        await asyncio.sleep(0.02)
        return "slow"

    async def fast() -> str:
        return "fast"

    answers = await execute([awaiting(slow), blocking(lambda: "thread"), awaiting(fast)], max_parallel=8)

    assert answers == ["slow", "thread", "fast"]


async def test_no_jobs_give_no_answers() -> None:
    assert await execute([], max_parallel=8) == []


async def test_sync_and_async_jobs_run_in_parallel() -> None:
    meeting = threading.Barrier(3)

    def on_thread() -> int:
        return meeting.wait(10)

    async def on_loop() -> int:
        return await asyncio.to_thread(meeting.wait, 10)

    answers = await execute([blocking(on_thread), awaiting(on_loop), blocking(on_thread)], max_parallel=3)

    assert sorted(answers) == [0, 1, 2]


@pytest.mark.parametrize("max_parallel", [1, 3])
async def test_at_most_max_parallel_jobs_run_at_once(max_parallel: int) -> None:
    running, seen = [0], [0]

    async def work() -> None:
        running[0] += 1
        seen[0] = max(seen[0], running[0])
        await asyncio.sleep(0.002)
        running[0] -= 1

    await execute([awaiting(work) for _ in range(10)], max_parallel=max_parallel)

    assert seen == [max_parallel]


async def test_ordered_jobs_run_in_sequence_in_parallel_with_the_others() -> None:
    steps: list[str] = []
    others_began = asyncio.Event()

    async def first() -> None:
        steps.append("first began")
        await others_began.wait()
        steps.append("first ended")

    async def second() -> None:
        steps.append("second")

    async def other() -> None:
        others_began.set()

    await execute([awaiting(first, ordered=True), awaiting(second, ordered=True), awaiting(other)], max_parallel=8)

    assert steps == ["first began", "first ended", "second"]


async def test_each_job_has_a_copy_of_the_context() -> None:
    marked.set("caller's")

    def on_thread() -> str:
        before = marked.get()
        marked.set("thread's")
        return before

    async def on_loop() -> str:
        before = marked.get()
        marked.set("task's")
        return before

    jobs = [blocking(on_thread), awaiting(on_loop), blocking(on_thread, ordered=True), awaiting(on_loop, ordered=True)]
    assert await execute(jobs, max_parallel=1) == ["caller's"] * 4
    assert marked.get() == "caller's"


async def test_a_coroutine_that_a_sync_job_returns_is_awaited() -> None:
    async def rest() -> str:
        await asyncio.sleep(0)
        return "rest"

    assert await execute([blocking(rest)], max_parallel=8) == ["rest"]


async def test_answers_that_are_ready_at_the_time_limit_are_returned() -> None:
    let_go = threading.Event()
    told: list[str] = []

    def on_thread() -> None:
        assert remaining() is not None
        let_go.wait(10)
        told.append(f"thread {cancelled()}")

    async def on_loop() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            told.append("task")

    async def fast() -> str:
        return "done"

    thread_budget = ThreadBudget()
    jobs = [awaiting(fast), blocking(on_thread, thread_budget=thread_budget), awaiting(on_loop), awaiting(fast)]
    assert await execute(jobs, max_parallel=3, time_limit=0.05) == ["done", UNFINISHED, UNFINISHED, "done"]
    assert told == ["task"]
    assert len(thread_budget.abandoned) == 1

    let_go.set()
    await until(lambda: not thread_budget.abandoned)
    assert told == ["task", "thread True"]


async def test_jobs_that_have_not_begun_at_the_time_limit_never_begin() -> None:
    begun: list[str] = []

    async def slow() -> None:
        begun.append("slow")
        await asyncio.sleep(10)

    assert await execute([awaiting(slow), awaiting(slow)], max_parallel=1, time_limit=0.02) == [UNFINISHED, NOT_BEGUN]
    assert await execute([awaiting(slow, ordered=True)] * 2, max_parallel=8, time_limit=0.02) == [UNFINISHED, NOT_BEGUN]
    await settle()
    assert begun == ["slow", "slow"]


async def test_a_task_that_ignores_cancellation_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_tools._model.toolset.executor._CANCEL_TIMEOUT", 0.02)
    let_go = asyncio.Event()

    async def stubborn() -> str:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError

    before = asyncio.all_tasks()
    began = time.monotonic()
    assert await execute([awaiting(stubborn)], max_parallel=8, time_limit=0.02) == [UNFINISHED]
    assert time.monotonic() - began < 60

    let_go.set()
    await settle()
    assert asyncio.all_tasks() == before


async def test_being_cancelled_cancels_the_tasks_and_waits_for_them() -> None:
    ended: list[str] = []
    told: list[bool] = []
    let_go = threading.Event()

    async def on_loop() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            ended.append("task")

    def on_thread() -> None:
        let_go.wait(10)
        told.append(cancelled())

    jobs = [awaiting(on_loop), awaiting(on_loop, ordered=True), blocking(on_thread)]
    before = asyncio.all_tasks()
    batch = asyncio.create_task(execute(jobs, max_parallel=8))
    await asyncio.sleep(0.02)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch

    assert ended == ["task", "task"]
    assert asyncio.all_tasks() == before
    let_go.set()
    await until(lambda: told == [True])


async def test_an_end_of_the_program_ends_all_jobs() -> None:
    ended: list[str] = []

    def leaving() -> None:
        raise ProgramEnd(SystemExit(3))

    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("slow")

    with pytest.raises(ProgramEnd) as stopped:
        await execute([awaiting(slow), blocking(leaving)], max_parallel=8)
    assert isinstance(stopped.value.error, SystemExit)
    assert ended == ["slow"]


async def test_no_thread_is_started_while_too_many_abandoned_ones_run() -> None:
    thread_budget = ThreadBudget()
    thread_budget.abandoned += [None] * MAX_ABANDONED

    assert await execute([blocking(lambda: "never", thread_budget=thread_budget)], max_parallel=8) == [NO_THREAD]


def test_a_thread_may_end_after_its_loop() -> None:
    let_go, ended = threading.Event(), threading.Event()

    def slow() -> None:
        let_go.wait(10)

    def last() -> None:
        ended.set()

    thread_budget = ThreadBudget()
    assert asyncio.run(execute([blocking(slow, thread_budget=thread_budget)], max_parallel=8, time_limit=0.01)) == [
        UNFINISHED
    ]
    let_go.set()
    assert asyncio.run(execute([blocking(last, thread_budget=thread_budget)], max_parallel=8)) == [None]
    assert ended.is_set()


async def test_a_task_that_a_finished_job_leaves_behind_is_not_cancelled() -> None:
    told: list[bool] = []
    left: list[asyncio.Task[None]] = []

    async def background() -> None:
        await asyncio.sleep(0.05)
        told.append(cancelled())

    async def leave() -> None:
        left.append(asyncio.create_task(background()))

    async def slow() -> None:
        await asyncio.sleep(20)

    await execute([awaiting(leave), awaiting(slow)], max_parallel=8, time_limit=0.02)
    await left[0]

    assert told == [False]


async def test_a_finished_thread_is_answered_at_the_time_limit_although_a_job_blocks_the_loop() -> None:
    async def blocks() -> None:
        time.sleep(0.2)  # noqa: ASYNC251 - that is the point

    assert await execute([blocking(lambda: "done"), awaiting(blocks)], max_parallel=8, time_limit=0.05) == [
        "done",
        None,
    ]
