"""The drivers perform the steps that policies yield, for sync and async tools; a plan nests the policies."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._call.call import Call
from otel_tools._call.drive import coroutine_driver, function_driver
from otel_tools._call.outcome import Outcome
from otel_tools._call.plan import Plan, compile_plan
from otel_tools._call.steps import Invoke, Sleep, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.outcome import OutcomeName
    from otel_tools._call.steps import Flow, Next, Policy
    from tests.conftest import Flavour


class Recorded(Call):
    """Remembers what the driver said of each call."""

    closed: list[tuple[Any, BaseException | None, OutcomeName]]

    def close(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: OutcomeName = "ok",
        error_type: str | None = None,
    ) -> None:
        """Remember it."""
        self.closed.append((value, error, result))


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How the calls of the test ended."""
    monkeypatch.setattr(Recorded, "closed", [], raising=False)
    return Recorded.closed


def driven(both: Flavour, function: Callable[..., Any], flow: Next) -> Callable[..., Any]:
    plan = Plan(both.function(function), Recorded, flow)
    return function_driver(plan) if both.name == "sync" else coroutine_driver(plan)


def test_a_flow_may_invoke_again_and_sleep_between(both: Flavour, closed: list[Any]) -> None:
    attempts: list[int] = []

    def flaky() -> int:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise ConnectionError
        return len(attempts)

    def again(_call: Call) -> Flow:
        outcome: Outcome = yield Invoke()
        while outcome.error is not None:
            assert (yield Sleep(0.01)) is None
            outcome = yield Invoke()
        return outcome

    began = time.monotonic()
    assert both.call(driven(both, flaky, again)) == 3

    assert attempts == [0, 1, 2]
    assert time.monotonic() - began >= 0.02
    assert closed == [(3, None, "ok")]


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_sleep_of_zero_or_less_returns_at_once(both: Flavour, closed: list[Any], seconds: float) -> None:
    def nap(_call: Call) -> Flow:
        yield Sleep(seconds)
        return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome

    assert both.call(driven(both, lambda: 1, nap)) == 1


@pytest.mark.parametrize("completed", [True, False])
def test_a_flow_may_wait_for_a_future_that_another_call_completes(
    both: Flavour, closed: list[Any], completed: bool
) -> None:
    future: Future[int] = Future()

    def wait(_call: Call) -> Flow:
        done = yield Wait(future, timeout=10 if completed else 0.01)
        return Outcome((done, future.result() if done else None))

    if completed:
        threading.Timer(0.01, future.set_result, [7]).start()

    assert both.call(driven(both, lambda: 1, wait)) == ((True, 7) if completed else (False, None))
    assert not future.cancelled()


async def test_a_cancelled_waiter_does_not_cancel_the_future_of_the_others() -> None:
    future: Future[int] = Future()

    def wait(_call: Call) -> Flow:
        yield Wait(future)
        return Outcome(future.result())

    async def function() -> None:
        pass

    call = coroutine_driver(Plan(function, Call, wait))
    impatient, patient = asyncio.create_task(call()), asyncio.create_task(call())
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    future.set_result(7)

    assert await patient == 7


def test_the_caller_gets_the_outcome_that_a_policy_changed(both: Flavour, closed: list[Any]) -> None:
    replaced = PermissionError("refused")

    def refuse(_call: Call) -> Flow:
        outcome: Outcome = yield Invoke()
        outcome.error, outcome.result = replaced, "invalid"
        return outcome

    with pytest.raises(PermissionError) as caught:
        both.call(driven(both, lambda: 1, refuse))

    assert caught.value is replaced
    assert closed == [(1, replaced, "invalid")]


def test_an_error_in_a_policy_closes_the_flow_and_reaches_the_caller(both: Flavour, closed: list[Any]) -> None:
    def broken(_call: Call) -> Flow:
        yield Invoke()
        raise RuntimeError("a bug of ours")

    with pytest.raises(RuntimeError, match="a bug of ours"):
        both.call(driven(both, lambda: 1, broken))

    assert [result for _, _, result in closed] == ["error"]


def test_an_interrupt_in_the_function_closes_the_policies(both: Flavour, closed: list[Any]) -> None:
    ended: list[bool] = []

    def watching(_call: Call) -> Flow:
        try:
            return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome
        finally:
            ended.append(True)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        both.call(driven(both, interrupted, watching))

    assert ended == [True]
    assert [result for _, _, result in closed] == ["cancelled"]


def named(name: str, log: list[str]) -> Policy:
    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            log.append(f"{name} begins")
            outcome = yield from inner(call)
            log.append(f"{name} ends")
            return outcome

        return flow

    return policy


def test_a_plan_puts_the_first_policy_outermost() -> None:
    log: list[str] = []

    plan = compile_plan(lambda: log.append("function"), Call, [named(name, log) for name in ("outer", "inner")])
    function_driver(plan)()

    assert log == ["outer begins", "inner begins", "function", "inner ends", "outer ends"]


def test_without_policies_there_is_no_flow() -> None:
    assert compile_plan(len, Call, []).flow is None


def test_the_repr_of_an_outcome_shows_its_value_error_and_name() -> None:
    assert repr(Outcome(3)) == "Outcome(value=3, error=None, result='ok')"
    assert Outcome.of_error(KeyboardInterrupt()).result == "cancelled"
