"""A logging handler that raises fails no tool, whichever part of the package logs."""

from __future__ import annotations

import io
import logging
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, CircuitBreaker, RateLimit, Retry, tool
from otel_tools._arguments.pydantic_private import _log_reduced
from otel_tools._call.safe_logging import log_safely
from otel_tools._export import loss_log
from otel_tools._policies.third_party_private import _report
from otel_tools._telemetry import api_private
from otel_tools._telemetry.guard import log_failure
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger("otel_tools.tests")


def fail(*_: Any) -> Any:
    raise ValueError("broken")


class RaisingHandler(logging.Handler):
    """Counts the records that it was given, and raises."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        raise OSError("disk full")


@pytest.fixture(params=[True, False], ids=["raise_exceptions", "raise_no_exceptions"])
def handler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RaisingHandler]:
    monkeypatch.setattr(logging, "raiseExceptions", request.param)
    handler = RaisingHandler()
    root = logging.getLogger("otel_tools")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def test_an_error_of_a_handler_is_ignored(handler: RaisingHandler) -> None:
    log_safely(logger, logging.WARNING, "%s of %d", "one", 2)
    assert [record.getMessage() for record in handler.records] == ["one of 2"]


@pytest.mark.parametrize("raise_exceptions", [True, False])
def test_an_error_of_a_stream_is_ignored(raise_exceptions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    stream.close()
    logger.addHandler(handler)
    try:
        log_safely(logger, logging.WARNING, "lost")
    finally:
        logger.removeHandler(handler)


def test_an_error_of_a_filter_is_ignored() -> None:
    logger.addFilter(fail)
    try:
        log_safely(logger, logging.WARNING, "lost")
    finally:
        logger.removeFilter(fail)


def test_the_record_is_that_of_the_logger_itself(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_safely(logger, logging.DEBUG, "not enabled")
        try:
            fail()
        except ValueError:
            log_safely(logger, logging.INFO, "%s of %d", "one", 2, exc_info=True, extra={"tool": "search"})
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("otel_tools.tests", logging.INFO, "one of 2")
    assert (record.funcName, record.pathname) == ("test_the_record_is_that_of_the_logger_itself", __file__)
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken"
    assert record.__dict__["tool"] == "search"


class RaisingMapping(dict[Any, Any]):
    """A cache of the user's that is out of order."""

    get = __setitem__ = fail


def unreachable_store() -> Any:
    pytest.importorskip("redis")
    from otel_tools import RedisStore  # noqa: PLC0415 - needs redis

    return RedisStore("redis://127.0.0.1:1")


SUCCEEDING: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "rate limit key of tool": ("policies.rate_limit", lambda: {"rate_limit": RateLimit(10, per=1, key=fail)}),
    "cache_if of tool": ("policies.cache", lambda: {"cache": Cache(60, cache_if=fail)}),
    "key of the cache": ("policies.cache", lambda: {"cache": Cache(60, key=fail)}),
    "the store of a cache failed": ("policies.cache", lambda: {"cache": Cache(60, store=RaisingMapping())}),
    "failed_if of tool": ("policies.failed_if", lambda: {"failed_if": fail}),
    "cannot be used": (
        "stores.redis_health",
        lambda: {"rate_limit": RateLimit(10, per=1, store=unreachable_store())},
    ),
}


@pytest.mark.parametrize("message", SUCCEEDING)
def test_a_tool_returns_its_value_although_its_policy_cannot_log(message: str, handler: RaisingHandler) -> None:
    name, options = SUCCEEDING[message]
    assert tool(name="search", **options())(lambda: 1)() == 1
    assert {record.name for record in handler.records} == {f"otel_tools.{name}"}
    assert all(message in record.getMessage() for record in handler.records)


FAILING: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "fallback_on of tool": ("policies.fallback", lambda: {"fallback": lambda: 2, "fallback_on": fail}),
    "the retry options of tool": ("policies.retry_judge", lambda: {"retry": Retry(on=fail)}),
    "attempt 1 failed": ("policies.retry", lambda: {"retry": Retry(2)}),
    "circuit breaker opened": ("policies.circuit", lambda: {"circuit_breaker": CircuitBreaker(failures=1)}),
}


@pytest.mark.parametrize("message", FAILING)
def test_a_tool_raises_its_own_error_although_its_policy_cannot_log(message: str, handler: RaisingHandler) -> None:
    def function() -> int:
        raise ConnectionError("the tool's own")

    name, options = FAILING[message]
    with FakeClock(), pytest.raises(ConnectionError, match="the tool's own"):
        tool(name="search", **options())(function)()
    assert {record.name for record in handler.records} == {f"otel_tools.{name}"}
    assert all(message in record.getMessage() for record in handler.records)


def test_telemetry_that_fails_and_cannot_log_fails_nothing(
    handler: RaisingHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        fail()
    except ValueError:
        log_failure("this test ran")
    monkeypatch.setattr(api_private, "_SUPPRESS_KEY", "_GONE")
    assert api_private._suppress_key.__wrapped__() is None
    assert [record.levelno for record in handler.records] == [logging.WARNING] * 2


def test_losses_that_cannot_be_logged_fail_nothing(handler: RaisingHandler) -> None:
    reporter = type(loss_log._reporter)()
    reporter.report_failure("traces", "http://localhost:4318", "no answer")
    reporter.report_success("traces")
    assert [record.levelno for record in handler.records] == [logging.WARNING, logging.INFO]


def test_a_private_name_that_moved_and_cannot_be_logged_fails_nothing(handler: RaisingHandler) -> None:
    _report(f"a name {uuid.uuid4()}", "nothing is reduced")  # each name is logged once in a process
    _log_reduced.__wrapped__()
    assert [record.levelno for record in handler.records] == [logging.WARNING] * 2
