"""Secrets, by their form or by their key, are redacted; everything else stays readable."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._arguments.mask_values import mask_values
from otel_tools._telemetry.content.capture import content, redact_text, render
from otel_tools._telemetry.content.redaction import REDACTED, Redaction
from otel_tools._telemetry.content.secret_shapes import SHAPES as KEY_SHAPES
from tests.cpu import cpu_ratio
from tests.secret_examples import NAMED, NAMED_HERE, PROSE, PROSE_HERE, SHAPES, WORD

if TYPE_CHECKING:
    from collections.abc import Callable

SECRETS = {**SHAPES, **NAMED, **NAMED_HERE}


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=list(SECRETS))
def test_a_secret_is_replaced_and_the_text_around_it_stays(text: str, secret: str) -> None:
    redacted = Redaction().text(f"before {text.format(secret)}\nafter")

    assert secret not in redacted
    assert not any(part in redacted for part in re.split(r"\W+", secret) if len(part) > 3)
    assert REDACTED in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith("\nafter") or "without end" in redacted or "-----" in text


@pytest.mark.parametrize("text", [*PROSE, *PROSE_HERE])
def test_a_text_without_a_secret_stays(text: str) -> None:
    assert Redaction().text(text) == text


@pytest.mark.parametrize("text", [case[0].format(case[1]) for case in SECRETS.values()], ids=list(SECRETS))
def test_redacting_twice_equals_redacting_once(text: str) -> None:
    once = Redaction().text(text)

    assert Redaction().text(once) == once


SECRET_KEYS = [
    *("password", "PASSWORD", "user_password", "Passwd", "passphrase", "pwd", "DB_PWD"),
    *("token", "accessToken", "x-auth-token", "tokens_secret", "secret", "clientSecret", "SECRET_KEY"),
    *("api_key", "apiKey", "X-Api-Key", "apikey", "api key", "private_key", "aws_access_key_id", "signing-key"),
    *("authorization", "Proxy-Authorization", "auth", "basicAuth", "cookie", "Set-Cookie", "credentials"),
    *("csrf", "otp", "encryptionKey", "pass", "session", "jwt", "DB_DSN", "connection_string", "connectionString"),
    *("webhook_url", "cvv", "ssn", "AccountKey", "Ocp-Apim-Subscription-Key"),
]
PLAIN_KEYS = [
    *("city", "author", "authors", "pinned", "shipping", "spinner", "keyboard", "monkey", "passenger"),
    *("option", "optimal", "primary_key", "sort_key", "compass", "sec", "adopt", "bypass", "sessions_count"),
    *(
        "token_symbol",
        "authorization_status",
        "password_policy",
        "token_type",
        "tokenizer",
        "secret_name",
        "cookie_count",
    ),
    *("session_id", "sessionId", "pin", "token_count", "tokenLimit", "passport", "pass_rate"),
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_value_of_a_secret_key_is_redacted_at_any_depth(key: str) -> None:
    value: dict[str, Any] = {"a": [{"b": ({key: "hunter2"}, {key: {"deep": "hunter2"}}, {key: 12345})}]}

    assert "hunter2" not in render(value)
    assert "12345" not in render(value)
    assert json.loads(render({key: "hunter2"})) == {key: REDACTED}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_the_value_of_an_ordinary_key_stays(key: str) -> None:
    assert json.loads(render({key: "value"})) == {key: "value"}


@pytest.mark.parametrize("key", ["max_tokens", "tokens", "total_tokens", "prompt_tokens", "cookies"])
def test_a_number_of_tokens_stays_and_a_text_of_that_key_does_not(key: str) -> None:
    assert json.loads(render({key: 100})) == {key: 100}
    assert json.loads(render({key: "eyJ"})) == {key: REDACTED}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"session_id": "s-1", "cookies": 12}, {"session_id": "s-1", "cookies": 12}),
        ({"session_id": f"s{WORD}"}, {"session_id": REDACTED}),
        ({"tokens": ["a", "b"]}, {"tokens": ["a", "b"]}),
        ({"cookies": {"sid": "x"}}, {"cookies": REDACTED}),
        ({"pin": "left"}, {"pin": "left"}),
        ({"pin": 1234}, {"pin": REDACTED}),
        ({"password": None, "has_secret": True}, {"password": None, "has_secret": True}),
        ([("authorization", "Token f00"), ("accept", "x")], [["authorization", REDACTED], ["accept", "x"]]),
        ([(b"authorization", b"Token f00")], [["<bytes of 13 bytes>", REDACTED]]),
        ({"name": "DB_PASSWORD", "value": "x"}, {"name": "DB_PASSWORD", "value": REDACTED}),
        ({"name": "DB_HOST", "value": "x"}, {"name": "DB_HOST", "value": "x"}),
    ],
    ids=repr,
)
def test_the_value_decides_where_the_key_does_not(value: Any, shown: Any) -> None:
    assert json.loads(render(value)) == shown


@pytest.mark.parametrize(("text", "secret"), SHAPES.values(), ids=list(SHAPES))
def test_a_model_reads_no_secret_that_has_a_shape_of_its_own(text: str, secret: str) -> None:
    assert not any(
        part in Redaction().by_shape.text(text.format(secret)) for part in re.split(r"\W+", secret) if len(part) > 3
    )


@pytest.mark.parametrize("text", [*PROSE, *PROSE_HERE, *(text.format(secret) for text, secret in NAMED.values())])
def test_a_model_reads_everything_else(text: str) -> None:
    assert Redaction().by_shape.text(text) == text


def test_a_secret_in_a_key_is_replaced() -> None:
    assert WORD not in render({f"sk-{WORD}": 1, (f"ghp_{WORD}",): 2})


def test_patterns_of_the_user_are_applied_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "redaction", Redaction([r"\b\d{4}(?: \d{4}){3}\b", re.compile("(?i)acme")]))

    assert json.loads(render({"card": "4111 1111 1111 1111", "firm": "ACME", "p": "password=x"})) == {
        "card": REDACTED,
        "firm": REDACTED,
        "p": f"password={REDACTED}",
    }


def test_the_callback_is_called_last_with_each_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def callback(text: str) -> str:
        asked.append(text)
        return text.replace("Oslo", "a city")

    monkeypatch.setattr(content, "redaction", Redaction(callback=callback))

    assert json.loads(render({"to": ["Oslo", "password=x"]})) == {"to": ["a city", f"password={REDACTED}"]}
    assert asked == ["to", "Oslo", f"password={REDACTED}"]
    assert redact_text("to Oslo", 100) == "to a city"


def _raises(text: str) -> str:
    raise ValueError(text)


@pytest.mark.parametrize("callback", [_raises, lambda _: None, lambda _: 3, lambda _: b"Oslo"])
def test_a_callback_that_fails_redacts_the_whole_text(
    monkeypatch: pytest.MonkeyPatch, callback: Callable[[str], Any]
) -> None:
    monkeypatch.setattr(content, "redaction", Redaction(callback=callback))

    assert "Oslo" not in render({"Oslo": "Oslo"})
    assert redact_text("Oslo", 100) == REDACTED


def test_a_lone_surrogate_from_a_callback_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "redaction", Redaction(callback=lambda text: text + "\ud800"))

    assert redact_text("Oslo", 100) == "Oslo?"


ADVERSARIAL = [
    *("a://", "eyJ", "-----BEGIN ", "password=", "password", "a-", "a_", "a.", "token ", "token\t\t", "bearer "),
    *("basic a", "Basic A", "sk-", "a:", '"password": "', "-----BEGIN PRIVATE KEY-----", "-----END ", "-----"),
    *("://", "://:@", "://a:", "://a@", "http://u:p", "=", '"', "'", "\\", '\\"', "cookie:", 'cookie:a"', "a@", "A "),
    *(
        "authorization: x'",
        "token\\",
        'token"',
        "token '",
        "api_",
        "secret\n",
        "[REDACTED]",
        "token=[REDACTED]",
        " ",
        "\n",
    ),
    *("://" + "y" * 200, "://u:" + "y" * 1000, "bearer " + "a" * 40, "x" * 63 + "-", "\u017fecret=", "K", "\u0130"),
]


@pytest.mark.parametrize("part", ADVERSARIAL, ids=repr)
def test_no_text_makes_a_pattern_slow(part: str) -> None:
    text = (part * 16_384)[: 16 * 1024]

    def redact() -> None:
        Redaction().text(text)
        Redaction().text(f"password cookie bearer basic :// private key eyj sk- {text}")

    assert cpu_ratio(redact, runs=1) < 7


STARTS = [
    "",
    *(shape.prefix for shape in KEY_SHAPES),
    "://a:",
    "password=",
    '"password": "',
    "cookie:",
    "authorization: x'",
]
STARTS += ["eyJ", "Bearer ", "Basic ", "-----BEGIN PRIVATE KEY-----", "?key=", "--password ", "-u a:", '"name": "']
PUMPS = [
    "\\",
    '\\"',
    "a",
    "0",
    " ",
    "\n",
    '"',
    "'",
    "-",
    "_",
    "=",
    ":",
    "://",
    "@",
    "password",
    "cookie:",
    "session_id=",
]
PUMPS += [
    "token ",
    "sk-",
    "a:",
    "Bearer a",
    "[REDACTED]",
    "http://u:p@h ",
    "&sig=abcd",
    "-u a:",
    "x" * 63 + "-",
    "\u0130",
]


@pytest.mark.parametrize("pump", PUMPS, ids=repr)
def test_the_time_grows_no_faster_than_the_text(pump: str) -> None:
    redaction = Redaction()

    def redact(length: int) -> None:
        for start in STARTS:
            redaction.text(start + (pump * length)[:length])

    short, long = (cpu_ratio(partial(redact, length), runs=1) for length in (2_000, 16_000))
    # Eight times the text; a quadratic pattern would take sixty-four times as long.
    assert long < 24 * max(short, 0.2)


def test_thousands_of_values_are_masked_quickly() -> None:
    values = [str(number) for number in range(3_000)]

    assert cpu_ratio(lambda: mask_values("no: " + ", ".join(values), values), runs=1) < 7
