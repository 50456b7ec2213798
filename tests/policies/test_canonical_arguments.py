"""Canonical forms: equal when a function could not tell the arguments apart, and no error but `NoCacheKeyError`."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import itertools
import math
import pathlib
import re
import subprocess
import sys
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._policies.cache.canonical_arguments import NoCacheKeyError, canonical_form, canonical_text


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Place:
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sized:
    size: float


class Pair(NamedTuple):
    left: Any
    right: Any


class Model(pydantic.BaseModel):
    city: str
    unit: str = "c"
    days: list[int] = []


class Text(str):
    __slots__ = ()


UTC_PLUS_1 = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)

DIFFERENT: list[Any] = [
    None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, math.nan, math.inf, 1j, 2**70, "", "1", "True", "None", b"", b"1",
    bytearray(b"1"), Text("1"), [], (), {}, set(), frozenset(), [1], (1,), [True], [1.0], [[1]], {1}, frozenset({1}),
    {1.0},
    {"a": 1}, {"a": 1.0}, {1: "a"}, {"a": {"b": 1}}, OrderedDict(a=1), Counter("a"), defaultdict(int, a=1), deque([1]),
    deque([1], 3), MappingProxyType({"a": 1}), Colour.RED, Colour.BLUE, Number.ONE, Access.READ,
    Access.READ | Access.WRITE,
    Place("a"), Place("a", ["b"]), Sized(1), Sized(1.0), Pair(1, 2), Pair(1, 2.0), (1, 2), Model(city="a"),
    Model(city="a", days=[1]), decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal("NaN"),
    decimal.Decimal("sNaN"), uuid.UUID(int=1), pathlib.PurePosixPath("1"), pathlib.PureWindowsPath("1"),
    dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 12), NOON, NOON.astimezone(UTC_PLUS_1), NOON.replace(fold=1),  # noqa: DTZ001 - one without a zone is meant
    NOON.astimezone(zoneinfo.ZoneInfo("Etc/GMT-1")), dt.time(12), dt.timedelta(1), zoneinfo.ZoneInfo("UTC"),
    ipaddress.ip_address("1.2.3.4"), range(1), range(0), slice(1), slice(1, 2), ..., int, Place, len, lambda: 0,
]  # fmt: skip


def named(value: Any) -> str:
    """Its text without its address in memory: a test has the same name in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def test_values_that_a_function_could_tell_apart_have_different_forms() -> None:
    for (i, left), (j, right) in itertools.combinations(enumerate(DIFFERENT), 2):
        assert canonical_form(left) != canonical_form(right), (i, left, j, right)


@pytest.mark.parametrize("value", DIFFERENT, ids=named)
def test_a_form_is_hashable_and_the_same_each_time(value: Any) -> None:
    assert canonical_form(value) == canonical_form(value)
    assert hash(canonical_form(value)) == hash(canonical_form(value))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
        ({1, 2, 3}, {3, 2, 1}),
        pytest.param([{"a": {"x", "y"}}], [{"a": {"y", "x"}}], id="sets of text, whose order differs in each process"),
        (Place("a", ["b"]), Place("a", ["b"])),
        (Model(city="a"), Model(city="a", unit="c")),
        (math.nan, float("nan")),
        ([math.nan], [float("nan")]),
        (decimal.Decimal("1.0"), decimal.Decimal("1.0")),
        (Pair([1], 2), Pair([1], 2)),
        (Text("a"), Text("a")),
    ],
    ids=named,
)
def test_values_that_a_function_could_not_tell_apart_have_the_same_form(left: Any, right: Any) -> None:
    assert canonical_form(left) == canonical_form(right)
    assert hash(canonical_form(left)) == hash(canonical_form(right))


class Plain:
    """Compares by identity."""


class RaisesInHash:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        raise RuntimeError


class Unhashable:
    __hash__ = None  # type: ignore[assignment] # the case

    def __eq__(self, other: object) -> bool:
        return True


class RaisesEverywhere:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@dataclass
class Broken:
    size: int

    def __getattribute__(self, name: str) -> Any:
        if name == "size":
            raise RuntimeError
        return super().__getattribute__(name)


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def doubling() -> list[Any]:
    value: list[Any] = []
    for _ in range(90):
        value = [value, value]
    return value


UNKEYABLE: dict[str, Any] = {
    "by identity": Plain,
    "in a list": lambda: [Plain()],
    "in a dictionary": lambda: {"a": Plain()},
    "in a dataclass": lambda: Place("a", [Plain()]),  # type: ignore[list-item] # the case
    "raises in hash": RaisesInHash,
    "raises in hash, in a list": lambda: [RaisesInHash()],
    "unhashable": Unhashable,
    "raises everywhere": RaisesEverywhere,
    "raises in a field": lambda: Broken(1),
    "cyclic": cyclic,
    "deep": lambda: deep(150),
    "very deep": lambda: deep(100_000),
    "doubling": doubling,
    "large": lambda: list(range(200_000)),
    "iterator": lambda: iter([1]),
    "generator": lambda: (n for n in [1]),
    "object": object,
    "two NaN as keys": lambda: {math.nan: 1, float("nan"): 1},
    "two NaN in a set": lambda: {math.nan, float("nan")},
}


@pytest.mark.parametrize("make", UNKEYABLE.values(), ids=UNKEYABLE.keys())
def test_a_value_that_cannot_be_told_from_others_has_no_form(make: Any) -> None:
    with pytest.raises(NoCacheKeyError):
        canonical_form(make())


def test_values_whose_comparison_raises_are_different() -> None:
    class Raises:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

    assert canonical_form(Raises()) != canonical_form(Raises())


def test_a_form_keeps_its_hash_when_its_object_changes() -> None:
    class Mutable:
        size = 1

        def __hash__(self) -> int:
            return self.size

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Mutable) and other.size == self.size

    value = Mutable()
    key = canonical_form(value)
    before = hash(key)
    value.size = 2
    assert hash(key) == before
    assert key != canonical_form(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def same(left: Any, right: Any) -> Any:
    """Equal in value and in type, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, float):
        return left.hex() == right.hex()
    return left == right


@given(JSON, JSON)
def test_two_json_values_have_one_form_exactly_when_they_are_the_same(left: Any, right: Any) -> None:
    assert (canonical_form(left) == canonical_form(right)) == same(left, right)
    assert (canonical_text(canonical_form(left)) == canonical_text(canonical_form(right))) == same(left, right)


@pytest.mark.parametrize("value", [v for v in DIFFERENT if type(v).__name__ not in {"Text", "function"}], ids=named)
def test_the_text_of_a_form_differs_from_that_of_other_forms(value: Any) -> None:
    try:
        written = canonical_text(canonical_form(value))
    except NoCacheKeyError:
        # Run by path, this module has no name that its classes could be imported by.
        assert type(value).__module__ == __name__ or getattr(value, "__module__", None) == __name__
        return
    others = [other for other in DIFFERENT if canonical_form(other) != canonical_form(value)]
    for other in others:
        try:
            assert canonical_text(canonical_form(other)) != written
        except NoCacheKeyError:
            continue


@pytest.mark.parametrize("value", [lambda: 0, Text("a"), type("Local", (), {}), [].append], ids=named)
def test_a_form_that_means_nothing_to_another_process_has_no_text(value: Any) -> None:
    with pytest.raises(NoCacheKeyError):
        canonical_text(canonical_form(value))


PROGRAM = """
import datetime, decimal, uuid
from otel_tools._policies.cache.canonical_arguments import canonical_form, canonical_text
print(canonical_text(canonical_form({
    "b": {3, "x", 2.5, None, (1, "a")}, "a": [True, 1, 1.0, b"z", "\\ud800", float("nan")], "t": dict, "f": len,
    "c": {uuid.UUID(int=7), decimal.Decimal("1.10"), datetime.date(2026, 1, 2)},
})))
"""


def test_the_text_of_a_form_is_the_same_in_every_process() -> None:
    texts = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("0", "1", "42")
    }
    assert len(texts) == 1
