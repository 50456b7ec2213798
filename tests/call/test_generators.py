"""Generator tools: items, sends and exceptions pass through, and one call covers the whole iteration."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

from otel_tools import tool
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from otel_tools.testing import Captured


class Thing:
    """Something that can be watched dying."""


def echo(first: Any = None) -> Generator[Any, Any, str]:
    """Give back what is sent or thrown; end when sent "end"."""
    got = yield first
    while got != "end":
        try:
            got = yield got
        except ValueError as error:
            got = f"caught {error}"
    return "ended"


def outcome_of(seen: Captured, name: str) -> Any:
    return dict(seen.span(name).attributes or {})["otel_tools.outcome"]


def test_items_and_return_value_pass_through(seen: Captured) -> None:
    @tool
    def outer() -> Generator[int, None, str]:
        return (yield from inner())

    @tool
    def inner() -> Generator[int, None, str]:
        yield 1
        yield 2
        return "value"

    generator = outer()
    items = [next(generator), next(generator)]
    with pytest.raises(StopIteration) as stop:
        next(generator)

    assert items == [1, 2]
    assert stop.value.value == "value"
    assert (outcome_of(seen, "inner"), outcome_of(seen, "outer")) == ("ok", "ok")
    assert list(generator) == []


def test_send_and_throw_reach_the_body(seen: Captured) -> None:
    generator = tool(echo)("first")

    assert next(generator) == "first"
    assert generator.send("a") == "a"
    assert generator.throw(ValueError("b")) == "caught b"
    assert generator.send("c") == "c"
    with pytest.raises(StopIteration, match="ended"):
        generator.send("end")
    assert outcome_of(seen, "echo") == "ok"


def test_exceptions_pass_between_consumer_and_body_as_the_same_object(
    seen: Captured,
) -> None:
    got: list[BaseException] = []
    raised = OSError("from the body")

    @tool
    def body() -> Generator[int, None, None]:
        try:
            yield 1
        except LookupError as error:
            got.append(error)
            raise raised from None

    generator = body()
    next(generator)
    thrown = LookupError()
    with pytest.raises(OSError, match="from the body") as caught:
        generator.throw(thrown)

    assert got[0] is thrown
    assert caught.value is raised
    assert raised.__context__ is thrown


def test_an_error_raised_between_two_sends_of_a_handler_has_no_foreign_context(seen: Captured) -> None:
    @tool
    def body() -> Generator[int, None, None]:
        yield 1
        raise OSError("new")

    generator = body()
    next(generator)
    with pytest.raises(OSError, match="new") as caught:
        next(generator)

    assert caught.value.__context__ is None
    assert outcome_of(seen, "body") == "error"
    assert dict(seen.span("body").attributes or {})["error.type"] == "OSError"


def test_the_span_is_current_in_the_body_and_never_in_the_consumer(seen: Captured) -> None:
    inside: list[Any] = []

    @tool
    def items() -> Generator[int, None, None]:
        for number in range(3):
            inside.append(trace.get_current_span().get_span_context())
            yield number

    with instruments.tracer.start_as_current_span("consumer") as consumer:
        between = [trace.get_current_span() for _ in items()]
        after = trace.get_current_span()

    assert inside == [seen.span("items").context] * 3
    assert [*between, after] == [consumer] * 4
    parent = seen.span("items").parent
    assert parent is not None
    assert parent.span_id == consumer.get_span_context().span_id


def test_a_span_that_the_body_opens_stays_open_across_its_items(seen: Captured) -> None:
    @tool
    def items() -> Generator[int, None, None]:
        with instruments.tracer.start_as_current_span("inner") as inner:
            yield 1
            assert trace.get_current_span() is inner
            with instruments.tracer.start_as_current_span("innermost"):
                yield 2
            yield 3
        assert trace.get_current_span().get_span_context() != inner.get_span_context()

    for _ in items():
        assert not trace.get_current_span().is_recording()

    parents = {span.name: span.parent.span_id if span.parent else None for span in seen.spans}
    ids = {span.name: span.context.span_id for span in seen.spans}
    assert parents["innermost"] == ids["inner"]
    assert parents["inner"] == ids["execute_tool items"]
    assert parents["execute_tool items"] is None


def test_two_generators_in_turn_keep_their_own_spans(seen: Captured) -> None:
    @tool
    def items(log: list[Any]) -> Generator[int, None, None]:
        for number in range(3):
            log.append(trace.get_current_span().get_span_context().span_id)
            yield number

    one: list[Any] = []
    other: list[Any] = []
    assert list(zip(items(one), items(other), strict=True)) == [(0, 0), (1, 1), (2, 2)]

    assert len(set(one)) == len(set(other)) == 1
    assert one != other
    assert {span.context.span_id for span in seen.spans} == {*one, *other}


def test_the_span_lasts_from_the_first_item_to_the_last(seen: Captured) -> None:
    generator = tool(echo)("first")
    assert seen.spans == ()
    assert tool(echo).tool.stats().active == 0

    next(generator)
    assert seen.spans == ()
    assert tool(echo).tool.stats().active == 1

    generator.close()
    assert outcome_of(seen, "echo") == "cancelled"
    assert tool(echo).tool.stats().active == 0


def test_a_generator_that_is_never_started_reports_nothing(seen: Captured) -> None:
    generator = tool(echo)()
    generator.close()
    del generator
    gc.collect()

    assert seen.spans == ()
    assert tool(echo).tool.stats().calls.total == 0


def test_a_dropped_generator_is_closed_and_counted(seen: Captured) -> None:
    closed: list[bool] = []

    @tool
    def items() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    for _ in items():
        break

    assert closed == [True]
    assert outcome_of(seen, "items") == "cancelled"
    assert "error.type" not in dict(seen.span("items").attributes or {})
    assert (items.tool.stats().calls.cancelled, items.tool.stats().active) == (1, 0)


def dropped(box: list[Any]) -> None:
    """Drop the last reference."""
    box.clear()


def collected(box: list[Any]) -> None:
    """Drop the last reference from outside a cycle, which the garbage collector then finds."""
    box.append([box[0]])
    box[1].append(box[1])
    box.clear()
    gc.collect()


@pytest.mark.parametrize("end", [dropped, collected])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_generator_that_ends_in_another_thread_or_context_logs_nothing(
    seen: Captured, caplog: pytest.LogCaptureFixture, end: Callable[[list[Any]], None], elsewhere: bool
) -> None:
    box: list[Any] = [tool(echo)("first")]
    contextvars.copy_context().run(next, box[0])

    if elsewhere:
        thread = threading.Thread(target=end, args=(box,))
        thread.start()
        thread.join()
    else:
        contextvars.Context().run(end, box)

    assert outcome_of(seen, "echo") == "cancelled"
    assert tool(echo).tool.stats().calls.cancelled == 1
    assert caplog.records == []
    assert not trace.get_current_span().is_recording()


def test_the_driver_keeps_no_reference_to_an_item(seen: Captured) -> None:
    @tool
    def items() -> Generator[Thing, None, None]:
        yield Thing()
        yield Thing()

    generator = items()
    gc.disable()
    try:
        watched = weakref.ref(next(generator))
        assert watched() is None
    finally:
        gc.enable()
    generator.close()
