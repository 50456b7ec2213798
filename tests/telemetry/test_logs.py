"""Records of `logging` carry the ids of their call; the application's own logging stays as it is."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import get_current
from opentelemetry.trace import format_span_id, format_trace_id

from otel_tools import tool
from otel_tools._telemetry.instruments import instruments
from tests.telemetry.log_lines import Lines, logs_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools.testing import Captured
    from tests.conftest import Flavour

log = logging.getLogger("shop.orders")
ORIGINALS = logging.Logger.callHandlers, threading.Thread.start, ThreadPoolExecutor.submit


@pytest.fixture
def lines(seen: Captured) -> Iterator[Lines]:
    with logs_on() as started:
        yield started


def ids_of(span: Any) -> tuple[str, str]:
    context = span.get_span_context()
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


def test_a_record_made_in_a_tool_carries_the_ids_of_its_span(both: Flavour, seen: Captured, lines: Lines) -> None:
    get_weather = tool(both.function(lambda: log.warning("cloudy")), name="get_weather")

    both.call(get_weather)

    line = lines.one
    assert (line["trace_id"], line["span_id"]) == ids_of(seen.span("get_weather"))
    assert (line["tool"], line["message"], line["logger"], line["level"]) == (
        "get_weather",
        "cloudy",
        "shop.orders",
        "WARNING",
    )


def test_under_a_span_of_the_tools_own_the_record_names_that_span_and_the_tool(lines: Lines) -> None:
    inner: list[Any] = []

    @tool(name="fetch")
    def fetch() -> None:
        with instruments.tracer.start_as_current_span("GET") as span:
            inner.append(span)
            log.warning("sent")

    fetch()

    assert lines.one["tool"] == "fetch"
    assert (lines.one["trace_id"], lines.one["span_id"]) == ids_of(inner[0])


def test_a_record_names_the_innermost_tool(lines: Lines) -> None:
    inner = tool(lambda: log.warning("inner"), name="inner")

    @tool(name="outer")
    def outer() -> None:
        log.warning("before")
        inner()
        log.warning("after")

    outer()

    assert [(line["message"], line["tool"]) for line in lines.application_lines] == [
        ("before", "outer"),
        ("inner", "inner"),
        ("after", "outer"),
    ]


def test_outside_of_tools_a_line_has_no_ids(lines: Lines) -> None:
    log.warning("started")

    assert {"tool", "call_id", "trace_id", "span_id"}.isdisjoint(lines.one)


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_thread_of_a_thread(work: Callable[[], None]) -> None:
    in_a_thread(lambda: in_a_thread(work))


def in_a_pool(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def in_a_pool_of_a_thread(work: Callable[[], None]) -> None:
    in_a_thread(lambda: in_a_pool(work))


def in_an_event_loops_thread(work: Callable[[], None]) -> None:
    asyncio.run(asyncio.to_thread(work))


def in_a_task(work: Callable[[], None]) -> None:
    async def run() -> None:
        work()

    async def main() -> None:
        await asyncio.gather(run())

    asyncio.run(main())


@pytest.mark.parametrize(
    "somewhere",
    [
        in_a_thread,
        in_a_thread_of_a_thread,
        in_a_pool,
        in_a_pool_of_a_thread,
        in_an_event_loops_thread,
        in_a_task,
    ],
)
def test_records_of_a_tools_threads_and_tasks_belong_to_its_call(
    somewhere: Callable[[Callable[[], None]], None], seen: Captured, lines: Lines
) -> None:
    tool(somewhere, name="busy")(lambda: log.warning("elsewhere"))

    assert lines.one["tool"] == "busy"
    assert (lines.one["trace_id"], lines.one["span_id"]) == ids_of(seen.span("busy"))


def test_a_pool_that_outlives_a_call_works_for_the_next_one(lines: Lines) -> None:
    with ThreadPoolExecutor(1) as pool:

        def work(say: str) -> None:
            pool.submit(log.warning, say).result()

        tool(work, name="first")("one")
        tool(work, name="second")("two")
        pool.submit(log.warning, "nobody's").result()

    assert [line.get("tool") for line in lines.application_lines] == ["first", "second", None]


def test_a_thread_that_outlives_its_call_belongs_to_no_call(lines: Lines) -> None:
    go = threading.Event()
    started: list[threading.Thread] = []

    def late() -> None:
        go.wait(10)
        log.warning("late")

    @tool(name="starter")
    def starter() -> None:
        started.append(threading.Thread(target=late))
        started[0].start()

    starter()
    go.set()
    started[0].join()

    assert "tool" not in lines.one


def test_records_of_parallel_calls_are_kept_apart(seen: Captured, lines: Lines) -> None:
    @tool(name="echo")
    async def echo(n: int) -> None:
        await asyncio.sleep(0)
        log.warning("%d", n)

    async def main() -> None:
        await asyncio.gather(*(echo(n) for n in range(20)))

    asyncio.run(main())

    spans = {ids_of(span) for span in seen.spans}
    assert len(spans) == 20
    assert {(line["trace_id"], line["span_id"]) for line in lines.application_lines} == spans


def test_records_between_the_items_of_a_generator_do_not_belong_to_its_call(lines: Lines) -> None:
    @tool(name="pages")
    def pages() -> Iterator[int]:
        log.warning("first")
        yield 1
        log.warning("second")

    for _ in pages():
        log.warning("between")

    assert [(line["message"], line.get("tool")) for line in lines.application_lines] == [
        ("first", "pages"),
        ("between", None),
        ("second", "pages"),
    ]


class Kept(logging.Handler):
    """A handler of the application's own."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s [%(tool)s %(trace_id)s] %(message)s"))
        self.records: list[logging.LogRecord] = []
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.texts.append(self.format(record))


@pytest.fixture
def theirs() -> Iterator[Kept]:
    handler = Kept()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def test_the_applications_own_formats_can_use_the_ids(seen: Captured, lines: Lines, theirs: Kept) -> None:
    log.warning("before")
    tool(lambda: log.warning("cloudy"), name="get_weather")()

    trace_id, _ = ids_of(seen.span("get_weather"))
    assert theirs.texts == ["WARNING [ ] before", f"WARNING [get_weather {trace_id}] cloudy"]


@pytest.mark.parametrize("key", ["tool", "trace_id", "span_id", "call_id"])
def test_an_attribute_of_the_application_with_the_name_of_an_id_stays(key: str, lines: Lines, theirs: Kept) -> None:
    tool(lambda: log.warning("x", extra={key: "mine"}), name="t")()

    assert lines.one[key] == "mine"
    assert theirs.records[0].__dict__[key] == "mine"


def test_the_applications_own_record_factory_stays_in_use(lines: Lines) -> None:
    before = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.__dict__["shop"] = "Berlin"
        return record

    logging.setLogRecordFactory(factory)
    try:
        tool(lambda: log.warning("x"), name="t")()
    finally:
        logging.setLogRecordFactory(before)

    assert (lines.one["shop"], lines.one["tool"]) == ("Berlin", "t")


def test_records_of_loggers_that_do_not_propagate_are_written(lines: Lines) -> None:
    private = logging.getLogger("shop.private")
    private.propagate = False
    try:
        tool(lambda: private.warning("x"), name="t")()
    finally:
        private.propagate = True

    assert lines.one["tool"] == "t"


def test_levels_and_filters_of_the_applications_loggers_hold(lines: Lines) -> None:
    quiet = logging.getLogger("shop.quiet")
    quiet.setLevel(logging.ERROR)
    quiet.warning("too low")
    quiet.setLevel(logging.NOTSET)
    picky = logging.getLogger("shop.picky")
    picky.addFilter(lambda record: record.msg != "secret")
    picky.warning("secret")

    assert lines.all == []


def test_the_applications_logging_can_be_configured_at_any_time(lines: Lines) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        logging.basicConfig(level=logging.INFO, handlers=[handler := Kept()])
        log.info("basic")
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": True, "root": {"level": "INFO", "handlers": []}}
        )
        logging.getLogger("shop.new").info("dict")
        tool(lambda: None, name="t")()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for logger in logging.Logger.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False

    assert handler.texts == ["INFO [ ] basic"]
    assert [line["message"] for line in lines.application_lines] == ["basic", "dict"]
    assert lines.end["tool"] == "t"


def test_without_handlers_a_record_is_not_printed_a_second_time(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = logging.getLogger("shop.alone")
    alone.propagate = False
    try:
        alone.warning("once")
    finally:
        alone.propagate = True

    assert capsys.readouterr().err == ""
    assert lines.one["message"] == "once"


def test_lines_go_to_the_current_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    from otel_tools._telemetry.logs.json_lines import JsonLines  # noqa: PLC0415 - needs the extra

    JsonLines().handle(logging.makeLogRecord({"msg": "x", "name": "shop"}))

    assert '"message": "x"' in capsys.readouterr().err


def test_the_standard_library_is_restored_afterwards(seen: Captured) -> None:
    with logs_on() as lines:
        assert logging.Logger.callHandlers is not ORIGINALS[0]
    tool(lambda: log.warning("x"), name="t")()

    assert (logging.Logger.callHandlers, threading.Thread.start, ThreadPoolExecutor.submit) == ORIGINALS
    assert lines.all == []


def test_a_later_wrapper_stays_and_gets_each_record_once(monkeypatch: pytest.MonkeyPatch, seen: Captured) -> None:
    heard: list[str] = []
    with logs_on():
        ours = logging.Logger.callHandlers

        def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())
            ours(logger, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", theirs)
    log.warning("off")
    with logs_on() as lines:
        log.warning("on again")
    monkeypatch.undo()
    with logs_on():
        pass

    assert heard == ["off", "on again"]
    assert lines.one["message"] == "on again"


def test_a_call_that_began_before_logs_were_on_ends_with_a_record(seen: Captured) -> None:
    @tool(name="t")
    def pages() -> Iterator[int]:
        yield 1

    open_one = pages()
    next(open_one)
    with logs_on() as lines:
        assert list(open_one) == []

    assert lines.end["tool"] == "t"


class Broken(Lines):
    def write(self, _text: str) -> int:
        raise OSError("disk full")


def test_a_failing_stream_fails_no_call(seen: Captured, lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    from otel_tools._telemetry.logs.json_lines import JsonLines  # noqa: PLC0415 - needs the extra
    from otel_tools._telemetry.logs.settings import logs  # noqa: PLC0415 - read while logs are on

    logs.sinks = (JsonLines(Broken()), *logs.sinks)

    @tool
    def seven() -> int:
        log.warning("x")
        return 7

    assert seven() == 7
    assert [line["message"] for line in lines.application_lines if line["logger"] == "shop.orders"] == ["x"]
    assert "telemetry failed while writing a log record" in caplog.text


def test_logs_that_are_off_leave_the_context_alone(seen: Captured) -> None:
    keys: list[str] = []

    tool(lambda: keys.extend(get_current()), name="t")()

    assert not any("running" in key for key in keys)
