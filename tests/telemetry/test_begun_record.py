"""The log record of a call that begins, which leaves a trace of one that hangs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otel_tools import tool

if TYPE_CHECKING:
    import pytest


def test_a_call_that_begins_is_logged_at_debug_before_it_runs(caplog: pytest.LogCaptureFixture, both: Any) -> None:
    seen_in_body: list[str] = []

    def body(word: str) -> str:
        seen_in_body.extend(record.getMessage() for record in caplog.records)
        return word

    wrapped = tool(name="hangs")(both.function(body))
    with caplog.at_level(logging.DEBUG, "otel_tools"):
        both.call(wrapped, word="swordfish")

    assert seen_in_body == ["tool.call.begun hangs"]
    assert "swordfish" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "otel_tools"):
        both.call(wrapped, word="swordfish")
    assert "begun" not in caplog.text


def test_a_handler_that_fails_does_not_fail_the_call() -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.name)

    logger, handler = logging.getLogger("otel_tools.calls"), Failing()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        assert tool(name="f")(lambda: 7)() == 7
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
