"""Content of any value is valid JSON within the cap, and contains no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_tools._telemetry.content.capture import CAP, redact_text, render
from otel_tools._telemetry.content.jsonable import CUT, MARGIN

KEY = "q9Zx7Lm2Wk4Tn8Rb5Vc1"
MARKS = [f"sk-{KEY}", f"password={KEY}", f"Bearer {KEY}", f"https://u:{KEY}@h/", f'"token": "{KEY} {KEY}"']
"""Secrets as they stand in texts. Of `KEY`, no four characters in a row may be seen."""

texts = st.text(max_size=40)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=9) | st.dates()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | st.integers() | st.none() | st.binary(max_size=4), inner, max_size=8)
        | st.sets(st.integers() | texts, max_size=4)
        | st.builds(lambda text, times: text * times, texts, st.integers(0, 2000))
    ),
    max_leaves=60,
)


def leaks(text: str) -> bool:
    """Whether any piece of the key is in the text."""
    return any(KEY[start : start + 4] in text for start in range(len(KEY) - 3))


@given(values, st.integers(10, 5000))
@settings(max_examples=150, deadline=None)
def test_content_is_valid_json_within_the_cap(value: Any, cap: int) -> None:
    text = render(value, cap)

    assert len(text) <= cap
    json.loads(text)
    text.encode("utf-8")


def planted(value: Any, secret: str, at: int) -> Any:
    """The value with the secret in the place of the text that is counted down to."""
    remaining = [at]

    def walk(part: Any) -> Any:
        if isinstance(part, str):
            remaining[0] -= 1
            return f"{part} {secret} {part}" if remaining[0] == 0 else part
        if isinstance(part, dict):
            return {key: walk(item) for key, item in part.items()}
        if isinstance(part, (list, tuple)):
            return [walk(item) for item in part]
        return part

    return [walk(value), secret]


@given(values, st.sampled_from(MARKS), st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_a_secret_anywhere_in_a_value_is_not_in_its_content(value: Any, secret: str, at: int) -> None:
    assert not leaks(render(planted(value, secret, at)))


@given(
    st.recursive(
        st.just(KEY) | scalars.map(lambda _: KEY), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
    ),
    st.sampled_from(["password", "API-Key", "refreshToken", "x_secret_y", "Cookie"]),
)
@settings(max_examples=100, deadline=None)
def test_the_value_of_a_secret_key_is_not_in_the_content(value: Any, key: str) -> None:
    assert not leaks(render({"outer": [{key: value}]}))


@pytest.mark.parametrize("secret", MARKS)
@pytest.mark.parametrize("boundary", [CAP, 4 * CAP, 4 * CAP - MARGIN])
@pytest.mark.parametrize("filler", ["x", "word ", chr(34)])
def test_a_secret_across_a_boundary_is_not_in_the_content(secret: str, boundary: int, filler: str) -> None:
    for offset in range(-len(secret) - 24, 24, 5):
        before = (filler * (boundary + offset))[: boundary + offset - 1] + " "
        text = f"{before}{secret} {filler * 100}"
        assert not leaks(render(text))
        assert not leaks(redact_text(text, CAP))
        assert not leaks(redact_text(text[::-1] + f" {secret} {filler * boundary}"[: boundary + offset], CAP, "end"))


@given(
    st.sampled_from(MARKS), st.integers(0, 3000), st.integers(0, 3000), st.integers(16, 600), st.sampled_from("x \n")
)
@example(MARKS[4], 0, 3000, 16, "x")
@settings(max_examples=300, deadline=None)
def test_a_secret_anywhere_in_a_text_is_not_in_the_cut_text(
    secret: str, before: int, after: int, cap: int, filler: str
) -> None:
    text = f"{filler * before} {secret} {filler * after}"

    for keep in ("start", "end"):
        kept = redact_text(text, cap, keep)
        assert len(kept) <= cap
        assert not leaks(kept)


PEM = "-----BEGIN PRIVATE KEY-----\n" + (KEY + "\n") * 80 + "-----END PRIVATE KEY-----"


@pytest.mark.parametrize("cap", [100, 400, 1000, 4096])
def test_no_part_of_a_private_key_is_kept_wherever_it_is_cut(cap: int) -> None:
    for before in range(0, 4 * cap + 100, 97):
        assert not leaks(redact_text("x" * before + PEM + "after", cap))
        assert not leaks(redact_text("before" + PEM + "x" * before, cap, "end"))


def test_secrets_that_shrink_a_text_reveal_no_secret_behind_them() -> None:
    crowded = f"password={'s' * 200} " * 100
    for length in range(0, 400, 7):
        assert not leaks(redact_text("x" * length + crowded + f"token={KEY} " * 3, CAP))
        assert not leaks(redact_text(f"token={KEY} " * 3 + crowded + "x" * length, CAP, "end"))
    assert CUT in redact_text(crowded, 1024)
