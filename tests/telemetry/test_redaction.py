"""Secrets, by their form or by their key, are redacted; everything else stays readable."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._telemetry.content.capture import content, redact_text, render
from otel_tools._telemetry.content.redaction import REDACTED, Redaction
from tests.cpu import cpu_ratio

if TYPE_CHECKING:
    from collections.abc import Callable

WORD = "kX9w2LmQ7pR4sT8vB3nZ"

SECRETS = {
    # what it is: (a text around {}, the secret)
    "bearer": ("Authorization: Bearer {}", "abcdefghijkl"),
    "bearer in a sentence": ("sent bearer {} to it", "mF_9.B5f-4.1JqM"),
    "bearer in lower case only": ("curl -H 'authorization: bearer {}'", "abcdefghijklmnop"),
    "basic": ("with Basic {}", "dXNlcjpwYXNzd29yZA=="),
    "basic without padding": ("Basic {} was refused", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"),
    "basic in a header": ('{{"Authorization": "Basic {}"}}', "abcdefgh"),
    "another scheme": ("Authorization: Token {}", "f00"),
    "digest": ('Authorization: Digest username="bob", response="{}"', "6629fae49393a05397450978507c4ef1"),
    "jwt": ("token is {}.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
    "jwt after an underscore": ("session_{}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0"),
    "openai": ("key {}", f"sk-proj-{WORD}"),
    "anthropic": ("key {}", f"sk-ant-api03-{WORD}"),
    "stripe": ("key {}", f"sk_live_{WORD}"),
    "github": ("key {}", f"ghp_{WORD}{WORD}"),
    "github, fine-grained": ("key {}", f"github_pat_{WORD}_{WORD}"),
    "gitlab": ("key {}", f"glpat-{WORD}"),
    "slack": ("key {}", f"xoxb-123456789012-{WORD}"),
    "google": ("key {}", f"AIza{WORD}{WORD[:15]}"),
    "aws": ("key {}", "AKIAIOSFODNN7EXAMPLE"),
    "npm": ("key {}", f"npm_{WORD}{WORD[:16]}"),
    "pypi": ("key {}", f"pypi-{WORD}"),
    "hugging face": ("key {}", f"hf_{WORD}"),
    "sendgrid": ("key {}", f"SG.{WORD}.{WORD}"),
    "groq": ("key {}", f"gsk_{WORD}"),
    "xai": ("key {}", f"xai-{WORD}"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", f"MII{WORD}\n{WORD}="),
    "private key, escaped": (r"-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", rf"MII{WORD}\n{WORD}"),
    "private key without end": ("-----BEGIN EC PRIVATE KEY-----\n{}", f"MHc{WORD}\n{WORD}"),
    "private key of pgp": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}", f"lQ{WORD}\n={WORD}"),
    "url": ("postgresql+psycopg://app:{}@db.internal:5432/app", "hunter2"),
    "url without a user": ("redis://:{}@cache:6379/0", "hunter2"),
    "url with a strange password": ("amqp://app:{}@queue", "p@ss:w&rd!"),
    "url in quotes": ('{{"dsn": "https://app:{}@sentry.example"}}', "hunter2"),
    "assignment": ("PASSWORD={} ./run", "hunter2"),
    "assignment with a colon": ("passwd: {}", "hunter2"),
    "assignment in quotes": ("password = '{}'", "hunter 2 hunter"),
    "query": ("GET /?api_key={}&unit=c", WORD),
    "json": ('{{"apiKey": "{}", "unit": "c"}}', WORD),
    "json with an escape": ('{{"secret": "{}"}}', r"hun\"ter2"),
    "json in json": (r'{{"body": "{{\"client_secret\": \"{}\"}}"}}', WORD),
    "python": ("{{'access_token': '{}'}}", WORD),
    "camel case": ('"clientSecret":"{}"', WORD),
    "yaml": ("private-key: {}\nunit: c", WORD),
    "cookie": ("Cookie: a=b; session={}", WORD),
    "set-cookie": ("Set-Cookie: sid={}; HttpOnly", WORD),
    "several": ("token={0} password={0}", WORD),
}

PROSE = [
    "The weather in Oslo is sunny, 21 degrees.",
    "max_tokens: 100, prompt_tokens=12, completion tokens: 40",
    "a token ring, the token, tokens; a secret garden and the cookie jar",
    "Password required. Reset your password at https://example.com/reset?step=2",
    "https://example.com:8443/a:b/c@d?user=me@example.com#x:y@z",
    "see http://localhost:4318 or mailto:ada@example.com",
    "basic understanding of bearer instruments; Basic Authentication, basic read/write, a bearer.",
    "BASIC PROGRAMMING and Basic arithmetic: bearer bonds",
    "task-force desk-ordering risk-sk-sk, ask-me-anything-about-this-and-that",
    "eye exam, eyJ, keyJnothing",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "SELECT token_count FROM usage WHERE author = 'Ada' AND pinned",
    "npm_config, hf_hub, SG.1, pypi-index, AKIA, xai, gsk_short, sk-short",
    "TypeError: 'NoneType' object is not subscriptable",
    '{"city": "Oslo", "tokenizer": "cl100k"}',
]


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=list(SECRETS))
def test_a_secret_is_replaced_and_the_text_around_it_stays(text: str, secret: str) -> None:
    redacted = Redaction().text(f"before {text.format(secret)}\nafter")

    assert secret not in redacted
    assert not any(part in redacted for part in re.split(r"\W+", secret) if len(part) > 3)
    assert REDACTED in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith("\nafter") or "without end" in redacted or "-----" in text


@pytest.mark.parametrize("text", PROSE)
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
    *("session_id", "sessionId", "csrf", "otp", "pin", "encryptionKey"),
]
PLAIN_KEYS = [
    *("city", "author", "authors", "pinned", "shipping", "spinner", "keyboard", "monkey", "passenger"),
    *("option", "optimal", "primary_key", "sort_key", "session", "compass", "sec", "adopt"),
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


@pytest.mark.parametrize("key", ["max_tokens", "tokens", "total_tokens", "token_count", "tokenLimit", "prompt_tokens"])
def test_a_number_of_tokens_stays_and_a_text_of_that_key_does_not(key: str) -> None:
    assert json.loads(render({key: 100})) == {key: 100}
    assert json.loads(render({key: "eyJ"})) == {key: REDACTED}


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
