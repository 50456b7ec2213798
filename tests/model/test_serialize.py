"""What a tool returned, as JSON that a model can read: of every type, without secrets, and cut where it is long."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import uuid
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._model.toolset.serialize import bounded_json, json_values
from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.content.redaction import Redact, Redaction


class Colour(enum.Enum):
    RED = "red"


class Weather(pydantic.BaseModel):
    degrees: float
    at: dt.date
    key: pydantic.SecretStr = pydantic.SecretStr("hunter2")


@dataclasses.dataclass
class Point:
    x: int
    seen: set[str]


class Scalar:
    """As numpy's: not a number of Python's, and gives one."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def tolist(self) -> Any:
        return self._value


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - untyped ones have to work too


OLD = ("2.11.", "2.12.", "2.13.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("text", "text"),
        (Weather(degrees=1.5, at=dt.date(2026, 1, 2)), {"degrees": 1.5, "at": "2026-01-02", "key": "**********"}),
        (Point(1, {"a"}), {"x": 1, "seen": ["a"]}),
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00Z"),
        (dt.timedelta(hours=1), "PT1H"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (b"text", "text"),
        (b"\xff\x00", "_wA="),
        (bytearray(b"text"), "text"),
        (memoryview(b"text"), "text"),
        ({1: (2, 3), None: frozenset({4})}, {"1": [2, 3], "None": [4]}),
        (Pair(1, 2), [1, 2]),
        pytest.param(
            collections.deque([1]),
            [1],
            marks=pytest.mark.skipif(pydantic.VERSION.startswith(OLD), reason="pydantic 2.13 cannot serialize a deque"),
        ),
        (range(3), [0, 1, 2]),
        (map(str, [1, 2]), ["1", "2"]),
        ({"n": Scalar(1.5), "array": [Scalar([1, 2])]}, {"n": 1.5, "array": [[1, 2]]}),
    ],
)
def test_values_are_written_as_pydantic_does(value: Any, expected: Any) -> None:
    assert json_values(value) == expected


def test_an_endless_iterator_is_cut() -> None:
    def numbers() -> Any:
        while True:
            yield 1

    assert len(json_values(numbers())) == 10_000


def _cycle() -> Any:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _deep() -> Any:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    return deep


class _Broken:
    def tolist(self) -> Any:
        raise KeyError("broken")


@pytest.mark.parametrize("value", [object(), _cycle(), _deep(), {"a": len}, int, [Scalar], _Broken(), ValueError("x")])
def test_values_without_a_json_form_are_refused(value: Any) -> None:
    with pytest.raises(Exception, match=r".+"):
        json_values(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_become_strings(number: float) -> None:
    text, was_cut = bounded_json([number], 100, redact=True)

    assert json.loads(text, parse_constant=pytest.fail)[0] in {"NaN", "Infinity", "-Infinity"}
    assert not was_cut


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "hunter2"}, {"password": "[REDACTED]"}),
        ({"a": [{"api_key": {"nested": 1}}]}, {"a": [{"api_key": "[REDACTED]"}]}),
        (["Authorization: Bearer abcdefgh12345678"], ["Authorization: [REDACTED]"]),
    ],
)
def test_secrets_under_their_keys_are_replaced_on_request(value: Any, expected: Any) -> None:
    assert json.loads(bounded_json(value, 1000, redact="keys")[0]) == expected
    assert json.loads(bounded_json(value, 1000, redact=True)[0]) == value


@pytest.mark.parametrize("redact", [True, "keys"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("key sk-abcdefghijklmnopqrstuvwx", "key [REDACTED]"),
        ({"sk-abcdefghijklmnopqrstuvwx": 1}, {"[REDACTED]": 1}),
        ({"access_token": "sk-abcdefghijklmnopqrstuvwx"}, {"access_token": "[REDACTED]"}),
        ({"url": "postgres://app:hunter2@db"}, {"url": "postgres://app:[REDACTED]@db"}),
    ],
)
def test_secrets_of_a_shape_of_their_own_are_replaced(value: Any, expected: Any, redact: Redact) -> None:
    assert json.loads(bounded_json(value, 1000, redact=redact)[0]) == expected
    assert json.loads(bounded_json(value, 1000, redact=False)[0]) == value


@pytest.mark.parametrize(
    "value",
    [
        {"nextPageToken": "abc"},
        {"next_page_token": "abc"},
        {"token": None, "has_password": True},
        {"total_tokens": 12},
    ],
)
def test_values_that_only_resemble_secrets_stay(value: Any) -> None:
    assert json.loads(bounded_json(value, 1000, redact="keys")[0]) == value


def test_the_programs_own_redaction_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "redaction", Redaction([r"cust-\d+"]))

    assert json.loads(bounded_json({"cust-1": "cust-22"}, 100, redact=True)[0]) == {"[REDACTED]": "[REDACTED]"}


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000,
        '"\n\\' * 3_000,
        list(range(5_000)),
        {f"key{n}": "value" for n in range(1_000)},
        {"k" * 5_000: 1},
        [["é" * 3_000] * 3],
        [[[[["\u0001" * 2_000]]]]],
        10**2_000,
        [-(10**2_000), {"n": 10**1_100}],
    ],
)
def test_long_values_are_cut_and_stay_json(value: Any) -> None:
    text, was_cut = bounded_json(value, 1000, redact=True)

    assert was_cut
    assert len(text) <= 1000
    assert "…" in json.dumps(json.loads(text), ensure_ascii=False)


def test_most_of_the_room_is_used() -> None:
    assert len(bounded_json("x" * 10_000, 1000, redact=True)[0]) > 900
    assert len(bounded_json(["abc"] * 10_000, 1000, redact=True)[0]) > 900


def test_a_secret_at_the_cut_is_not_cut_in_half() -> None:
    text, _ = bounded_json("x" * 960 + " sk-" + "a1b2" * 100, 1000, redact=True)

    assert "sk-" not in text


def test_a_lone_surrogate_is_replaced() -> None:
    text, _ = bounded_json("a\ud800b", 100, redact=False)
    assert text.encode().decode() == text


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)


@given(json_data, st.integers(16, 400), st.booleans())
def test_any_value_gives_valid_json_within_the_room(value: Any, room: int, redact: bool) -> None:
    text, was_cut = bounded_json(value, room, redact=redact)

    json.loads(text, parse_constant=pytest.fail)
    text.encode()
    assert len(text) <= room
    assert was_cut or redact or len(json.dumps(value)) < 12 * room
