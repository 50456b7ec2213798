"""For any order of events: never more than ``limit`` attempts run, first come is first served, no slot is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_tools import Concurrency
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke

if TYPE_CHECKING:
    from otel_tools._call.steps import Flow


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


class Slots(RuleBasedStateMachine):
    """Attempts come, run, end, wait, give up and are cancelled; the lists say what must be true of them."""

    @initialize(limit=st.integers(1, 3), waits=st.booleans())
    def begin(self, limit: int, waits: bool) -> None:
        self.limit = limit
        self.waits = waits
        self.concurrency = Concurrency(limit, max_wait=None if waits else 0)
        self.flow_of = self.concurrency.policy(TOOL_INFO)(inner)
        self.running: list[Flow] = []
        # In the order of coming; the first ones may have been handed a slot already and not gone on yet.
        self.line: list[tuple[Flow, Any]] = []

    def granted(self) -> list[Any]:
        return [future for _, future in self.line if future.done()]

    def held(self) -> int:
        return len(self.running) + len(self.granted())

    @rule()
    def come(self) -> None:
        free = self.held() < self.limit
        flow = self.flow_of(Call((), {}))
        step = next_step(flow, None)
        if free:
            assert isinstance(step, Invoke)
            self.running.append(flow)
        elif self.waits:
            self.line.append((flow, step.future))
        else:
            assert step.result == "error"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failing=st.booleans())
    def end(self, data: st.DataObject, failing: bool) -> None:
        flow = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        outcome = Outcome.of_error(ValueError()) if failing else Outcome(1)
        assert next_step(flow, outcome) is outcome

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel_running(self, data: st.DataObject) -> None:
        self.running.pop(data.draw(st.integers(0, len(self.running) - 1))).close()

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def cancel_in_line(self, data: st.DataObject) -> None:
        flow, _ = self.line.pop(data.draw(st.integers(0, len(self.line) - 1)))
        flow.close()

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def time_is_up(self, data: st.DataObject) -> None:
        flow, future = self.line.pop(data.draw(st.integers(0, len(self.line) - 1)))
        granted = future.done()
        step = next_step(flow, answer=False)
        if granted:
            assert isinstance(step, Invoke)
            self.running.append(flow)
        else:
            assert step.result == "error"

    @precondition(lambda self: self.line and self.granted())
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from([i for i, (_, future) in enumerate(self.line) if future.done()]))
        flow, _ = self.line.pop(index)
        assert isinstance(next_step(flow, answer=True), Invoke)
        self.running.append(flow)

    @invariant()
    def never_more_than_the_limit(self) -> None:
        if hasattr(self, "limit"):
            assert self.held() == self.concurrency.in_use <= self.limit

    @invariant()
    def nobody_waits_while_a_slot_is_free(self) -> None:
        if hasattr(self, "limit"):
            waiting = len(self.line) - len(self.granted())
            assert waiting == self.concurrency.waiting
            assert not waiting or self.held() == self.limit

    @invariant()
    def first_come_first_served(self) -> None:
        if hasattr(self, "limit"):
            done = [future.done() for _, future in self.line]
            assert done == sorted(done, reverse=True)

    def teardown(self) -> None:
        for flow in (*getattr(self, "running", ()), *(flow for flow, _ in getattr(self, "line", ()))):
            flow.close()
        if hasattr(self, "concurrency"):
            assert (self.concurrency.in_use, self.concurrency.waiting) == (0, 0)


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
