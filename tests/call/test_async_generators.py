"""Async generator tools: as sync ones; and the event loop closes them once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

from otel_tools import tool
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from otel_tools.testing import Captured


class Thing:
    """Something that can be watched dying."""


async def echo(first: Any = None) -> AsyncGenerator[Any, Any]:
    """Give back what is sent or thrown; end when sent "end"."""
    got = yield first
    while got != "end":
        try:
            await asyncio.sleep(0)
            got = yield got
        except ValueError as error:
            got = f"caught {error}"


def outcome_of(seen: Captured, name: str) -> Any:
    return dict(seen.span(name).attributes or {})["otel_tools.outcome"]


async def test_items_pass_through(seen: Captured) -> None:
    @tool
    async def items() -> AsyncGenerator[int, None]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    assert [item async for item in items()] == [0, 1, 2]
    assert outcome_of(seen, "items") == "ok"


async def test_asend_and_athrow_reach_the_body(seen: Captured) -> None:
    generator = tool(echo)("first")

    assert await anext(generator) == "first"
    assert await generator.asend("a") == "a"
    assert await generator.athrow(ValueError("b")) == "caught b"
    assert await generator.asend("c") == "c"
    with pytest.raises(StopAsyncIteration):
        await generator.asend("end")
    assert outcome_of(seen, "echo") == "ok"


async def test_the_span_is_current_in_the_body_and_never_in_the_consumer(seen: Captured) -> None:
    inside: list[Any] = []

    @tool
    async def items() -> AsyncGenerator[int, None]:
        with instruments.tracer.start_as_current_span("inner"):
            for number in range(3):
                await asyncio.sleep(0)
                inside.append(trace.get_current_span().get_span_context().span_id)
                yield number

    with instruments.tracer.start_as_current_span("consumer") as consumer:
        between = [trace.get_current_span() async for _ in items()]
        after = trace.get_current_span()

    ids = {span.name: span.context.span_id for span in seen.spans}
    assert inside == [ids["inner"]] * 3
    assert [*between, after] == [consumer] * 4


async def test_closing_a_generator_early_is_a_cancellation(seen: Captured) -> None:
    closed: list[bool] = []

    @tool
    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async with contextlib.aclosing(items()) as generator:
        async for _ in generator:
            break

    assert closed == [True]
    assert outcome_of(seen, "items") == "cancelled"
    assert items.tool.stats().active == 0


async def test_cancelling_the_consumer_reaches_the_body(seen: Captured) -> None:
    reached: list[bool] = []

    @tool
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            reached.append(True)
            raise

    async def consume() -> None:
        async for _ in items():
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert reached == [True]
    assert outcome_of(seen, "items") == "cancelled"


async def test_the_consumer_gets_the_exception_object_that_the_body_raised(seen: Captured) -> None:
    raised = OSError("broken")

    @tool
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        raise raised

    with pytest.raises(OSError, match="broken") as caught:
        async for _ in items():
            pass

    assert caught.value is raised
    assert caught.value.__context__ is None
    assert outcome_of(seen, "items") == "error"


async def test_a_dropped_generator_is_closed_by_the_loop_and_counted(seen: Captured) -> None:
    closed: list[bool] = []

    @tool
    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    generator = items()
    await anext(generator)
    del generator
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)

    assert closed == [True]
    assert (items.tool.stats().calls.cancelled, items.tool.stats().active) == (1, 0)
    assert outcome_of(seen, "items") == "cancelled"


def test_a_generator_that_is_open_when_the_loop_ends_is_closed_once(
    seen: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[Any] = []
    closed: list[bool] = []

    @tool
    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main() -> None:
        kept.append(items())
        await anext(kept[0])

    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        asyncio.run(main())

    assert closed == [True]
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert outcome_of(seen, "items") == "cancelled"


async def test_a_generator_that_is_never_started_reports_nothing(seen: Captured) -> None:
    await tool(echo)().aclose()

    assert seen.spans == ()


async def test_the_driver_keeps_no_reference_to_an_item(seen: Captured) -> None:
    @tool
    async def items() -> AsyncGenerator[Thing, None]:
        yield Thing()
        yield Thing()

    generator = items()
    gc.disable()
    try:
        watched = weakref.ref(await anext(generator))
        assert watched() is None
    finally:
        gc.enable()
    await generator.aclose()
