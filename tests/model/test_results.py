"""What a model is told of a failure: its kind, whether to try again, and never a secret or a traceback."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import urllib.error
from email.message import Message
from typing import Any

import httpx
import openai
import pytest

from otel_tools._model.toolset.failure_kinds import FAILURE_KINDS, SUGGESTIONS, FailureKind, FailureKinds
from otel_tools._model.toolset.results import ToolFailure, ToolResult
from otel_tools.errors import (
    CircuitOpen,
    ConcurrencyLimited,
    ConfigurationError,
    InvalidArguments,
    InvalidResult,
    RateLimited,
    ToolTimeout,
)

ANY_REQUEST: Any = httpx.Request("GET", "http://example.com")


def http_error(status: int, headers: dict[str, str] | None = None) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://example.com")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(status, headers=headers))


class RefusedError(Exception):
    status_code = 401


class ReadTimeout(Exception):  # noqa: N818 - as client libraries call theirs
    pass


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (InvalidArguments("x"), "invalid_arguments", False),
        (InvalidResult("x"), "bad_result", False),
        (ToolTimeout("x"), "timeout", True),
        (RateLimited("x"), "rate_limited", True),
        (ConcurrencyLimited("x"), "unavailable", True),
        (CircuitOpen("x"), "unavailable", True),
        (TimeoutError(), "timeout", True),
        (ConnectionRefusedError("x"), "unavailable", True),
        (PermissionError("x"), "authentication", False),
        (asyncio.CancelledError(), "cancelled", False),
        (ValueError("x"), "other", False),
        (KeyError("rate limit timeout"), "other", False),
        (http_error(400), "invalid_arguments", False),
        (http_error(401), "authentication", False),
        (http_error(403), "authentication", False),
        (http_error(404), "other", False),
        (http_error(408), "timeout", True),
        (http_error(422), "invalid_arguments", False),
        (http_error(429), "rate_limited", True),
        (http_error(500), "unavailable", True),
        (http_error(503), "unavailable", True),
        (http_error(504), "timeout", True),
        (httpx.ConnectError("x"), "unavailable", True),
        (httpx.ReadTimeout("x"), "timeout", True),
        (openai.APITimeoutError(ANY_REQUEST), "timeout", True),
        (urllib.error.HTTPError("http://example.com", 429, "x", Message(), None), "rate_limited", True),
        (RefusedError("x"), "authentication", False),
        (ReadTimeout("x"), "timeout", True),
        (ExceptionGroup("x", [TimeoutError(), ReadTimeout()]), "timeout", True),
        (ExceptionGroup("x", [TimeoutError(), ValueError()]), "other", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_kind_comes_from_the_class_and_the_status(error: BaseException, kind: FailureKind, retryable: bool) -> None:
    told = ToolResult.of_error(error).to_dict()

    assert told["success"] is False
    assert (told["error"]["kind"], told["error"]["retryable"]) == (kind, retryable)
    assert told["suggestion"] == SUGGESTIONS[kind]
    assert told.keys() == {"success", "error", "suggestion", "timestamp"}
    assert told["error"].keys() == {"kind", "message", "retryable", "retry_after"}
    if isinstance(error, urllib.error.HTTPError):
        error.close()


def test_every_kind_has_a_suggestion() -> None:
    assert SUGGESTIONS.keys() == set(FAILURE_KINDS)
    assert all(SUGGESTIONS.values())


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimited("x", retry_after=2.5), 2.5),
        (http_error(429, {"Retry-After": "7"}), 7.0),
        (http_error(503), None),
        (RateLimited("x", retry_after=float("inf")), None),
    ],
)
def test_retry_after_is_given_where_it_is_known(error: BaseException, seconds: float | None) -> None:
    assert ToolResult.of_error(error).to_dict()["error"]["retry_after"] == seconds


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("city"), "KeyError: 'city'"),
        (ValueError(), "ValueError"),
        (RateLimited("get_weather is at its limit"), "get_weather is at its limit"),
        (UnreadableError(), "UnreadableError"),
        (ValueError("key sk-abcdefghijklmnopqrstuvwx is wrong"), "ValueError: key [REDACTED] is wrong"),
        (RuntimeError('it failed:\nTraceback (most recent call last):\n  File "a.py"'), "RuntimeError: it failed:"),
        (ValueError("a\ud800"), "ValueError: a?"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_messages_have_no_secrets_and_tracebacks(error: BaseException, message: str) -> None:
    assert ToolResult.of_error(error).to_dict()["error"]["message"] == message


def test_a_long_message_is_cut() -> None:
    text = ToolResult.of_error(ValueError("\x01" * 100_000)).to_json(1000)

    assert len(text) <= 1000
    json.loads(text)


def test_the_timestamp_has_a_time_zone() -> None:
    told = ToolResult.failure("other", "x").to_dict()

    assert dt.datetime.fromisoformat(told["timestamp"]).utcoffset() == dt.timedelta()


def test_a_success_has_its_data_and_the_time() -> None:
    for data in ({"a": 1}, "text", None):
        result = ToolResult.of(data)
        assert result.to_dict() == {
            "success": True,
            "data": data,
            "timestamp": result.timestamp.isoformat(timespec="milliseconds"),
        }


@pytest.mark.parametrize(
    ("data", "text"),
    [('say "hi"\n', 'say "hi"\n'), ("", ""), ({"a": 1}, '{"a":1}'), (None, "null"), (["é"], '["é"]'), ("5", "5")],
)
def test_without_an_envelope_a_success_is_its_data(data: Any, text: str) -> None:
    assert ToolResult.of(data).to_json(envelope=False) == text


def test_without_an_envelope_results_are_bounded_and_redacted_and_failures_keep_theirs() -> None:
    assert len(ToolResult.of("x" * 100_000).to_json(1000, envelope=False)) <= 1000
    key = f"sk-{'a1' * 12}"
    assert key not in ToolResult.of({"answer": key}).to_json(envelope=False)
    assert "hunter2" not in ToolResult.of({"password": "hunter2"}).to_json(envelope=False, redact="keys")
    assert ToolResult.failure("other", "no").to_json(envelope=False).startswith('{"success":false')
    assert ToolResult.of(object()).to_json(envelope=False).startswith('{"success":false')


def test_data_that_are_cut_say_so() -> None:
    told = json.loads(ToolResult.of("x" * 5000).to_json(1000))

    assert told["data"].endswith("…")
    assert "5,002 characters" in told["note"]


@pytest.mark.parametrize("data", [object(), {"a": object()}, {"\ud800": 1}, 10**5000], ids=["0", "1", "2", "3"])
def test_data_that_cannot_be_written_are_a_failure_and_no_crash(data: Any) -> None:
    told = ToolResult.of(data).to_dict()

    assert told["error"]["kind"] == "bad_result"
    assert type(data).__name__ in told["error"]["message"]


def test_a_tool_may_return_a_result_of_its_own() -> None:
    result = ToolResult.failure(
        "unavailable", "The station is down.", retry_after=60, suggestion="Ask for another city."
    )

    assert ToolResult.of(result) is result
    assert result.to_dict()["suggestion"] == "Ask for another city."
    assert result.to_dict()["error"] == {
        "kind": "unavailable",
        "message": "The station is down.",
        "retryable": True,
        "retry_after": 60,
    }
    with pytest.raises(ValueError, match="rate_limited"):
        ToolResult.failure("broken", "x")  # type: ignore[arg-type] # that is the point


def test_a_failure_without_an_error_has_a_default_message() -> None:
    assert ToolResult(success=False).to_dict()["error"]["kind"] == "other"
    naive = ToolResult(
        success=False,
        error=ToolFailure("other", "x", retryable=False),
        timestamp=dt.datetime(2026, 1, 1),  # noqa: DTZ001 - a user's own
    )
    assert dt.datetime.fromisoformat(naive.to_dict()["timestamp"]).tzinfo is not None


class QuotaError(Exception):
    pass


class DailyError(QuotaError):
    pass


def test_users_add_and_replace_kinds() -> None:
    kinds = FailureKinds(
        {QuotaError: "rate_limited", TimeoutError: "unavailable", 404: "invalid_arguments", Exception: "bad_result"}
    )

    assert kinds.kind(DailyError()) == "rate_limited"
    assert kinds.kind(ToolTimeout("x")) == "unavailable"
    assert kinds.kind(http_error(404)) == "invalid_arguments"
    assert kinds.kind(http_error(429)) == "rate_limited"
    assert kinds.kind(ValueError()) == "bad_result"
    assert kinds.kind(InvalidArguments("x")) == "invalid_arguments"
    assert ToolResult.of_error(DailyError(), kinds).error == ToolFailure("rate_limited", "DailyError", retryable=True)


def test_users_add_and_replace_suggestions() -> None:
    kinds = FailureKinds(suggestions={"timeout": "Ask for less.", QuotaError: "Tell the user.", "other": None})

    assert ToolResult.of_error(TimeoutError(), kinds).suggestion == "Ask for less."
    assert ToolResult.of_error(DailyError(), kinds).suggestion == "Tell the user."
    assert ToolResult.of_error(ValueError(), kinds).suggestion is None
    assert ToolResult.of_error(TimeoutError()).suggestion == SUGGESTIONS["timeout"]


@pytest.mark.parametrize(
    ("kinds", "suggestions", "named"),
    [
        ({QuotaError: "broken"}, None, "rate_limited"),
        ({"QuotaError": "other"}, None, "exception class"),
        ({int: "other"}, None, "exception class"),
        ({True: "other"}, None, "exception class"),
        ([QuotaError], None, "dictionary"),
        (None, {"broken": "x"}, "rate_limited"),
        (None, {"other": 5}, "a text"),
        (None, "x", "dictionary"),
    ],
)
def test_wrong_kinds_and_suggestions_are_refused(kinds: Any, suggestions: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        FailureKinds(kinds, suggestions)
