"""The circuit breaker against a reference model that keeps every event, and under threads."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_tools import CircuitBreaker
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.clock import clock
from otel_tools._call.drive import function_driver
from otel_tools._call.outcome import Outcome
from otel_tools._call.plan import compile_plan
from otel_tools._call.steps import Invoke
from otel_tools.errors import CircuitOpen, InvalidArguments

if TYPE_CHECKING:
    from otel_tools._call.steps import Flow


def state_of(breaker: CircuitBreaker) -> str:
    """Its state, without a type checker's belief that it stays what it was asserted to be."""
    return breaker.state


def work() -> None:
    """Stands for the tool."""


def inner(_call: Call) -> Flow:
    return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome


def next_step(flow: Flow, answer: Any) -> Any:
    """The next step of an attempt, or its outcome."""
    try:
        return flow.send(answer)
    except StopIteration as stop:
        return stop.value


TOOL_INFO = ToolInfo("work", work, asynchronous=False, generator=False, arguments=Arguments(work))


class Model:
    """What a breaker should do, with every result kept."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.options = breaker
        self.generation = 0
        self.state = "closed"
        self.until = 0.0
        self.results: list[tuple[float, bool]] = []
        self.probes = 0

    def seen(self, now: float) -> str:
        return "half_open" if self.state == "open" and now >= self.until else self.state

    def admits(self, now: float) -> bool:
        if self.state != self.seen(now):
            self.become("half_open")
        if self.state == "half_open" and self.probes < self.options.half_open:
            self.probes += 1
            return True
        return self.state == "closed"

    def become(self, state: str, until: float = 0.0) -> None:
        self.generation += 1
        self.state, self.until, self.results, self.probes = state, until, [], 0

    def ended(self, now: float, generation: int, good: bool | None) -> None:
        if generation != self.generation:
            return
        self.probes -= self.state == "half_open"
        if good is None:
            return
        self.results.append((now, good))
        if self.state == "closed":
            if not good and self.too_many(now):
                self.become("open", now + self.options.cooldown)
        elif not good:
            self.become("open", now + self.options.cooldown)
        elif len(self.results) == self.options.half_open:
            self.become("closed")

    def too_many(self, now: float) -> bool:
        failures, window, ratio = self.options.failures, self.options.window, self.options.failure_ratio
        if ratio is None:
            last = self.results[-failures:]
            return len(last) == failures and not any(good for _, good in last) and now - last[0][0] <= window
        tenth = window / 10
        recent = [good for when, good in self.results if int(now / tenth) - int(when / tenth) < 10]
        bad = recent.count(False)
        return bad >= failures and bad / len(recent) >= ratio


class Breaker(RuleBasedStateMachine):
    """Attempts begin and end in any order while time passes; the model says what must be true."""

    @initialize(failures=st.integers(1, 3), ratio=st.sampled_from([None, 0.3, 0.5, 1]), half_open=st.integers(1, 3))
    def begin(self, failures: int, ratio: float | None, half_open: int) -> None:
        self.now = 0.0
        clock.now = lambda: self.now
        self.breaker = CircuitBreaker(failures, window=10, cooldown=7, failure_ratio=ratio, half_open=half_open)
        self.model = Model(self.breaker)
        self.flow_of = self.breaker.policy(TOOL_INFO)(self.breaker.policy_after_wait(TOOL_INFO)(inner))
        self.running: list[tuple[Flow, int]] = []

    @rule(seconds=st.sampled_from([0.25, 1, 2.5, 7, 10, 25]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.integers(1, 4))
    def come(self, times: int) -> None:
        for _ in range(times):
            flow = self.flow_of(Call((), {}))
            step = next_step(flow, None)
            if self.model.admits(self.now):
                assert isinstance(step, Invoke)
                self.running.append((flow, self.model.generation))
            else:
                assert isinstance(step.error, CircuitOpen)
                left = self.model.until - self.now if self.model.state == "open" else None
                assert step.error.retry_after == left

    @precondition(lambda self: self.running)
    @rule(data=st.data(), good=st.sampled_from([True, False, False, None]))
    def end(self, data: st.DataObject, good: bool | None) -> None:
        flow, generation = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if good is None:
            flow.close()
        else:
            outcome = Outcome(1) if good else Outcome.of_error(ValueError())
            assert next_step(flow, outcome) is outcome
        self.model.ended(self.now, generation, good)

    @invariant()
    def the_state_is_that_of_the_model(self) -> None:
        if hasattr(self, "model"):
            assert state_of(self.breaker) == self.model.seen(self.now)
            assert self.breaker.state_number == ["closed", "half_open", "open"].index(state_of(self.breaker))

    def teardown(self) -> None:
        for flow, _ in getattr(self, "running", ()):
            flow.close()
        clock.reset()


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize("half_open", [1, 3])
def test_never_more_probes_at_once_than_places_under_threads(monkeypatch: pytest.MonkeyPatch, half_open: int) -> None:
    time = [0.0]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    breaker = CircuitBreaker(failures=1, cooldown=1, half_open=half_open)
    lock = threading.Lock()
    inside: list[None] = []
    most: list[int] = []
    pause = threading.Event()

    def fail() -> None:
        raise ConnectionError

    def probe() -> None:
        with lock:
            inside.append(None)
            most.append(len(inside))
        pause.wait(0.0005)
        with lock:
            inside.pop()
        # Counts neither way, so the breaker stays half open and the next may probe.
        raise InvalidArguments("")

    def driven(function: Any) -> Any:
        return function_driver(compile_plan(function, Call, [breaker.policy(TOOL_INFO)]))

    with pytest.raises(ConnectionError):
        driven(fail)()
    time[0] += 1
    call = driven(probe)

    def in_a_thread() -> None:
        for _ in range(200):
            with contextlib.suppress(CircuitOpen, InvalidArguments):
                call()

    threads = [threading.Thread(target=in_a_thread) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert max(most) <= half_open
    assert len(most) > 1
    assert state_of(breaker) == "half_open"
    assert not breaker._circuit.period.probes  # type: ignore[attr-defined] # it is half open
