"""Copies equal the value as far as possible, and never share a mutable object with it."""

from __future__ import annotations

import array
import copy
import datetime as dt
import enum
import json
import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._policies.cache.copying import copy_factory, to_lossless_json


class Colour(enum.Enum):
    RED = 1


@dataclass
class Place:
    tags: list[str]


class Stubborn:
    def __deepcopy__(self, memo: object) -> Any:
        raise RuntimeError


class OnlyOnce:
    def __init__(self, copies: int = 0) -> None:
        self.copies = copies

    def __deepcopy__(self, memo: object) -> OnlyOnce:
        if self.copies:
            raise RuntimeError
        return OnlyOnce(1)


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_a_copy_equals_the_value(value: Any) -> None:
    make = copy_factory(value)
    assert make is not None
    assert repr(make()) == repr(value) or make() == value
    assert type(make()) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, {"b": 2}]}, [[1]], {1, 2}, bytearray(b"ab"), array.array("i", [1, 2]), Place(["a"]), ([1],),
        [Place([])],
        {"when": dt.date(2026, 1, 1)},
    ],
    ids=repr,
)  # fmt: skip
def test_a_change_to_one_copy_changes_no_other(value: Any) -> None:
    before = copy.deepcopy(value)
    make = copy_factory(value)
    assert make is not None
    for mine in (value, make()):
        inner = mine[0] if isinstance(mine, tuple) else mine
        if isinstance(inner, Place):
            inner.tags.append("mine")
        elif isinstance(inner, dict):
            inner.clear()
        else:
            inner.pop()
    assert make() == before
    assert type(make()) is type(before)


@pytest.mark.parametrize("value", [1, "a", None, Colour.RED, len, Place, 1.5, b"x"], ids=repr)
def test_an_immutable_value_is_not_copied(value: Any) -> None:
    make = copy_factory(value)
    assert make is not None
    assert make() is value


def test_lists_that_contain_themselves_or_are_deep_are_copied_too() -> None:
    make = copy_factory(cyclic())
    assert make is not None
    copied = make()
    assert copied[1] is copied
    make = copy_factory(deep(300))
    assert make is not None
    assert repr(make()) == repr(deep(300))


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), (n for n in [1]), Stubborn(), [Stubborn()], deep(100_000)],
    ids=lambda v: type(v).__name__,
)
def test_a_value_that_cannot_be_copied_has_no_copy_factory(value: Any) -> None:
    assert copy_factory(value) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_values_of_json_types_come_back_from_json_unchanged(value: Any) -> None:
    written = to_lossless_json(value, at=1.5)
    assert written is not None
    found = json.loads(written)
    assert repr(found["value"]) == repr(value)
    assert found["at"] == 1.5


@pytest.mark.parametrize(
    "value",
    [
        (1,), {1: 2}, {None: 1}, math.nan, math.inf, [math.nan], {1}, b"a", Colour.RED, Place([]), "\ud83d\ude00",
        {"\ud83d\ude00": 1}, 10**5000, cyclic(), deep(500), dt.date(2026, 1, 1), [{"a": (1,)}],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_that_json_would_change_is_not_written(value: Any) -> None:
    assert to_lossless_json(value) is None
