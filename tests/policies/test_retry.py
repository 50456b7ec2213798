"""`Retry`: what is retried, when, how often, and what the caller gets. The policy alone, on a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from otel_tools import Retry
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import Scope, current_scope
from otel_tools._call.steps import Invoke, Sleep
from otel_tools._policies.deadline import deadline
from otel_tools.errors import CircuitOpen, ConcurrencyLimited, InvalidArguments, RateLimited, ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._call.steps import Flow, Next


def work(*args: Any, **kwargs: Any) -> None:
    """The tool that is never really called here."""


TOOL_INFO = ToolInfo("work", work, asynchronous=False, generator=False, arguments=Arguments(work))


def flow_of(retry: Retry, inner: Next) -> Next:
    """The flow of a tool with these options, in the order of the plan."""
    flow = retry.policy(TOOL_INFO)(inner)
    return flow if retry.deadline is None else deadline(retry.deadline)(flow)


class RecordingCall(Call):
    """A call that records what the policy reports to it."""

    __slots__ = ("attempts", "ended")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args, kwargs)
        self.attempts: list[int] = []
        self.ended: list[tuple[BaseException | None, float | None]] = []

    def attempt_began(self, number: int) -> None:
        self.attempts.append(number)

    def attempt_ended(self, outcome: Outcome, retry_in: float | None) -> None:
        self.ended.append((outcome.error, retry_in))


def inner(_call: Call) -> Flow:
    outcome: Outcome = yield Invoke()
    return outcome


class Time:
    """Passes when an attempt takes it or a sleep is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(clock, "time", lambda: self.now)


@pytest.fixture(name="time")
def _time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def run(
    policy: Retry,
    outcomes: Any,
    *,
    time: Time | None = None,
    takes: float = 0.0,
    call: Call | None = None,
) -> tuple[Outcome, list[float], RecordingCall]:
    """Answer each attempt with the next outcome (errors, values or `Outcome`); what came of it, and the sleeps."""
    recorded = call or RecordingCall()
    assert isinstance(recorded, RecordingCall)
    flow = flow_of(policy, inner)(recorded)
    answers = iter(outcomes)
    sleeps: list[float] = []
    answer: Any = None
    try:
        while True:
            step = flow.send(answer)
            if isinstance(step, Sleep):
                sleeps.append(step.seconds)
                if time is not None:
                    time.now += step.seconds
                answer = None
            else:
                assert isinstance(step, Invoke)
                if time is not None:
                    time.now += takes
                answer = next(answers)
                if isinstance(answer, BaseException):
                    answer = Outcome.of_error(answer)
                elif not isinstance(answer, Outcome):
                    answer = Outcome(answer)
    except StopIteration as stop:
        return stop.value, sleeps, recorded


def always(error: BaseException) -> Iterator[BaseException]:
    return itertools.repeat(error)


class AskedToWaitError(ConnectionError):
    def __init__(self, seconds: Any) -> None:
        super().__init__()
        self.retry_after = seconds


def test_a_success_is_not_retried() -> None:
    outcome, sleeps, call = run(Retry(), [7])
    assert (outcome.value, sleeps, call.attempts, call.ended) == (7, [], [1], [(None, None)])


def test_a_transient_failure_is_retried() -> None:
    error = ConnectionError()
    outcome, sleeps, call = run(Retry(), [error, 7])
    assert outcome.value == 7
    assert call.attempts == [1, 2]
    assert call.ended == [(error, sleeps[0]), (None, None)]


def test_the_caller_gets_the_last_error_itself() -> None:
    errors = [ConnectionError(n) for n in range(3)]
    outcome, sleeps, call = run(Retry(), errors)
    assert outcome.error is errors[-1]
    assert outcome.result == "error"
    assert len(sleeps) == 2
    assert call.ended[-1] == (errors[-1], None)


def test_a_lasting_failure_is_not_retried() -> None:
    outcome, sleeps, call = run(Retry(), [ValueError()])
    assert isinstance(outcome.error, ValueError)
    assert (sleeps, call.attempts) == ([], [1])


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_there_are_as_many_attempts_as_the_option_says(attempts: int) -> None:
    _, sleeps, call = run(Retry(attempts), always(ConnectionError()))
    assert call.attempts == list(range(1, attempts + 1))
    assert len(sleeps) == attempts - 1


def test_the_waits_grow_up_to_max() -> None:
    _, sleeps, _ = run(Retry(8, initial=0.5, max=6.0, multiplier=2.0, jitter=None), always(TimeoutError()))
    assert sleeps == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0, 6.0]


@given(
    attempts=st.integers(2, 30),
    initial=st.floats(0, 100),
    longest=st.floats(100, 1000),
    multiplier=st.floats(1, 50),
    seed=st.integers(),
)
def test_full_jitter_draws_from_zero_up_to_the_whole_wait(
    attempts: int, initial: float, longest: float, multiplier: float, seed: int
) -> None:
    random.seed(seed)
    policy = Retry(attempts, initial=initial, max=longest, multiplier=multiplier)
    _, sleeps, _ = run(policy, always(ConnectionError()))
    assert len(sleeps) == attempts - 1
    for n, seconds in enumerate(sleeps):
        whole = initial * multiplier**n if initial else 0.0
        assert 0.0 <= seconds <= min(longest, whole) * (1 + 1e-9)


def test_full_jitter_uses_the_whole_range() -> None:
    random.seed(7)
    firsts = [run(Retry(2, initial=1.0), always(ConnectionError()))[1][0] for _ in range(500)]
    assert min(firsts) < 0.05
    assert max(firsts) > 0.95
    assert 0.4 < sum(firsts) / len(firsts) < 0.6


def test_a_max_below_the_default_initial_shortens_the_first_wait() -> None:
    _, sleeps, _ = run(Retry(max=0.2, jitter=None), always(ConnectionError()))
    assert sleeps == [0.2, 0.2]


@pytest.mark.parametrize(
    ("on", "retried"),
    [
        (LookupError, True),
        ((ValueError, LookupError), True),
        (ValueError, False),
        (Exception, True),
        (lambda error: isinstance(error, KeyError), True),
        (lambda _: "anything true", True),
        (lambda _: None, False),
    ],
)
def test_on_decides_which_errors_are_retried(on: Any, retried: bool) -> None:
    _, sleeps, _ = run(Retry(on=on), [KeyError(), 1])
    assert len(sleeps) == retried


NEVER = [InvalidArguments("no"), RateLimited("no", retry_after=0.1), ConcurrencyLimited("no"), CircuitOpen("no")]


@pytest.mark.parametrize("error", [*NEVER, SystemExit(), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("options", [{"on": Exception}, {"on": lambda _: True}, {"retry": tenacity.retry_always}])
def test_errors_that_are_never_retried_are_not_whatever_the_options_say(
    error: BaseException, options: dict[str, Any]
) -> None:
    outcome, sleeps, call = run(Retry(**options), [error])
    assert outcome.error is error
    assert (sleeps, call.attempts) == ([], [1])


def test_a_tool_timeout_is_retried_as_a_timeout_error() -> None:
    error = ToolTimeout("slow", tool="work", timeout=1.0)
    assert len(run(Retry(), [error, 1])[1]) == 1
    assert len(run(Retry(on=TimeoutError), [error, 1])[1]) == 1


@pytest.mark.parametrize("result", ["invalid", "cancelled"])
def test_an_outcome_that_is_no_error_of_the_tool_is_left_alone(result: Any) -> None:
    outcome, sleeps, _ = run(Retry(), [Outcome(None, ConnectionError(), result)])
    assert (outcome.result, sleeps) == (result, [])


class TestRetryAfter:
    def test_wins_over_the_backoff_be_it_shorter_or_longer(self) -> None:
        for seconds in (0.0, 0.01, 20.0):
            _, sleeps, _ = run(Retry(), [AskedToWaitError(seconds), 1])
            assert sleeps == [seconds]

    def test_counts_up_to_max_and_beyond_it_ends_the_retrying(self) -> None:
        assert run(Retry(max=5.0), [AskedToWaitError(5.0), 1])[1] == [5.0]
        outcome, sleeps, call = run(Retry(max=5.0), [AskedToWaitError(5.1)])
        assert isinstance(outcome.error, AskedToWaitError)
        assert (sleeps, call.attempts) == ([], [1])

    def test_beyond_max_it_ends_the_retrying_with_a_wait_strategy_too(self) -> None:
        policy = Retry(max=5.0, wait=tenacity.wait_fixed(60))
        assert run(policy, [AskedToWaitError(4.0), 1])[1] == [4.0]
        assert run(policy, [AskedToWaitError(6.0)])[1] == []
        assert run(policy, [ConnectionError(), 1])[1] == [60.0]

    def test_can_be_ignored_by_an_option(self) -> None:
        policy = Retry(jitter=None, respect_retry_after=False)
        assert run(policy, [AskedToWaitError(1000.0), 1])[1] == [0.5]

    @pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "soon", None, True])
    def test_a_value_that_is_no_wait_is_ignored(self, seconds: Any) -> None:
        assert run(Retry(jitter=None), [AskedToWaitError(seconds), 1])[1] == [0.5]

    def test_beyond_the_deadline_ends_the_retrying(self, time: Time) -> None:
        _, sleeps, _ = run(Retry(deadline=10.0), [AskedToWaitError(11.0)], time=time)
        assert sleeps == []


class TestDeadline:
    def test_no_sleep_begins_that_would_end_after_it(self, time: Time) -> None:
        policy = Retry(100, initial=1.0, multiplier=1.0, jitter=None, deadline=10.0)
        _, sleeps, call = run(policy, always(ConnectionError()), time=time, takes=1.0)
        # Attempts end at 1, 3, 5, 7 and 9; a sleep from there would end at the deadline.
        assert len(call.attempts) == 5
        assert len(sleeps) == 4
        assert time.now == 109.0

    def test_an_attempt_that_ends_after_it_is_the_last_even_without_a_wait(self, time: Time) -> None:
        policy = Retry(100, initial=0.0, deadline=10.0)
        _, _, call = run(policy, always(ConnectionError()), time=time, takes=11.0)
        assert call.attempts == [1]

    def test_the_function_can_read_it_and_what_follows_has_none(self, time: Time) -> None:
        call = RecordingCall()
        flow = flow_of(Retry(deadline=10.0), inner)(call)
        next(flow)
        assert call.scope is not None
        assert call.scope.owner is call
        assert call.left() == 10.0
        time.now += 3.0
        assert call.left() == 7.0
        with pytest.raises(StopIteration):
            flow.send(Outcome(1))
        assert call.scope is None

    def test_it_stands_inside_the_scope_of_a_tool_around_this_one(self, time: Time) -> None:
        outside = Scope(None, None, None)
        token = current_scope.set(outside)
        try:
            call = RecordingCall()
            flow = flow_of(Retry(deadline=10.0), inner)(call)
            next(flow)
            assert call.scope is not None
            assert call.scope.outer is outside
            flow.close()
        finally:
            current_scope.reset(token)

    @pytest.mark.parametrize("steps", [1, 2, 3])
    def test_a_call_that_is_given_up_at_any_step_leaves_nothing_behind(self, time: Time, steps: int) -> None:
        call = RecordingCall()
        flow = flow_of(Retry(deadline=10.0, on=Exception), inner)(call)
        answers = [None, Outcome.of_error(ConnectionError()), None]
        for answer in answers[:steps]:
            flow.send(answer)
        flow.close()
        assert call.scope is None

    def test_without_one_there_is_no_scope(self) -> None:
        call = RecordingCall()
        flow = Retry().policy(TOOL_INFO)(inner)(call)
        next(flow)
        assert call.scope is None
        flow.close()

    def test_a_tool_around_this_one_that_was_given_up_ends_the_retrying(self, time: Time) -> None:
        for scope in (Scope(None, time.now + 0.1, None), Scope(None, None, None)):
            scope.given_up = scope.deadline is None
            token = current_scope.set(scope)
            try:
                assert run(Retry(jitter=None), [ConnectionError()])[1] == []
            finally:
                current_scope.reset(token)


class TestTenacity:
    def test_stop_strategies_go_by_our_clock(self, time: Time) -> None:
        policy = Retry(stop=tenacity.stop_after_delay(10), wait=tenacity.wait_fixed(2))
        _, sleeps, _ = run(policy, always(ConnectionError()), time=time, takes=1.0)
        # Attempts end at 1, 4, 7 and 10 s.
        assert sleeps == [2.0, 2.0, 2.0]

    def test_stop_before_delay_knows_of_the_sleep_to_come(self, time: Time) -> None:
        policy = Retry(stop=tenacity.stop_before_delay(10), wait=tenacity.wait_fixed(2))
        _, sleeps, _ = run(policy, always(ConnectionError()), time=time, takes=1.0)
        # Attempts end at 1, 4 and 7; one that began at 9 would be in time, and one at 12 would not.
        assert sleeps == [2.0, 2.0, 2.0]
        assert time.now == 110.0

    def test_stop_before_delay_knows_of_a_retry_after(self, time: Time) -> None:
        policy = Retry(stop=tenacity.stop_before_delay(10))
        assert run(policy, [AskedToWaitError(20.0)], time=time)[1] == []

    def test_strategies_can_be_joined(self) -> None:
        stop = tenacity.stop_after_attempt(4) | tenacity.stop_after_delay(1000)
        wait = tenacity.wait_fixed(1) + tenacity.wait_incrementing(start=1, increment=1)
        _, sleeps, _ = run(Retry(stop=stop, wait=wait), always(ConnectionError()))
        assert sleeps == [2.0, 3.0, 4.0]

    def test_a_result_can_be_refused_and_the_last_one_is_the_callers(self) -> None:
        policy = Retry(retry=tenacity.retry_if_result(lambda value: value is None))
        outcome, sleeps, call = run(policy, [None, None, 5])
        assert (outcome.value, len(sleeps), call.attempts) == (5, 2, [1, 2, 3])
        outcome, _, _ = run(policy, [None, None, None])
        assert (outcome.value, outcome.error, outcome.result) == (None, None, "ok")

    def test_a_result_strategy_sees_the_value_that_failed_if_called_a_failure(self) -> None:
        seen: list[Any] = []

        def judge(value: Any) -> bool:
            seen.append(value)
            return bool(value == "bad")

        outcome, _, _ = run(Retry(retry=tenacity.retry_if_result(judge)), [Outcome("bad", None, "error"), "good"])
        assert outcome.value == "good"
        assert seen == ["bad", "good"]

    def test_without_one_a_failed_result_is_not_retried(self) -> None:
        outcome, sleeps, _ = run(Retry(on=Exception), [Outcome("bad", None, "error", "tool_error")])
        assert (outcome.value, sleeps) == ("bad", [])

    def test_errors_and_results_together(self) -> None:
        retry = tenacity.retry_if_exception_type(KeyError) | tenacity.retry_if_result(lambda value: value < 0)
        outcome, sleeps, _ = run(Retry(4, retry=retry), [KeyError(), -1, 3])
        assert (outcome.value, len(sleeps)) == (3, 2)

    def test_a_strategy_about_errors_is_not_called_after_a_success(self) -> None:
        def fail(_: object) -> bool:
            raise AssertionError

        for retry in (
            tenacity.retry_if_exception(fail),
            tenacity.retry_any(tenacity.retry_if_exception(fail), tenacity.retry_never),
            tenacity.retry_all(tenacity.retry_if_exception_type(KeyError), fail),
        ):
            call = RecordingCall()
            flow = Retry(retry=retry).policy(TOOL_INFO)(inner)(call)
            next(flow)
            with pytest.raises(StopIteration):
                flow.send(Outcome(1))

    def test_any_other_strategy_is_called_after_a_success(self) -> None:
        seen: list[Any] = []

        def retry(state: tenacity.RetryCallState) -> bool:
            assert state.outcome is not None
            seen.append(state.outcome.result())
            return False

        run(Retry(retry=retry), [3])
        run(Retry(retry=tenacity.retry_unless_exception_type(KeyError), attempts=2), [3, 4])
        assert seen == [3]

    def test_tenacitys_try_again_is_retried(self) -> None:
        assert len(run(Retry(on=KeyError), [tenacity.TryAgain(), 1])[1]) == 1

    def test_strategies_are_shown_the_whole_state(self, time: Time) -> None:
        shown: list[Any] = []
        states = set()

        def stop(state: tenacity.RetryCallState) -> bool:
            assert state.outcome is not None
            states.add(id(state))
            shown.append(
                (
                    state.attempt_number,
                    state.outcome.attempt_number,
                    state.outcome.exception(),
                    state.seconds_since_start,
                    state.upcoming_sleep,
                    state.idle_for,
                )
            )
            assert state.fn is work
            assert state.args == (1,)
            assert state.kwargs == {"x": 2}
            assert isinstance(state.retry_object, tenacity.Retrying)
            return state.attempt_number == 3

        errors = [ConnectionError(n) for n in range(3)]
        policy = Retry(stop=stop, wait=tenacity.wait_incrementing(start=1, increment=1))
        run(policy, errors, time=time, takes=10.0, call=RecordingCall(1, x=2))
        assert shown == [
            (1, 1, errors[0], 10.0, 1.0, 0.0),
            (2, 2, errors[1], 21.0, 2.0, 1.0),
            (3, 3, errors[2], 33.0, 3.0, 3.0),
        ]
        assert len(states) == 1

    def test_no_state_is_created_for_a_call_that_succeeds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise AssertionError

        policy = Retry().policy(TOOL_INFO)(inner)
        monkeypatch.setattr(tenacity, "RetryCallState", fail)
        flow = policy(RecordingCall())
        next(flow)
        with pytest.raises(StopIteration):
            flow.send(Outcome(1))


def _raise(*_: object) -> Any:
    raise RuntimeError("a mistake in a strategy")


async def _later(*_: object) -> bool:
    return True


def _hidden(*args: object) -> Any:
    """Async, and nobody can see it."""
    return _later(*args)


@pytest.mark.parametrize(
    "options",
    [
        {"on": _raise},
        {"stop": _raise},
        {"wait": _raise},
        {"retry": _raise},
        {"wait": lambda _: math.nan},
        {"wait": lambda _: math.inf},
        {"wait": lambda _: None},
        {"wait": lambda _: "soon"},
        {"retry": _hidden},
        {"on": _hidden},
        {"stop": _hidden},
    ],
)
def test_a_strategy_that_fails_is_logged_and_the_caller_gets_the_tools_own_error(
    caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    error = ConnectionError()
    outcome, sleeps, call = run(Retry(**options), [error])
    assert outcome.error is error
    assert (sleeps, call.attempts, len(call.ended)) == ([], [1], 1)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "the retry options of tool 'work' raised; it is not tried again"


def test_a_strategy_that_fails_over_a_result_leaves_the_result(caplog: pytest.LogCaptureFixture) -> None:
    outcome, _, _ = run(Retry(retry=tenacity.retry_if_result(lambda value: value["x"])), [3])
    assert outcome.value == 3
    assert len(caplog.records) == 1


def test_a_negative_wait_is_none() -> None:
    assert run(Retry(wait=lambda _: -1.0), [ConnectionError(), 1])[1] == [0.0]


class TestNote:
    def test_says_how_many_attempts_there_were_and_how_long_they_took(self, time: Time) -> None:
        error = ConnectionError()
        run(Retry(initial=0.5, jitter=None), [ConnectionError(), ConnectionError(), error], time=time)
        assert error.__notes__ == ["otel_tools: 3 attempts in 1.50 s"]

    def test_one_attempt_adds_no_note(self) -> None:
        error = ValueError()
        run(Retry(), [error])
        assert not hasattr(error, "__notes__")

    def test_an_error_that_is_always_the_same_object_has_the_note_of_the_last_call(self, time: Time) -> None:
        error = ConnectionError()
        error.add_note("otel_tools: mine")
        run(Retry(2, jitter=None), always(error), time=time)
        run(Retry(3, jitter=None), always(error), time=time)
        assert error.__notes__ == ["otel_tools: mine", "otel_tools: 3 attempts in 1.50 s"]
        run(Retry(1), [error], time=time)
        assert error.__notes__ == ["otel_tools: mine"]

    @pytest.mark.parametrize("notes", [3, ("a tuple",), [object()], None])
    def test_notes_of_an_unusual_kind_break_nothing(self, notes: Any) -> None:
        error = ConnectionError()
        error.__notes__ = notes
        outcome, _, _ = run(Retry(), always(error))
        assert outcome.error is error

    def test_an_error_that_takes_no_notes_is_passed_on_without(self) -> None:
        class SealedError(ConnectionError):
            def add_note(self, note: str) -> None:
                raise TypeError(note)

        error = SealedError()
        assert run(Retry(), always(error))[0].error is error


class TestLog:
    def test_before_each_sleep_there_is_one_record(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "otel_tools.policies.retry")
        run(Retry(jitter=None), always(ConnectionResetError("password=hunter2")))
        # The first of an error in a minute; the others are for those who look.
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.DEBUG]
        first = caplog.records[0]
        assert first.getMessage() == ("tool 'work': attempt 1 failed (ConnectionResetError); the next begins in 0.5 s")
        fields = [
            {name: record.__dict__[name] for name in ("tool", "attempt", "delay", "error_type")}
            for record in caplog.records
        ]
        assert fields == [
            {"tool": "work", "attempt": 1, "delay": 0.5, "error_type": "ConnectionResetError"},
            {"tool": "work", "attempt": 2, "delay": 1.0, "error_type": "ConnectionResetError"},
        ]
        assert "hunter2" not in caplog.text

    def test_a_refused_result_has_the_type_that_failed_if_gave_it(self, caplog: pytest.LogCaptureFixture) -> None:
        policy = Retry(2, retry=tenacity.retry_if_result(bool))
        run(policy, [Outcome("secret", None, "error", "quota"), ""])
        run(policy, ["secret", ""])
        assert [record.__dict__["error_type"] for record in caplog.records] == ["quota", "tool_error"]
        assert "secret" not in caplog.text

    def test_a_broken_log_breaks_nothing(self) -> None:
        class Broken(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise OSError("disk full")

        handler = Broken()
        logging.getLogger("otel_tools").addHandler(handler)
        try:
            assert run(Retry(), [ConnectionError(), 1])[0].value == 1
            assert run(Retry(on=_raise), [ConnectionError()])[0].value is None
        finally:
            logging.getLogger("otel_tools").removeHandler(handler)


OUTCOMES: list[Callable[[], Any]] = [
    lambda: 1,
    ConnectionError,
    ValueError,
    lambda: AskedToWaitError(2.0),
    lambda: AskedToWaitError(1e6),
    lambda: CircuitOpen("open"),
    lambda: Outcome("bad", None, "error"),
]


@given(
    made=st.lists(st.sampled_from(OUTCOMES), min_size=10, max_size=10),
    attempts=st.integers(1, 8),
    deadline=st.none() | st.floats(0.1, 20),
    takes=st.floats(0, 5),
)
def test_attempts_sleeps_and_reports_agree_for_any_outcomes(
    made: list[Callable[[], Any]], attempts: int, deadline: float | None, takes: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        time = Time(patch)
        given_outcomes = [one() for one in made]
        outcome, sleeps, call = run(Retry(attempts, deadline=deadline), given_outcomes, time=time, takes=takes)

        assert call.attempts == list(range(1, len(sleeps) + 2))
        assert len(call.attempts) <= attempts
        assert [seconds for _, seconds in call.ended] == [*sleeps, None]
        last = given_outcomes[len(sleeps)]
        assert outcome is last or outcome.error is last or outcome.value == last
        if deadline is not None:
            assert time.now <= 100.0 + deadline + takes
        assert all(0.0 <= seconds <= 30.0 for seconds in sleeps)
        assert call.scope is None
