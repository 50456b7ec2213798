"""The log record of a call that ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from opentelemetry.context import get_current
from opentelemetry.trace import get_current_span
from tenacity import wait_none

from otel_tools import Cache, InvalidArguments, Retry, tool
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._telemetry.content.capture import CAPTURE_MESSAGE_CONTENT
from otel_tools._telemetry.logs.call_records import EndedCall, call_ended, call_logger
from otel_tools._telemetry.logs.correlation import context_of_call
from otel_tools._telemetry.tool_telemetry import ToolTelemetry
from tests.cpu import cpu_ratio
from tests.telemetry.log_lines import Lines, logs_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._call.outcome import OutcomeName
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@pytest.fixture
def lines(seen: Captured) -> Iterator[Lines]:
    with logs_on() as started:
        yield started


def test_the_record_of_a_call_that_returned(both: Flavour, seen: Captured, lines: Lines) -> None:
    get_weather = tool(both.function(lambda _location: {"t": 20}), name="get_weather")

    both.call(get_weather, "Paris")

    span = seen.span("get_weather")
    assert span.context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    end = lines.end
    assert end.pop("timestamp").endswith("+00:00")
    assert end.pop("trace_id") == f"{span.context.trace_id:032x}"
    assert end.pop("span_id") == f"{span.context.span_id:016x}"
    assert end.pop("duration") == pytest.approx((span.end_time - span.start_time) / 1e9)
    assert end.pop("message").startswith("tool.call get_weather: ok in ")
    assert end == {
        "level": "INFO",
        "logger": "otel_tools.calls",
        "tool": "get_weather",
        "event": "tool.call",
        "outcome": "ok",
        "retries": 0,
    }


def test_the_record_of_a_call_that_raised(both: Flavour, lines: Lines) -> None:
    def body() -> None:
        raise ConnectionError("password=hunter2")

    with pytest.raises(ConnectionError):
        both.call(tool(both.function(body), name="search"))

    assert (lines.end["level"], lines.end["outcome"], lines.end["error_type"]) == ("ERROR", "error", "ConnectionError")
    assert "hunter2" not in lines.getvalue()


def test_the_record_of_a_call_that_was_cancelled(lines: Lines) -> None:
    @tool(name="slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    assert (lines.end["level"], lines.end["outcome"]) == ("INFO", "cancelled")
    assert "error_type" not in lines.end


@tool(name="t", validate=True)
def whole(number: int) -> int:
    """Give a number."""
    return number


def end_call(result: OutcomeName, **values: Any) -> None:
    """Log the end of a call of known times."""
    fields: dict[str, Any] = {
        "tool": ToolTelemetry("t", None, Arguments(lambda a: a), None),
        "call": Call((1,), {}),
        "context": context_of_call(get_current(), "t", get_current_span(), "call_7"),
        "end_time": 1_700_000_000_250_000_000,
        "elapsed": 250_000_000,
        "value": "v",
        "error_type": None,
        "policy_attributes": {},
        **values,
    }
    call_ended(EndedCall(**fields, result=result))


@pytest.mark.parametrize(
    ("result", "level"),
    [
        ("ok", "INFO"),
        ("cached", "INFO"),
        ("cancelled", "INFO"),
        ("fallback", "WARNING"),
        ("invalid", "WARNING"),
        ("error", "ERROR"),
    ],
)
def test_the_outcome_sets_the_level(result: OutcomeName, level: str, lines: Lines) -> None:
    def raising(error: BaseException) -> NoReturn:
        raise error

    cached = tool(name="t", cache=Cache(ttl=60))(lambda number: number)
    calls: dict[str, Callable[[], Any]] = {
        "ok": lambda: cached(1),
        "cached": lambda: [cached(1), cached(1)],
        "cancelled": lambda: tool(raising)(KeyboardInterrupt()),
        "fallback": lambda: tool(fallback=lambda error: [error])(raising)(LookupError()),
        "invalid": lambda: whole(number="many"),  # type: ignore[arg-type] # that is the point
        "error": lambda: tool(raising)(LookupError()),
    }
    with contextlib.suppress(LookupError, InvalidArguments, KeyboardInterrupt):
        calls[result]()

    assert (lines.ends[-1]["level"], lines.ends[-1]["outcome"]) == (level, result)


def test_the_record_has_what_policies_did_and_the_call_id(lines: Lines) -> None:
    end_call(
        "error",
        error_type="timeout",
        policy_attributes={
            "otel_tools.retry.count": 2,
            "otel_tools.cache.result": "miss",
            "otel_tools.throttling.wait": 0.5,
        },
    )

    end = lines.end
    assert (end["retries"], end["cache"], end["wait"]) == (2, "miss", 0.5)
    assert (end["error_type"], end["call_id"], end["duration"]) == ("timeout", "call_7", 0.25)
    assert end["timestamp"] == "2023-11-14T22:13:20.250000+00:00"


def test_without_content_there_are_no_arguments_and_no_result(lines: Lines) -> None:
    tool(lambda _city: "rain", name="t")("Paris")

    assert "Paris" not in lines.getvalue()
    assert "rain" not in lines.getvalue()


@pytest.mark.usefixtures("recorded")
def test_with_content_arguments_and_result_are_those_of_the_span(seen: Captured, lines: Lines) -> None:
    tool(lambda city, token: {"t": len(city + token)}, name="t")("Paris", token="s3cret")  # noqa: S106 - is redacted

    attributes = seen.span("t").attributes or {}
    assert lines.end["arguments"] == attributes["gen_ai.tool.call.arguments"]
    assert lines.end["result"] == attributes["gen_ai.tool.call.result"]
    assert "s3cret" not in lines.getvalue()


@pytest.mark.usefixtures("recorded")
def test_long_arguments_and_results_are_cut(lines: Lines) -> None:
    tool(lambda text: text, name="t")("x" * 1_000_000)

    assert len(lines.end["arguments"]) <= 4096
    assert len(lines.end["result"]) <= 4096


@pytest.mark.usefixtures("recorded")
def test_a_call_that_failed_has_no_result(lines: Lines) -> None:
    with pytest.raises(ZeroDivisionError):
        tool(lambda n: 1 // n, name="t")(0)

    assert lines.end["arguments"] == '{"n":0}'
    assert "result" not in lines.end


@pytest.mark.usefixtures("recorded")
def test_content_for_spans_only_is_not_in_the_record(monkeypatch: pytest.MonkeyPatch, seen: Captured) -> None:
    monkeypatch.setenv(CAPTURE_MESSAGE_CONTENT, "SPAN_ONLY")
    with logs_on() as lines:
        tool(lambda _city: "rain", name="t")("Paris")

    assert "Paris" not in lines.getvalue()


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize(("level", "outcomes"), [(logging.WARNING, ["error"]), (logging.INFO, ["ok", "error"])])
def test_the_applications_handlers_get_the_records_of_their_level(
    level: int, outcomes: list[str], lines: Lines
) -> None:
    root, theirs = logging.getLogger(), Kept()
    before = root.level
    root.setLevel(level)
    root.addHandler(theirs)
    try:
        tool(lambda: None, name="t")()
        with pytest.raises(ZeroDivisionError):
            tool(lambda: 1 // 0, name="t")()
    finally:
        root.removeHandler(theirs)
        root.setLevel(before)

    assert [record.__dict__["outcome"] for record in theirs.records] == outcomes
    assert [end["outcome"] for end in lines.ends] == ["ok", "error"]


@pytest.mark.parametrize("logger", ["otel_tools.calls", "otel_tools"])
def test_a_level_of_our_loggers_filters_records(logger: str, lines: Lines) -> None:
    logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        tool(lambda: None, name="t")()
        end_call("error")
    finally:
        logging.getLogger(logger).setLevel(logging.NOTSET)

    assert [end["outcome"] for end in lines.ends] == ["error"]


def test_logging_disable_filters_records(lines: Lines) -> None:
    logging.disable(logging.WARNING)
    try:
        end_call("ok")
        end_call("error")
    finally:
        logging.disable(logging.NOTSET)

    assert [end["outcome"] for end in lines.ends] == ["error"]


def test_a_failing_filter_fails_no_call(lines: Lines) -> None:
    def fails(_record: logging.LogRecord) -> bool:
        raise RuntimeError("broken")

    call_logger.addFilter(fails)
    call_logger.setLevel(logging.INFO)
    try:
        assert tool(lambda: 7, name="t")() == 7
    finally:
        call_logger.removeFilter(fails)
        call_logger.setLevel(logging.NOTSET)


def test_a_dropped_generator_has_one_record(lines: Lines) -> None:
    @tool(name="pages")
    def pages() -> Iterator[int]:
        yield from range(3)

    generator = pages()
    next(generator)
    del generator

    assert lines.end["outcome"] == "cancelled"


def test_a_record_costs_a_call_little(lines: Lines) -> None:
    noop = tool(lambda: None, name="t")
    noop()

    def calls() -> None:
        for _ in range(200):
            noop()

    # 5 ms a call on an idle machine.
    assert cpu_ratio(calls, runs=1) < 17


def test_the_record_has_the_number_of_retries(both: Flavour, lines: Lines) -> None:
    answers = iter([ConnectionError("no"), ConnectionError("no"), None])

    def body() -> int:
        error = next(answers)
        if error is not None:
            raise error
        return 7

    function = tool(both.function(body), name="t", retry=Retry(attempts=3, wait=wait_none()))

    assert both.call(function) == 7
    assert (lines.end["outcome"], lines.end["retries"]) == ("ok", 2)
