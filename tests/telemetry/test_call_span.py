"""The span of a call: its name, kind, attributes, status, parent and times."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

from otel_tools import __version__, agent, tool
from otel_tools._telemetry import names
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


class CityUnknownError(LookupError):
    """An exception of a package's own."""


def lookup(city: str) -> str:
    """Look a city up."""
    if city == "Atlantis":
        raise CityUnknownError(city)
    return f"sunny in {city}"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


BASE = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "lookup",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.description": "Look a city up.",
}


def test_the_span_of_a_call_that_returns(seen: Captured, both: Flavour) -> None:
    assert both.call(tool(both.function(lookup)), "Oslo") == "sunny in Oslo"

    span = seen.span("lookup")
    assert span.name == "execute_tool lookup"
    assert span.kind is SpanKind.INTERNAL
    assert attributes(span) == {**BASE, "otel_tools.outcome": "ok"}
    assert span.status.status_code is StatusCode.UNSET
    assert span.status.description is None
    assert span.events == ()
    assert span.links == ()
    assert span.parent is None
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("otel_tools", __version__)


def test_the_span_of_a_call_that_raises(seen: Captured, both: Flavour) -> None:
    with pytest.raises(CityUnknownError):
        both.call(tool(both.function(lookup)), "Atlantis")

    span = seen.span("lookup")
    qualified = f"{__name__}.CityUnknownError"
    assert attributes(span) == {**BASE, "otel_tools.outcome": "error", "error.type": qualified}
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Atlantis"
    (event,) = span.events
    assert event.name == "exception"
    recorded = dict(event.attributes or {})
    assert recorded["exception.type"] == qualified
    assert recorded["exception.message"] == "Atlantis"
    assert "raise CityUnknownError(city)" in str(recorded["exception.stacktrace"])


def test_the_span_of_a_call_whose_result_is_a_failure(seen: Captured, both: Flavour) -> None:
    result = {"error": "no such city"}
    decorated = tool(name="lookup", failed_if=lambda value: "error" in value)(both.function(lambda: result))

    assert both.call(decorated) is result

    span = seen.span("lookup")
    assert attributes(span)["error.type"] == "tool_error"
    assert attributes(span)["otel_tools.outcome"] == "error"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (ValueError("x"), "ValueError"),
        (TimeoutError(), "TimeoutError"),
        (KeyError("k"), "KeyError"),
        (SystemExit(1), "SystemExit"),
        (asyncio.QueueEmpty(), "asyncio.queues.QueueEmpty"),
        (CityUnknownError(), f"{__name__}.CityUnknownError"),
        (ExceptionGroup("several", [ValueError()]), "ExceptionGroup"),
    ],
)
def test_error_type_is_the_class_qualified_unless_builtin(
    seen: Captured, error: BaseException, error_type: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        tool(fail)()

    assert attributes(seen.span("fail"))["error.type"] == error_type


def test_the_sampler_sees_name_type_and_operation(seen: Captured) -> None:
    asked: list[dict[str, Any]] = []

    class Asking(Sampler):
        def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
            asked.append(dict(kwargs.get("attributes") or args[4]))
            return ALWAYS_OFF.should_sample(*args, **kwargs)

        def get_description(self) -> str:
            return "asking"

    instruments.tracer = TracerProvider(sampler=Asking(), shutdown_on_exit=False).get_tracer("test")
    tool(lookup)("Oslo")

    assert {key: asked[0][key] for key in BASE} == BASE


def test_the_function_runs_inside_its_span(seen: Captured, both: Flavour) -> None:
    inside: list[trace.Span] = []
    decorated = tool(name="look")(both.function(lambda: inside.append(trace.get_current_span())))

    before = trace.get_current_span()
    both.call(decorated)

    assert inside[0].get_span_context() == seen.span("look").context
    assert trace.get_current_span() is before


def test_spans_of_tools_and_of_the_application_nest(seen: Captured) -> None:
    inner = tool(lookup)

    @tool
    async def middle() -> str:
        with instruments.tracer.start_as_current_span("by hand"):
            return inner("Oslo")

    @tool
    async def outer() -> None:
        await asyncio.gather(middle(), middle())

    asyncio.run(outer())

    spans = {span.context.span_id: span for span in seen.spans}

    def path(span: ReadableSpan) -> list[str]:
        return [span.name, *(path(spans[span.parent.span_id]) if span.parent else [])]

    leaves = [path(span) for span in seen.spans if span.name == "execute_tool lookup"]
    assert leaves == [["execute_tool lookup", "by hand", "execute_tool middle", "execute_tool outer"]] * 2
    assert len({span.context.trace_id for span in seen.spans}) == 1


def test_a_call_continues_the_trace_that_it_is_made_in(seen: Captured) -> None:
    with instruments.tracer.start_as_current_span("request") as request:
        tool(lookup)("Oslo")

    parent = seen.span("lookup").parent
    assert parent is not None
    assert parent.span_id == request.get_span_context().span_id


def test_the_agent_of_a_call_is_on_its_span(seen: Captured) -> None:
    with agent("travel-agent"):
        tool(lookup)("Oslo")

    assert attributes(seen.span("lookup"))["gen_ai.agent.name"] == "travel-agent"


def test_a_span_lasts_as_long_as_its_call(seen: Captured, both: Flavour) -> None:
    began = time.time_ns()
    both.call(tool(name="nap")(both.function(lambda: time.sleep(0.02))))
    ended = time.time_ns()

    span = seen.span("nap")
    assert span.start_time is not None
    assert span.end_time is not None
    # The clock of a machine may be set back a little while the test runs.
    assert began - 1e6 <= span.start_time
    assert span.end_time <= ended + 1e6
    assert span.end_time - span.start_time >= 20e6


def test_a_call_that_is_not_sampled_is_counted(seen: Captured, both: Flavour) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instruments.tracer = provider.get_tracer("test")
    decorated = tool(both.function(lookup))

    both.call(decorated, "Oslo")
    with pytest.raises(CityUnknownError):
        both.call(decorated, "Atlantis")

    assert exporter.get_finished_spans() == ()
    assert decorated.tool.stats().calls.ok == decorated.tool.stats().calls.error == 1
    assert sum(point.count for point in seen.points(names.DURATION.name)) == 2
