"""The circuit breaker: when it opens and closes, which attempts it lets through, and what counts."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import CircuitBreaker
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke, Sleep
from otel_tools.errors import (
    CircuitOpen,
    ConcurrencyLimited,
    ConfigurationError,
    InvalidArguments,
    InvalidResult,
    RateLimited,
    ToolTimeout,
)

if TYPE_CHECKING:
    from otel_tools._call.steps import Flow, Next


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test changes it."""
    time = [1000.0]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    return time


def state_of(breaker: CircuitBreaker) -> str:
    """Its state, without a type checker's belief that it stays what it was asserted to be."""
    return breaker.state


def work() -> None:
    """Stands for the tool."""


def run(_call: Call) -> Flow:
    return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome


def flow_of(breaker: CircuitBreaker, name: str = "search") -> Next:
    """Ask, wait for something, ask again, run: the way through the order."""
    info = ToolInfo(name, work, asynchronous=False, generator=False, arguments=Arguments(work))
    again = breaker.policy_after_wait(info)(run)

    def waits(call: Call) -> Flow:
        yield Sleep(0)
        return (yield from again(call))

    return breaker.policy(info)(waits)


class Attempt:
    """One attempt, driven by hand: it begins to wait, runs, and is told what came of it."""

    def __init__(self, breaker: CircuitBreaker, name: str = "search", *, starts: bool = True) -> None:
        self.flow = flow_of(breaker, name)(Call((), {}))
        self.outcome: Outcome | None = None
        self.step: Any = None
        self.send(None)
        if starts and not self.refused:
            self.send(None)

    def send(self, answer: Any) -> Attempt:
        try:
            self.step = self.flow.send(answer)
        except StopIteration as stop:
            self.outcome = stop.value
        return self

    @property
    def refused(self) -> bool:
        return self.outcome is not None and isinstance(self.outcome.error, CircuitOpen)

    @property
    def error(self) -> CircuitOpen:
        assert self.outcome is not None
        assert isinstance(self.outcome.error, CircuitOpen)
        return self.outcome.error

    def ends(self, outcome: Outcome) -> None:
        assert self.send(outcome).outcome is outcome


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        Attempt(breaker).ends(Outcome(1))


def fail(breaker: CircuitBreaker, times: int = 1, error: Exception | None = None) -> None:
    for _ in range(times):
        Attempt(breaker).ends(Outcome.of_error(error or ConnectionError()))


@pytest.mark.parametrize(
    "options",
    [
        {"failures": 0},
        {"failures": True},
        {"failures": 1.5},
        {"half_open": 0},
        {"half_open": "1"},
        {"window": 0},
        {"window": float("nan")},
        {"window": float("inf")},
        {"window": True},
        {"cooldown": -1},
        {"cooldown": "30"},
        {"failure_ratio": 0},
        {"failure_ratio": 1.01},
        {"failure_ratio": True},
        {"failure_ratio": float("nan")},
    ],
)
def test_an_option_that_cannot_work_is_refused_by_its_name(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=rf"CircuitBreaker\({name}=.*needed"):
        CircuitBreaker(**options)


def test_two_objects_with_the_same_values_are_two_breakers() -> None:
    assert CircuitBreaker() != CircuitBreaker()
    assert repr(CircuitBreaker()) == (
        "CircuitBreaker(failures=5, window=60.0, cooldown=30.0, failure_ratio=None, half_open=1, on=None)"
    )


def test_it_opens_on_so_many_failures_in_a_row() -> None:
    breaker = CircuitBreaker(failures=3)
    fail(breaker, 2)
    succeed(breaker)
    fail(breaker, 2)
    assert (state_of(breaker), breaker.state_number) == ("closed", 0)
    fail(breaker)
    assert (state_of(breaker), breaker.state_number) == ("open", 2)
    assert Attempt(breaker).refused


def test_failures_further_apart_than_the_window_do_not_open_it(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=3, window=10)
    fail(breaker)
    now[0] += 6
    fail(breaker)
    now[0] += 6
    fail(breaker)
    assert state_of(breaker) == "closed"
    now[0] += 4
    fail(breaker)
    assert state_of(breaker) == "open"


def test_the_refusal_says_which_tool_and_when_it_is_tried_again(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=1, cooldown=30)
    fail(breaker)
    now[0] += 10.5

    error = Attempt(breaker, "get_price").error
    assert (error.tool, error.retry_after, error.error_type) == ("get_price", 19.5, "circuit_open")
    assert str(error) == (
        "tool 'get_price' failed too often and was not started: its circuit breaker is open and tries again in 19.5 s"
    )


def test_when_the_cooldown_is_over_one_probe_is_let_through_and_its_success_closes_it(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=1, cooldown=30)
    fail(breaker)
    now[0] += 29.9
    assert state_of(breaker) == "open"
    now[0] += 0.1
    assert (state_of(breaker), breaker.state_number) == ("half_open", 1)

    probe, other = Attempt(breaker), Attempt(breaker)

    assert state_of(breaker) == "half_open"
    assert other.refused
    assert other.error.retry_after is None
    assert "half open" in str(other.error)
    probe.ends(Outcome(1))
    assert state_of(breaker) == "closed"
    assert not Attempt(breaker).refused


def test_a_probe_that_fails_opens_it_for_another_cooldown(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=5, cooldown=30)
    fail(breaker, 5)
    now[0] += 45
    fail(breaker)

    assert state_of(breaker) == "open"
    assert Attempt(breaker).error.retry_after == 30
    now[0] += 30
    succeed(breaker)
    assert state_of(breaker) == "closed"
    fail(breaker, 4)
    assert state_of(breaker) == "closed"


def test_as_many_successes_as_probes_at_once_close_it(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=1, half_open=2)
    fail(breaker)
    now[0] += 30
    first, second, third = Attempt(breaker), Attempt(breaker), Attempt(breaker)

    assert [first.refused, second.refused, third.refused] == [False, False, True]
    first.ends(Outcome(1))
    assert state_of(breaker) == "half_open"
    assert not Attempt(breaker).refused
    second.ends(Outcome(1))
    assert state_of(breaker) == "closed"


NEUTRAL = [
    Outcome.of_error(InvalidArguments("")),
    Outcome(None, InvalidArguments(""), "invalid"),
    Outcome.of_error(RateLimited("")),
    Outcome.of_error(ConcurrencyLimited("")),
    Outcome.of_error(CircuitOpen("")),
    Outcome(1, None, "cached"),
    Outcome(1, None, "fallback"),
]
FAILURES = [
    Outcome.of_error(ValueError()),
    Outcome.of_error(ToolTimeout("")),
    Outcome.of_error(InvalidResult("")),
    Outcome({"error": "down"}, None, "error", "tool_error"),
]


@pytest.mark.parametrize("outcome", FAILURES, ids=repr)
def test_a_failure_of_the_tool_counts(now: list[float], outcome: Outcome) -> None:
    breaker = CircuitBreaker(failures=1)
    Attempt(breaker).ends(outcome)
    assert state_of(breaker) == "open"
    now[0] += 30
    Attempt(breaker).ends(outcome)
    assert state_of(breaker) == "open"


@pytest.mark.parametrize("outcome", [*NEUTRAL, None], ids=repr)
@pytest.mark.parametrize("ratio", [None, 0.5])
def test_an_outcome_that_says_nothing_of_the_tool_counts_neither_way(
    now: list[float], outcome: Outcome | None, ratio: float | None
) -> None:
    breaker = CircuitBreaker(failures=2, failure_ratio=ratio)

    def end(attempt: Attempt) -> None:
        if outcome is None:
            attempt.flow.close()
        else:
            attempt.ends(outcome)

    fail(breaker)
    for _ in range(5):
        end(Attempt(breaker))
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"
    now[0] += 30
    for _ in range(3):
        end(Attempt(breaker))
        assert state_of(breaker) == "half_open"
    succeed(breaker)
    assert state_of(breaker) == "closed"


def test_a_probe_that_is_cancelled_while_it_waits_frees_its_place(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=1)
    fail(breaker)
    now[0] += 30
    Attempt(breaker, starts=False).flow.close()
    succeed(breaker)
    assert state_of(breaker) == "closed"


def test_an_attempt_that_waited_while_it_opened_is_refused(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=1)
    waiting = [Attempt(breaker, starts=False) for _ in range(3)]
    fail(breaker)

    assert waiting[0].send(None).error.retry_after == 30
    now[0] += 40
    assert waiting[1].send(None).error.retry_after == 0
    probe = Attempt(breaker)
    assert waiting[2].send(None).refused
    assert isinstance(probe.step, Invoke)
    probe.ends(Outcome(1))
    assert state_of(breaker) == "closed"


def test_an_attempt_that_waited_while_it_stayed_closed_runs() -> None:
    breaker = CircuitBreaker()
    waiting = Attempt(breaker, starts=False)
    fail(breaker)
    assert isinstance(waiting.send(None).step, Invoke)


@pytest.mark.parametrize("late", [Outcome(1), Outcome.of_error(ValueError())], ids=repr)
def test_results_of_attempts_from_before_it_opened_change_nothing_afterwards(now: list[float], late: Outcome) -> None:
    breaker = CircuitBreaker(failures=1, half_open=1)
    before = [Attempt(breaker) for _ in range(4)]
    fail(breaker)

    now[0] += 10
    before[0].ends(late)
    assert Attempt(breaker).error.retry_after == 20
    now[0] += 20
    before[1].ends(late)
    assert state_of(breaker) == "half_open"
    probe = Attempt(breaker)
    before[2].ends(late)
    assert state_of(breaker) == "half_open"
    probe.ends(Outcome(1))
    before[3].ends(late)
    assert state_of(breaker) == "closed"


def test_a_probe_that_ends_after_another_one_failed_changes_nothing(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=1, half_open=2)
    fail(breaker)
    now[0] += 30
    good, bad = Attempt(breaker), Attempt(breaker)
    bad.ends(Outcome.of_error(ValueError()))
    now[0] += 30
    probe = Attempt(breaker)
    good.ends(Outcome(1))
    probe.ends(Outcome(1))
    assert state_of(breaker) == "half_open"


def test_it_opens_on_the_ratio_once_there_are_enough_failures() -> None:
    breaker = CircuitBreaker(failures=3, failure_ratio=0.5)
    fail(breaker, 2)
    assert state_of(breaker) == "closed"
    succeed(breaker, 4)
    fail(breaker)
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"


def test_the_ratio_may_be_met_exactly() -> None:
    breaker = CircuitBreaker(failures=3, failure_ratio=0.3)
    succeed(breaker, 7)
    fail(breaker, 2)
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"


def test_attempts_older_than_the_window_do_not_count_in_the_ratio(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=4, window=10, failure_ratio=0.5)
    succeed(breaker, 100)
    now[0] += 10
    fail(breaker, 3)
    now[0] += 10
    fail(breaker)
    assert state_of(breaker) == "closed"
    now[0] += 5
    fail(breaker, 3)
    assert state_of(breaker) == "open"


def test_attempts_from_before_it_closed_do_not_count_afterwards(now: list[float]) -> None:
    breaker = CircuitBreaker(failures=2, cooldown=1, failure_ratio=0.5)
    fail(breaker, 2)
    now[0] += 1
    succeed(breaker)
    fail(breaker)
    assert state_of(breaker) == "closed"


def test_tools_that_share_the_object_share_the_state() -> None:
    breaker = CircuitBreaker(failures=2)
    Attempt(breaker, "a").ends(Outcome.of_error(ValueError()))
    Attempt(breaker, "b").ends(Outcome.of_error(ValueError()))
    assert Attempt(breaker, "c").error.tool == "c"


def test_it_logs_once_when_it_opens_and_once_when_it_closes(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    breaker = CircuitBreaker(failures=2, cooldown=30)
    running = Attempt(breaker)
    fail(breaker, 2)
    running.ends(Outcome.of_error(ValueError()))
    assert Attempt(breaker).refused
    now[0] += 30
    succeed(breaker, 3)

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "circuit breaker opened: tool 'search' keeps failing; it is tried again in 30 s"),
        (logging.INFO, "circuit breaker closed: tool 'search' works again"),
    ]


def test_a_broken_log_does_not_fail_the_tool() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    handler = Broken()
    logging.getLogger("otel_tools").addHandler(handler)
    try:
        breaker = CircuitBreaker(failures=1)
        fail(breaker)
    finally:
        logging.getLogger("otel_tools").removeHandler(handler)
    assert state_of(breaker) == "open"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_the_child_of_a_fork_a_probe_of_the_parent_holds_no_place(now: list[float]) -> None:
    breaker, opened, closed = CircuitBreaker(failures=1), CircuitBreaker(failures=1), CircuitBreaker(failures=2)
    fail(breaker)
    now[0] += 30
    probe = Attempt(breaker)
    fail(opened)
    fail(closed)
    locked, forked = threading.Event(), threading.Event()

    def in_the_middle() -> None:
        with breaker._circuit.lock:
            locked.set()
            forked.wait(60)

    thread = threading.Thread(target=in_the_middle)
    thread.start()
    assert locked.wait(60)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            mine = Attempt(breaker)
            probe.ends(Outcome.of_error(ValueError()))
            mine.ends(Outcome(1))
            fail(closed)
            if (state_of(breaker), state_of(opened), state_of(closed)) == ("closed", "open", "closed"):
                status = 0
        finally:
            os._exit(status)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    probe.ends(Outcome(1))
    assert state_of(breaker) == "closed"
