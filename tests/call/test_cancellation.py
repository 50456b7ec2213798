"""Cancellation: the same exception object is raised, the span ends, nothing stays active, no failure is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import StatusCode

from otel_tools import tool
from otel_tools._call.outcome import is_cancellation
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour

POLICIES: list[dict[str, Callable[[Any], object]]] = [{}, {"failed_if": bool}]


class Cancelled(BaseException):
    """As trio's."""


def assert_cancelled(seen: Captured, name: str) -> None:
    """The span and the counts show a cancellation and no failure."""
    span = seen.span(name)
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    attributes = dict(span.attributes or {})
    assert (attributes["otel_tools.outcome"], attributes.get("error.type")) == ("cancelled", None)
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: name, names.OUTCOME: "cancelled"}) == 1
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: name, names.OUTCOME: "error"}) == 0
    assert seen.value(names.ACTIVE.name, {names.TOOL_NAME: name}) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("why"), Cancelled()])
@pytest.mark.parametrize("options", POLICIES)
def test_a_cancellation_reaches_the_caller_unchanged(
    seen: Captured, both: Flavour, error: BaseException, options: dict[str, Any]
) -> None:
    caught: list[BaseException] = []

    def give_up() -> None:
        raise error

    async def drive_by_hand() -> None:
        try:
            await decorated()
        except BaseException as got:  # a loop would end at some of these
            caught.append(got)

    decorated: Any = tool(**options)(both.function(give_up))
    if both.name == "async":
        asyncio.run(drive_by_hand())
    else:
        with pytest.raises(type(error)) as raised:
            decorated()
        caught.append(raised.value)

    assert caught[0] is error
    assert_cancelled(seen, "give_up")
    assert decorated.tool.stats().active == 0
    assert decorated.tool.stats().success_rate is None


def test_a_system_exit_is_a_failure_of_the_tool(seen: Captured, both: Flavour) -> None:
    def leave() -> None:
        raise SystemExit(3)

    decorated = tool(both.function(leave))
    with pytest.raises(SystemExit, match="3"):
        both.call(decorated)

    assert dict(seen.span("leave").attributes or {})["otel_tools.outcome"] == "error"
    assert seen.span("leave").status.status_code is StatusCode.ERROR
    assert seen.value(names.ACTIVE.name, {names.TOOL_NAME: "leave"}) == 0


@pytest.mark.parametrize("options", POLICIES)
async def test_a_cancelled_task_cancels_its_tool(seen: Captured, options: dict[str, Any]) -> None:
    reached: list[BaseException] = []

    async def sleep() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            reached.append(error)
            raise

    decorated: Any = tool(**options)(sleep)
    task = asyncio.create_task(decorated())
    await asyncio.sleep(0)
    assert decorated.tool.stats().active == 1
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task

    assert len(reached) == 1
    assert_cancelled(seen, "sleep")


async def test_a_tool_may_refuse_to_be_cancelled(seen: Captured) -> None:
    @tool
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done anyway"
        return "slept"

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()

    assert await task == "done anyway"
    assert stubborn.tool.stats().calls.ok == 1


async def test_a_timeout_around_a_tool_cancels_it(seen: Captured) -> None:
    @tool
    async def sleep() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await sleep()

    assert_cancelled(seen, "sleep")


async def test_a_timeout_inside_a_tool_is_its_failure(seen: Captured) -> None:
    @tool
    async def sleep() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await sleep()

    attributes = dict(seen.span("sleep").attributes or {})
    assert (attributes["otel_tools.outcome"], attributes["error.type"]) == ("error", "TimeoutError")


async def test_one_failing_tool_of_a_group_cancels_the_others(seen: Captured) -> None:
    @tool
    async def sleep() -> None:
        await asyncio.sleep(60)

    @tool
    async def fail() -> None:
        await asyncio.sleep(0)
        raise OSError

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleep())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await together()

    assert_cancelled(seen, "sleep")
    assert fail.tool.stats().calls.error == 1


def test_a_tool_that_is_never_awaited_reports_nothing(seen: Captured) -> None:
    @tool
    async def later() -> None:
        pass

    later().close()

    assert seen.spans == ()
    assert later.tool.stats().active == 0


def test_a_tool_that_is_dropped_while_it_waits_is_cancelled(seen: Captured) -> None:
    @tool
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        pending = wait()
        pending.send(None)
        assert wait.tool.stats().active == 1
        del pending

    asyncio.run(main())

    assert_cancelled(seen, "wait")


@pytest.mark.parametrize(
    ("error", "cancelled"),
    [
        (KeyboardInterrupt(), True),
        (asyncio.CancelledError(), True),
        (GeneratorExit(), True),
        (Cancelled(), True),
        (SystemExit(), False),
        (TimeoutError(), False),
        (type("Cancelled", (Exception,), {})(), False),
        (BaseExceptionGroup("several", [KeyboardInterrupt()]), False),
    ],
)
def test_which_exceptions_are_cancellations(error: BaseException, cancelled: bool) -> None:
    assert is_cancellation(error) is cancelled
