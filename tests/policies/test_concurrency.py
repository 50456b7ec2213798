"""`Concurrency`: at most ``limit`` attempts at once, the others in a queue, and no slot is ever lost."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Concurrency
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import Scope
from otel_tools._call.steps import Invoke, Wait
from otel_tools.errors import ConcurrencyLimited, ConfigurationError

if TYPE_CHECKING:
    from otel_tools._call.steps import Flow, Next


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test changes it."""
    time = [100.0]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    return time


class RecordingCall(Call):
    """A call that records what is reported to it."""

    def __init__(self) -> None:
        super().__init__((), {})
        self.told: list[tuple[Any, ...]] = []

    def queued(self, policy: str) -> None:
        self.told.append(("queued", policy))

    def throttled(self, policy: str, result: str, waited: float | None) -> None:
        self.told.append((policy, result, waited))


def work() -> None:
    """Stands for the tool."""


def inner(_call: Call) -> Flow:
    return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome


def flow_of(concurrency: Concurrency, name: str = "search", within: Next = inner) -> Next:
    info = ToolInfo(name, work, asynchronous=False, generator=False, arguments=Arguments(work))
    return concurrency.policy(info)(within)


class Attempt:
    """One attempt, driven by hand.

    Attributes:
        step: What it asked for last.
        outcome: How it ended.
    """

    def __init__(self, flow: Next, call: RecordingCall | None = None) -> None:
        self.call = call or RecordingCall()
        self.flow = flow(self.call)
        self.outcome: Outcome | None = None
        self.step: Any = None
        self.send(None)

    def send(self, answer: Any) -> Attempt:
        try:
            self.step = self.flow.send(answer)
        except StopIteration as stop:
            self.outcome = stop.value
        return self

    @property
    def runs(self) -> bool:
        return self.outcome is None and isinstance(self.step, Invoke)

    @property
    def granted(self) -> bool:
        return isinstance(self.step, Wait) and self.step.future.done()

    def go_on(self) -> Attempt:
        """What a driver does once the future is done."""
        assert self.granted
        return self.send(answer=True)

    def finish(self) -> Outcome:
        self.send(Outcome(1))
        assert self.outcome is not None
        return self.outcome


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "8", None])
def test_a_limit_that_is_no_positive_whole_number_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Concurrency\(limit=.*1 or more"):
        Concurrency(limit)


@pytest.mark.parametrize("max_wait", [-1, True, float("nan"), float("inf"), "5"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(max_wait: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Concurrency\(max_wait=.*0 or more"):
        Concurrency(1, max_wait=max_wait)


def test_two_objects_with_the_same_values_are_two_limits() -> None:
    assert Concurrency(1) != Concurrency(1)
    assert repr(Concurrency(1)) == "Concurrency(limit=1, max_wait=None)"


def test_as_many_as_the_limit_run_at_once_and_the_next_waits() -> None:
    concurrency = Concurrency(2)
    flow = flow_of(concurrency)
    first, second, third = Attempt(flow), Attempt(flow), Attempt(flow)

    assert (first.runs, second.runs, third.runs) == (True, True, False)
    assert (concurrency.in_use, concurrency.waiting) == (2, 1)
    assert first.finish().value == 1
    assert third.granted
    assert (concurrency.in_use, concurrency.waiting) == (2, 0)
    third.go_on().finish()
    second.finish()
    assert concurrency.in_use == 0


def test_slots_are_given_first_come_first_served_and_a_newcomer_never_overtakes() -> None:
    flow = flow_of(Concurrency(1))
    running = Attempt(flow)
    line = [Attempt(flow) for _ in range(3)]

    running.finish()
    # The first in line has not gone on yet, and still nobody can take its slot.
    newcomer = Attempt(flow)
    assert [each.granted for each in (*line, newcomer)] == [True, False, False, False]
    line[0].go_on().finish()
    line[1].go_on().finish()
    assert line[2].granted
    assert not newcomer.granted
    line[2].go_on().finish()
    newcomer.go_on().finish()


@pytest.mark.parametrize("error", [ValueError(), ConcurrencyLimited("inside")])
def test_a_slot_is_given_back_whatever_the_attempt_ends_with(error: Exception) -> None:
    concurrency = Concurrency(1)
    attempt = Attempt(flow_of(concurrency))
    attempt.send(Outcome.of_error(error))

    assert attempt.outcome is not None
    assert attempt.outcome.error is error
    assert concurrency.in_use == 0


def test_a_slot_is_given_back_when_a_policy_further_in_refuses() -> None:
    def refuse(_call: Call) -> Flow:
        yield from ()
        return Outcome(None, None, "error")

    concurrency = Concurrency(1)
    assert Attempt(flow_of(concurrency, within=refuse)).outcome is not None
    assert concurrency.in_use == 0


def test_a_cancelled_attempt_gives_its_slot_to_the_next() -> None:
    concurrency = Concurrency(1)
    flow = flow_of(concurrency)
    first, second = Attempt(flow), Attempt(flow)

    first.flow.close()

    assert second.granted
    second.flow.close()
    assert (concurrency.in_use, concurrency.waiting) == (0, 0)


def test_a_cancelled_waiter_gives_its_place_in_line_back(now: list[float]) -> None:
    concurrency = Concurrency(1)
    flow = flow_of(concurrency)
    running, waiter, behind = Attempt(flow), Attempt(flow), Attempt(flow)

    now[0] += 3
    waiter.flow.close()

    assert concurrency.waiting == 1
    assert waiter.call.told == [("queued", "concurrency"), ("concurrency", "cancelled", 3.0)]
    running.finish()
    assert behind.granted
    behind.go_on().finish()
    assert concurrency.in_use == 0


def test_a_waiter_that_is_cancelled_as_it_gets_a_slot_passes_it_on() -> None:
    concurrency = Concurrency(1)
    flow = flow_of(concurrency)
    running, waiter, behind = Attempt(flow), Attempt(flow), Attempt(flow)

    running.finish()
    assert waiter.granted
    waiter.flow.close()

    assert behind.granted
    behind.go_on().finish()
    assert (concurrency.in_use, concurrency.waiting) == (0, 0)


def test_a_waiter_that_gets_a_slot_as_its_time_is_up_uses_it() -> None:
    concurrency = Concurrency(1, max_wait=1)
    flow = flow_of(concurrency)
    running, waiter = Attempt(flow), Attempt(flow)

    running.finish()
    waiter.send(answer=False)

    assert waiter.runs
    waiter.finish()
    assert concurrency.in_use == 0


def test_a_waiter_that_the_driver_wakes_without_a_slot_is_refused() -> None:
    concurrency = Concurrency(1)
    flow = flow_of(concurrency)
    running, waiter = Attempt(flow), Attempt(flow)

    waiter.send(Outcome.of_error(ValueError()))

    assert waiter.outcome is not None
    running.finish()
    assert concurrency.in_use == 0


def test_the_future_of_a_waiter_cannot_be_cancelled() -> None:
    flow = flow_of(Concurrency(1))
    running, waiter = Attempt(flow), Attempt(flow)

    assert not waiter.step.future.cancel()
    running.finish()
    assert waiter.granted
    waiter.flow.close()


def test_the_wait_is_over_after_max_wait(now: list[float]) -> None:
    concurrency = Concurrency(2, max_wait=1.5)
    flow = flow_of(concurrency, "search")
    running = [Attempt(flow), Attempt(flow)]
    waiter = Attempt(flow)
    assert waiter.step.timeout == 1.5
    now[0] += 1.5
    waiter.send(answer=False)

    assert waiter.outcome is not None
    error = waiter.outcome.error
    assert isinstance(error, ConcurrencyLimited)
    assert waiter.outcome.result == "error"
    assert (error.tool, error.error_type) == ("search", "concurrency_limited")
    assert str(error) == (
        "tool 'search' was not started: all 2 slots are taken, and none came free within 1.5 s; "
        "call it less often at once, or raise limit or max_wait of its Concurrency"
    )
    assert waiter.call.told == [("queued", "concurrency"), ("concurrency", "rejected", 1.5)]
    assert concurrency.waiting == 0
    for each in running:
        each.finish()
    assert concurrency.in_use == 0


def test_with_max_wait_0_the_attempt_is_refused_at_once() -> None:
    concurrency = Concurrency(1, max_wait=0)
    flow = flow_of(concurrency, "search")
    running, refused = Attempt(flow), Attempt(flow)

    assert refused.outcome is not None
    assert "'search' was not started: the only slot is taken; call" in str(refused.outcome.error)
    assert refused.call.told == [("concurrency", "rejected", None)]
    running.finish()
    assert Attempt(flow).runs


@pytest.mark.parametrize(
    ("max_wait", "left", "timeout"), [(None, 2.0, 2.0), (5.0, 2.0, 2.0), (1.0, 2.0, 1.0), (1.0, None, 1.0)]
)
def test_no_wait_ends_after_the_deadline_of_the_call(
    now: list[float], max_wait: float | None, left: float | None, timeout: float
) -> None:
    flow = flow_of(Concurrency(1, max_wait=max_wait))
    call = RecordingCall()
    call.scope = None if left is None else Scope(call, now[0] + left, None)
    running, waiter = Attempt(flow), Attempt(flow, call)

    assert waiter.step.timeout == timeout
    waiter.flow.close()
    running.finish()


def test_a_call_whose_deadline_is_over_does_not_wait(now: list[float]) -> None:
    flow = flow_of(Concurrency(1))
    call = RecordingCall()
    call.scope = Scope(call, now[0] - 1, None)
    running, late = Attempt(flow), Attempt(flow, call)

    assert late.outcome is not None
    assert isinstance(late.outcome.error, ConcurrencyLimited)
    assert call.told == [("concurrency", "rejected", None)]
    running.finish()


def test_the_seconds_of_a_wait_are_reported_and_none_without_one(now: list[float]) -> None:
    flow = flow_of(Concurrency(1))
    first, second = Attempt(flow), Attempt(flow)
    now[0] += 0.25
    first.finish()
    second.go_on().finish()

    assert first.call.told == [("concurrency", "acquired", None)]
    assert second.call.told == [("queued", "concurrency"), ("concurrency", "acquired", 0.25)]


def test_one_object_on_three_tools_limits_the_three_together() -> None:
    concurrency = Concurrency(2)
    attempts = [Attempt(flow_of(concurrency, name)) for name in ("a", "b", "c")]

    assert [each.runs for each in attempts] == [True, True, False]
    attempts[0].finish()
    attempts[2].go_on().finish()
    attempts[1].finish()
    assert concurrency.in_use == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_the_child_of_a_fork_all_slots_are_free_and_earlier_attempts_change_nothing() -> None:
    concurrency = Concurrency(1)
    flow = flow_of(concurrency)
    running, waiter = Attempt(flow), Attempt(flow)
    # Another thread, which the child does not have, is in the middle of it.
    locked, forked = threading.Event(), threading.Event()

    def in_the_middle() -> None:
        with concurrency._slots.lock:
            locked.set()
            forked.wait(60)

    thread = threading.Thread(target=in_the_middle)
    thread.start()
    assert locked.wait(60)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            free = (concurrency.in_use, concurrency.waiting) == (0, 0)
            mine = Attempt(flow)
            running.finish()
            waiter.flow.close()
            if free and mine.runs and concurrency.in_use == 1 and mine.finish().value == 1 and not concurrency.in_use:
                status = 0
        finally:
            os._exit(status)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (concurrency.in_use, concurrency.waiting) == (1, 1)
    running.finish()
    waiter.go_on().finish()
    assert concurrency.in_use == 0
