"""`agent`: the span around a tool-call loop, with the tools' spans as its children."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from otel_tools import ConfigurationError, agent, tool
from otel_tools._telemetry import names
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@tool
def work() -> int:
    """Work."""
    return 1


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def named(seen: Captured, name: str) -> ReadableSpan:
    (span,) = (span for span in seen.spans if span.name == name)
    return span


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and child.parent.span_id == parent.context.span_id


def test_an_agent_has_a_span_with_its_tools_as_children(seen: Captured) -> None:
    with agent("travel-agent", conversation_id="c-1") as opened:
        assert trace.get_current_span() is opened
        work()
    work()

    span = named(seen, "invoke_agent travel-agent")
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "travel-agent",
        "gen_ai.conversation.id": "c-1",
    }
    inside, outside = (each for each in seen.spans if each.name == "execute_tool work")
    assert is_child(inside, span)
    assert attributes(inside)["gen_ai.agent.name"] == "travel-agent"
    assert outside.parent is None
    assert "gen_ai.agent.name" not in attributes(outside)
    assert "gen_ai.conversation.id" not in attributes(inside)


def test_the_agent_labels_the_durations_of_its_tools(seen: Captured) -> None:
    with agent("a"):
        work()

    point = {names.TOOL_NAME: "work", names.TOOL_TYPE: "function", names.AGENT_NAME: "a"}
    assert seen.value(names.DURATION.name, point) == 1


async def test_an_agent_is_an_async_context_manager(seen: Captured) -> None:
    async with agent("a"):
        await asyncio.sleep(0)
        work()

    assert is_child(seen.span("work"), named(seen, "invoke_agent a"))


def test_an_agent_decorates_a_function_with_a_span_for_each_call(seen: Captured, both: Flavour) -> None:
    def run(times: int) -> int:
        """Run the loop."""
        return sum(work() for _ in range(times))

    decorated = agent("runner")(both.function(run))

    assert both.call(decorated, 2) == 2
    assert both.call(decorated, times=1) == 1
    assert (decorated.__name__, decorated.__doc__) == ("run", "Run the loop.")
    assert asyncio.iscoroutinefunction(decorated) == (both.name == "async")
    assert [span.name for span in seen.spans].count("invoke_agent runner") == 2


def test_an_agent_decorates_methods_in_every_order(seen: Captured) -> None:
    class Runner:
        @agent("plain")
        def plain(self) -> int:
            return work()

        @classmethod
        @agent("inside")
        def inside(cls) -> str:
            return cls.__name__

        @agent("outside")
        @classmethod
        def outside(cls) -> str:
            return cls.__name__

        @agent("static")
        @staticmethod
        def static() -> int:
            return work()

    assert (Runner().plain(), Runner.inside(), Runner.outside(), Runner.static()) == (1, "Runner", "Runner", 1)
    assert len([span for span in seen.spans if span.name.startswith("invoke_agent")]) == 4


def test_a_generator_is_refused_and_the_error_says_what_to_do() -> None:
    def items() -> Iterator[int]:
        yield 1

    async def items_later() -> AsyncIterator[int]:
        yield 1

    for function in (items, items_later):
        with pytest.raises(ConfigurationError, match=r"use `with agent\(\.\.\.\)` inside it, around the loop"):
            agent("a")(function)


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_an_agent_without_a_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"agent\(.*\): a name is needed, such as 'travel-agent'"):
        agent(name)


def test_an_error_is_on_the_agents_span_and_goes_on(seen: Captured, both: Flavour) -> None:
    raised = OSError("no network")

    def run() -> None:
        raise raised

    with pytest.raises(OSError, match="no network") as caught:
        both.call(agent("a")(both.function(run)))

    assert caught.value is raised
    span = named(seen, "invoke_agent a")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "no network"
    assert attributes(span)["error.type"] == "OSError"
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_a_cancelled_run_has_no_error_status(seen: Captured, error: BaseException) -> None:
    with pytest.raises(type(error)), agent("a"):
        raise error

    span = named(seen, "invoke_agent a")
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["otel_tools.outcome"] == "cancelled"
    assert "error.type" not in attributes(span)
    assert span.events == ()


def test_a_call_carries_the_name_of_the_innermost_agent(seen: Captured) -> None:
    with agent("outer"):
        with agent("inner"):
            work()
        with instruments.tracer.start_as_current_span("by hand"):
            work()

    inner, outer = (each for each in seen.spans if each.name == "execute_tool work")
    assert attributes(inner)["gen_ai.agent.name"] == "inner"
    assert attributes(outer)["gen_ai.agent.name"] == "outer"
    assert is_child(named(seen, "invoke_agent inner"), named(seen, "invoke_agent outer"))
    assert is_child(outer, named(seen, "by hand"))


def test_one_agent_object_can_be_entered_by_many_threads_and_inside_itself(seen: Captured) -> None:
    shared = agent("shared")
    barrier = threading.Barrier(8)

    def run(_: int) -> None:
        with shared:
            barrier.wait()
            with shared:
                work()
            barrier.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))

    spans = {span.context.span_id: span for span in seen.spans}
    for span in seen.spans:
        if span.name == "execute_tool work":
            assert span.parent is not None
            inner = spans[span.parent.span_id]
            assert inner.parent is not None
            assert spans[inner.parent.span_id].parent is None
    assert len(spans) == 24
    assert not trace.get_current_span().is_recording()


async def test_one_agent_object_can_be_entered_by_many_tasks(seen: Captured) -> None:
    shared = agent("shared")

    @shared
    async def run(depth: int) -> None:
        await asyncio.sleep(0)
        work()
        if depth:
            await run(depth - 1)

    await asyncio.gather(*(run(2) for _ in range(5)))

    assert len({span.context.trace_id for span in seen.spans}) == 5
    assert len(seen.spans) == 30


def test_an_agent_inside_a_generator_may_end_inside_the_block_of_another(seen: Captured) -> None:
    @tool
    def items() -> Generator[int, None, None]:
        with agent("inner"):
            yield work()

    generator = items()
    next(generator)
    with agent("outer") as outer:
        assert list(generator) == []
        assert [span.name for span in seen.spans[1:]] == ["invoke_agent inner", "execute_tool items"]
        assert trace.get_current_span() is outer
        work()

    assert is_child(seen.spans[-2], seen.spans[-1])
    assert not trace.get_current_span().is_recording()


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("seed", range(20))
def test_blocks_that_begin_and_end_in_any_order_leave_the_innermost_open_one_current(
    seed: int, flavour: str, seen: Captured
) -> None:
    # Generators that share three agent objects. The last block that began and has not ended is the current one.
    random = Random(seed)  # noqa: S311 - tests
    agents = [agent(name) for name in ("a", "b", "c")]
    open_blocks: list[tuple[Any, str, Any]] = []

    def holds() -> None:
        innermost = open_blocks[-1] if open_blocks else None
        assert trace.get_current_span() is (innermost[2] if innermost else trace.INVALID_SPAN)
        work()
        assert attributes(seen.spans[-1]).get("gen_ai.agent.name") == (innermost[1] if innermost else None)

    def block(used: agent) -> Generator[Any, None, None]:
        with used as span:
            yield span

    async def ablock(used: agent) -> AsyncGenerator[Any, None]:
        async with used as span:
            yield span

    async def main() -> None:
        for how in [*random.choices(["begin", "end"], k=30), *["end"] * 30]:
            if how == "begin":
                used = random.choice(agents)
                running: Any = block(used) if flavour == "sync" else ablock(used)
                span = next(running) if flavour == "sync" else await anext(running)
                open_blocks.append((running, used.name, span))
            elif open_blocks:
                running, _, span = open_blocks.pop(random.randrange(len(open_blocks)))
                assert span.is_recording()
                assert (list(running) if flavour == "sync" else [item async for item in running]) == []
                assert not span.is_recording()
            holds()

    asyncio.run(main())
    assert not trace.get_current_span().is_recording()


def test_generators_that_share_an_agent_end_their_own_spans(seen: Captured) -> None:
    shared = agent("shared")

    def items(box: list[Any]) -> Generator[int, None, None]:
        with shared as span:
            box.append(span)
            yield 1

    first: list[Any] = []
    second: list[Any] = []
    one, two = items(first), items(second)
    next(one)
    next(two)
    assert list(one) == []

    assert (first[0].is_recording(), second[0].is_recording()) == (False, True)
    assert trace.get_current_span() is second[0]
    two.close()
    assert not trace.get_current_span().is_recording()


def test_blocks_on_an_exit_stack_end_from_the_innermost(seen: Captured) -> None:
    shared = agent("shared")
    with contextlib.ExitStack() as stack:
        outer = stack.enter_context(shared)
        with contextlib.ExitStack() as inner_stack:
            inner = inner_stack.enter_context(shared)
            assert trace.get_current_span() is inner
        assert trace.get_current_span() is outer
    assert not trace.get_current_span().is_recording()
    assert [span.context for span in seen.spans] == [inner.get_span_context(), outer.get_span_context()]


@pytest.mark.parametrize("collected", [False, True])
def test_an_agent_that_ends_in_another_context_ends_its_span(
    seen: Captured, caplog: pytest.LogCaptureFixture, collected: bool
) -> None:
    def items() -> Generator[int, None, None]:
        with agent("inner"):
            yield 1

    box: list[Any] = [items()]
    contextvars.copy_context().run(next, box[0])
    with agent("outer"):
        if collected:
            box.append(box)
        del box
        gc.collect()
        work()

    assert {span.name for span in seen.spans} == {"invoke_agent inner", "execute_tool work", "invoke_agent outer"}
    assert is_child(seen.span("work"), named(seen, "invoke_agent outer"))
    assert caplog.records == []


def test_the_exit_of_an_agent_that_was_not_entered_does_nothing(seen: Captured) -> None:
    with agent("outer") as outer:
        agent("never entered").__exit__(None, None, None)
        assert trace.get_current_span() is outer
    assert [span.name for span in seen.spans] == ["invoke_agent outer"]


def test_names_and_descriptions_are_redacted(seen: Captured) -> None:
    key = f"sk-{'a1' * 12}"

    @tool(description=f"Uses {key}.")
    def described() -> None: ...

    with agent(f"of {key}", conversation_id=f"c {key}"):
        described()

    assert key not in str([(span.name, attributes(span)) for span in seen.spans])
    assert attributes(seen.span("described"))["gen_ai.agent.name"] == "of [REDACTED]"


@pytest.mark.parametrize("given", [b"c-1", ["c-1"], {"id": 1}, 1.5, True, object()])
def test_a_conversation_that_is_no_text_is_refused(given: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"agent\(conversation_id=.*\): a text is needed, or None where there is"
    ):
        agent("a", conversation_id=given)


@pytest.mark.parametrize("given", [42, UUID(int=42), "c-1"])
def test_a_number_and_a_uuid_are_conversations_too(seen: Captured, given: Any) -> None:
    with agent("a", conversation_id=given):
        pass

    assert dict(seen.spans[0].attributes or {})[names.CONVERSATION_ID] == str(given)


def test_blank_conversations_are_said_once_and_are_none(seen: Captured) -> None:
    code = (
        "import logging; logging.basicConfig(level='WARNING', format='%(message)s')\n"
        "from otel_tools import agent\n"
        "for blank in ('', '   ', ''): assert agent('a', conversation_id=blank).conversation_id is None"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    with agent("a", conversation_id=" "):
        pass

    assert said.count("agent(conversation_id=''): an empty id says nothing") == 1
    assert names.CONVERSATION_ID not in dict(seen.spans[0].attributes or {})


@pytest.mark.parametrize("name", [b"travel", ["travel"], "", " ", None, 3])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"agent\(.*\): a name is needed, such as 'travel-agent'"):
        agent(name)
