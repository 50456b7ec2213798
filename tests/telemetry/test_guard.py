"""Whatever breaks in telemetry, the tool's call goes on and the counters stay right."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import NoOpTracer

from otel_tools import agent, tool
from otel_tools._telemetry import call_span, exceptions, names
from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_tools.testing import Captured


class Broken(RuntimeError):  # noqa: N818 - told apart from any error of a tool
    """What telemetry fails of."""


def broken(*_args: Any, **_kwargs: Any) -> Any:
    raise Broken


class _BrokenProcessor(SpanProcessor):
    def __init__(self, at: str) -> None:
        self.at = at

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if self.at == "start":
            raise Broken

    def on_end(self, span: ReadableSpan) -> None:
        if self.at == "end":
            raise Broken


class _BrokenSampler(Sampler):
    should_sample: Callable[..., SamplingResult] = broken

    def get_description(self) -> str:
        return "broken"


def provider_with(processor: SpanProcessor) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def break_start_span(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = NoOpTracer()
    monkeypatch.setattr(tracer, "start_span", broken)
    monkeypatch.setattr(instruments, "tracer", tracer)


def break_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider(sampler=_BrokenSampler(), shutdown_on_exit=False)
    monkeypatch.setattr(instruments, "tracer", provider.get_tracer("test"))


def break_on_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "tracer", provider_with(_BrokenProcessor("start")).get_tracer("test"))


def break_on_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "tracer", provider_with(_BrokenProcessor("end")).get_tracer("test"))


def break_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments.duration, "record", broken)


def break_span_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("set_attribute", "set_status", "add_event"):
        monkeypatch.setattr(Span, method, broken)


def break_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "on", True)
    monkeypatch.setattr(call_span, "render", broken)


def break_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exceptions, "redact_text", broken)


BREAKS: list[Callable[[pytest.MonkeyPatch], None]] = [
    *(break_start_span, break_sampler, break_on_start, break_on_end),
    *(break_histogram, break_span_methods, break_content, break_exceptions),
]


@tool
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@tool
def fail(error: Exception) -> None:
    """Fail."""
    raise error


@tool
async def add_later(a: int) -> int:
    """Add."""
    await asyncio.sleep(0)
    return a + 1


@tool
def count(n: int) -> Iterator[int]:
    """Count."""
    yield from range(n)


@tool
async def count_later(n: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(n):
        yield number


def use_everything() -> None:
    """Every kind of tool gives and raises what it does without telemetry."""
    raised = OSError("the tool's own")
    with agent("a"):
        assert add(1) == 2
        assert asyncio.run(add_later(1)) == 2
        assert list(count(3)) == [0, 1, 2]
        generator: Any = count(3)
        next(generator)
        generator.close()
        with pytest.raises(OSError, match="own") as caught:
            fail(raised)
    assert caught.value is raised
    assert raised.__context__ is None

    async def listed() -> list[int]:
        return [item async for item in count_later(3)]

    assert asyncio.run(listed()) == [0, 1, 2]
    with pytest.raises(OSError, match="own"), agent("a"):
        raise raised


@pytest.mark.parametrize("break_it", BREAKS)
def test_calls_go_on_and_are_counted(
    seen: Captured,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    break_it(monkeypatch)

    use_everything()

    assert not trace.get_current_span().is_recording()
    assert (add.tool.stats().calls.ok, fail.tool.stats().calls.error, add_later.tool.stats().calls.ok) == (1, 1, 1)
    assert (count.tool.stats().calls.ok, count.tool.stats().calls.cancelled, count_later.tool.stats().calls.ok) == (
        1,
        1,
        1,
    )
    for each in (add, fail, add_later, count, count_later):
        assert each.tool.stats().active == 0
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "add", names.OUTCOME: "ok"}) == 1
    assert caplog.records
    for record in caplog.records:
        assert (record.name, record.levelno) == ("otel_tools", logging.WARNING)
        assert record.getMessage().startswith("telemetry failed while ")
        assert record.exc_info is not None
        assert record.exc_info[0] is Broken


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_broken_logging_handler_fails_no_call(
    seen: Captured, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None]
) -> None:
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", broken)
    logger = logging.getLogger("otel_tools")
    logger.addHandler(handler)
    try:
        break_it(monkeypatch)
        use_everything()
    finally:
        logger.removeHandler(handler)


def test_a_broken_histogram_costs_no_span(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    break_histogram(monkeypatch)
    add(1)

    assert seen.span("add").end_time is not None


def test_broken_content_costs_neither_span_nor_point(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    break_content(monkeypatch)
    add(1)

    assert dict(seen.span("add").attributes or {})["otel_tools.outcome"] == "ok"
    assert seen.value(names.DURATION.name, {names.TOOL_NAME: "add", names.TOOL_TYPE: "function"}) == 1


def test_an_exception_that_cannot_be_described_is_still_an_error_on_its_span(
    seen: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_exceptions(monkeypatch)
    with pytest.raises(OSError, match="x"):
        fail(OSError("x"))

    attributes = dict(seen.span("fail").attributes or {})
    assert (attributes["otel_tools.outcome"], attributes["error.type"]) == ("error", "OSError")


def test_the_same_failure_is_logged_once_a_minute(
    seen: Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr("otel_tools._telemetry.guard.time.monotonic", lambda: now[0])
    break_start_span(monkeypatch)

    for _ in range(5):
        add(1)
    assert [record.getMessage() for record in caplog.records] == [
        "telemetry failed while opening a span; the tool's call goes on"
    ]

    now[0] += 59
    add(1)
    assert len(caplog.records) == 1
    now[0] += 1
    add(1)
    assert len(caplog.records) == 2


def test_at_the_limit_of_recursion_nothing_stays_active_or_current(
    seen: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    def at(depth: int, function: Callable[[], object]) -> object:
        return at(depth - 1, function) if depth else function()

    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit() + 1):
        for function in (lambda: add(1), lambda: fail(OSError())):
            with contextlib.suppress(RecursionError, OSError):
                at(depth, function)

    assert (add.tool.stats().active, fail.tool.stats().active) == (0, 0)
    assert not trace.get_current_span().is_recording()
