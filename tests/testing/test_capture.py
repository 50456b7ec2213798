"""`capture`: the telemetry of a block, in memory."""

from __future__ import annotations

import pytest

from otel_tools import stats, tool
from otel_tools._telemetry import names
from otel_tools.testing import capture


@tool
def work(n: int = 0) -> int:
    """Work."""
    return 1 // n if n < 0 else n


CALLS = {names.TOOL_NAME: "work", names.OUTCOME: "ok"}


def test_a_span_and_a_count_of_a_call_are_captured() -> None:
    with capture() as seen:
        work(1)

    assert (seen.span("work").attributes or {})[names.OUTCOME] == "ok"
    assert seen.value(names.CALLS.name, CALLS) == 1


def test_counts_start_at_zero_in_the_block_and_are_restored_after_it() -> None:
    with capture():
        work()
        before = work.tool.stats()
        with capture() as inner:
            assert work.tool.stats().calls.total == 0
            work()
            work()
            assert inner.value(names.CALLS.name, CALLS) == 2
        assert work.tool.stats() == before


def test_captured_telemetry_can_be_read_inside_the_block_and_after_it() -> None:
    with capture() as seen:
        work()
        assert seen.value(names.CALLS.name, CALLS) == 1
        assert [span.name for span in seen.spans] == ["execute_tool work"]
        work()
    work()

    assert seen.value(names.CALLS.name, CALLS) == 2
    assert [span.name for span in seen.spans] == ["execute_tool work"] * 2
    assert [point.count for point in seen.points(names.DURATION.name)] == [2]


def test_a_tool_made_in_the_block_has_no_counts_after_it() -> None:
    with capture():
        made = tool(name="made_in_the_block")(lambda: 1)
        made()

    assert stats()["made_in_the_block"].calls.total == 0


def test_a_call_that_began_before_the_block_is_counted_where_it_began() -> None:
    @tool
    def items():  # type: ignore[no-untyped-def] # a generator of anything
        yield 1
        yield 2

    with capture() as outer:
        begun = items()
        next(begun)
        with capture() as inner:
            assert list(begun) == [2]
            assert items.tool.stats().calls.total == 0
        assert items.tool.stats().calls.ok == 1
        assert items.tool.stats().active == 0
    assert inner.spans == ()
    assert outer.value(names.CALLS.name, {names.TOOL_NAME: "items", names.OUTCOME: "ok"}) == 1


def test_a_missing_span_or_point_is_an_error_that_lists_those_that_exist() -> None:
    with capture() as seen:
        work()
        work()

    with pytest.raises(AssertionError, match=r"0 spans of 'play' among .*'execute_tool work'"):
        seen.span("play")
    with pytest.raises(AssertionError, match="2 spans of 'work'"):
        seen.span("work")
    with pytest.raises(AssertionError, match=r"no point .*'cached'.* of 'otel_tools.calls' among .*'ok'"):
        seen.value(names.CALLS.name, {**CALLS, names.OUTCOME: "cached"})
    assert seen.points("no.such.metric") == []


def test_a_block_that_raises_ends_the_capture() -> None:
    with pytest.raises(ZeroDivisionError), capture() as seen:
        work(n=work(0) // 0)
    work()

    assert len(seen.spans) == 1
