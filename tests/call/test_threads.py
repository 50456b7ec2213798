"""Worker threads for functions with a timeout: always one available, idle ones end, none delays the process's end."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._call import threads
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.threads import MAX_ABANDONED, ThreadBudget

if TYPE_CHECKING:
    from collections.abc import Callable


def start_job(thread_budget: ThreadBudget, function: Callable[..., Any], *args: Any) -> Future[Outcome]:
    future = thread_budget.start(contextvars.copy_context(), function, args, {})
    assert future is not None
    return future


def test_a_job_has_the_outcome_of_its_function() -> None:
    thread_budget, error = ThreadBudget(), LookupError()

    def fail() -> None:
        raise error

    assert start_job(thread_budget, len, "abc").result(10).value == 3
    assert start_job(thread_budget, fail).result(10).error is error


def test_a_base_exception_of_a_job_is_raised_to_the_caller() -> None:
    with pytest.raises(SystemExit):
        start_job(ThreadBudget(), sys.exit, 3).result(10)


def test_a_stop_iteration_is_an_outcome_like_any_other() -> None:
    assert isinstance(start_job(ThreadBudget(), next, iter(())).result(10).error, StopIteration)


def test_an_idle_worker_is_used_again() -> None:
    thread_budget = ThreadBudget()
    first = start_job(thread_budget, threading.get_ident).result(10).value

    assert start_job(thread_budget, threading.get_ident).result(10).value == first


def test_jobs_that_start_jobs_never_wait_for_a_worker() -> None:
    thread_budget = ThreadBudget()

    def nested(depth: int) -> int:
        return 0 if depth == 0 else 1 + int(start_job(thread_budget, nested, depth - 1).result(10).value)

    assert nested(50) == 50


def test_an_idle_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE_TIMEOUT", 0.05)
    monkeypatch.setattr(threads, "idle", [])
    thread = start_job(ThreadBudget(), threading.current_thread).result(10).value

    thread.join(10)

    assert not thread.is_alive()
    assert threads.idle == []
    assert start_job(ThreadBudget(), threading.current_thread).result(10).value is not thread


def test_no_job_is_lost_to_a_worker_that_is_about_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE_TIMEOUT", 0.0005)
    thread_budget = ThreadBudget()

    for _ in range(300):
        assert start_job(thread_budget, len, "").result(10).value == 0
        time.sleep(0.0005)


def test_a_job_runs_in_the_callers_context_and_what_it_sets_there_stays_there() -> None:
    variable = contextvars.ContextVar("variable", default="nothing")
    variable.set("caller")

    def work() -> str:
        before = variable.get()
        variable.set("worker")
        return before

    assert start_job(ThreadBudget(), work).result(10).value == "caller"
    assert variable.get() == "caller"


class Counting(Call):
    """Counts as telemetry does."""

    running = 0

    def abandoned(self, change: int) -> None:
        type(self).running += change


def test_abandoned_functions_are_counted_until_they_end_and_bounded() -> None:
    thread_budget, go = ThreadBudget(), threading.Event()
    futures = [start_job(thread_budget, go.wait, 10) for _ in range(MAX_ABANDONED)]
    for future in futures:
        thread_budget.abandon(future, Counting((), {}))

    assert Counting.running == len(thread_budget.abandoned) == MAX_ABANDONED
    assert thread_budget.start(contextvars.copy_context(), len, ("",), {}) is None
    assert start_job(ThreadBudget(), len, "").result(10).value == 0, "the bound is each tool's own"

    go.set()
    wait(futures, 10)
    for _ in range(1000):
        if not thread_budget.abandoned:
            break
        time.sleep(0.005)
    assert Counting.running == len(thread_budget.abandoned) == 0
    assert start_job(thread_budget, len, "").result(10).value == 0


def test_a_function_that_has_ended_when_it_is_abandoned_is_not_counted() -> None:
    thread_budget = ThreadBudget()
    future = start_job(thread_budget, len, "")
    future.result(10)

    thread_budget.abandon(future, Counting((), {}))

    assert thread_budget.abandoned == []


def test_a_function_that_never_ends_does_not_hold_up_the_end_of_the_process() -> None:
    code = """
import threading
from otel_tools import ToolTimeout, tool

@tool(timeout=0.05)
def stuck():
    threading.Event().wait()

try:
    stuck()
except ToolTimeout:
    print("timed out")
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("timed out\n", "")
