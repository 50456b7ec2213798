"""Logging from inside a call: whatever a handler does, the tool goes on; and records name the line that logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, CircuitBreaker, RateLimit, Retry, tool
from otel_tools._call.safe_logging import log_safely
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Broken(logging.Handler):
    """A handler that raises, as one whose disk is full does without `logging.Handler.handleError`."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def handle(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        raise OSError("no space left on device")


@pytest.fixture(params=[True, False], ids=["raiseExceptions", "quiet"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broken]:
    monkeypatch.setattr(logging, "raiseExceptions", request.param)
    handler = Broken()
    logger = logging.getLogger("otel_tools")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def raises(*_: Any) -> Any:
    raise LookupError("a predicate of the user's")


def fail() -> None:
    raise ConnectionError("down")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"failed_if": raises}, "failed_if of tool"),
        ({"cache": Cache(60, cache_if=raises)}, "cache_if of tool"),
        ({"cache": Cache(60, key=raises)}, "key of the cache"),
        ({"rate_limit": RateLimit(100, key=raises)}, "rate limit key"),
    ],
    ids=["failed_if", "cache_if", "cache key", "rate limit key"],
)
def test_a_broken_handler_does_not_fail_a_call_that_succeeds(
    broken: Broken, options: dict[str, Any], message: str
) -> None:
    work: Callable[[], int] = tool(**{"name": "work", **options})(lambda: 7)

    assert work() == 7
    assert message in broken.records[0].getMessage()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fallback": lambda: None, "fallback_on": raises}, "fallback_on of tool"),
        ({"retry": Retry(attempts=2)}, "attempt 1 failed"),
        ({"circuit_breaker": CircuitBreaker}, "circuit breaker opened"),
    ],
    ids=["fallback_on", "retry", "circuit breaker"],
)
def test_a_broken_handler_does_not_replace_the_error_of_a_call(
    broken: Broken, options: dict[str, Any], message: str
) -> None:
    # A breaker keeps its state: each run has one of its own.
    own: dict[str, Any] = {
        name: value(failures=1) if value is CircuitBreaker else value for name, value in options.items()
    }
    own["name"] = "work"
    work = tool(**own)(fail)

    with FakeClock(), pytest.raises(ConnectionError, match="down"):
        work()
    assert message in broken.records[0].getMessage()


def test_a_record_names_the_line_that_logged(caplog: pytest.LogCaptureFixture) -> None:
    log_safely(logging.getLogger("otel_tools"), logging.ERROR, "%s of %s", 1, 2, extra={"tool": "work"})

    (record,) = caplog.records
    assert (record.funcName, record.filename) == ("test_a_record_names_the_line_that_logged", "test_safe_logging.py")
    assert record.getMessage() == "1 of 2"
    assert record.__dict__["tool"] == "work"
