"""No argument or result can break or slow its call, and telemetry runs none of its code."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import types
import uuid
from typing import TYPE_CHECKING, Any

import pydantic
import pytest

from otel_tools import tool
from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import CAP, render
from otel_tools._telemetry.content.jsonable import CUT
from tests.cpu import cpu_ratio

if TYPE_CHECKING:
    from otel_tools.testing import Captured

CALLED: list[str] = []


def trap(name: str) -> Any:
    def called(*_args: Any, **_kwargs: Any) -> Any:
        CALLED.append(name)
        raise RuntimeError(name)

    return called


METHODS = [
    *(
        "__repr__",
        "__str__",
        "__eq__",
        "__hash__",
        "__iter__",
        "__getattr__",
        "__getattribute__",
        "__len__",
        "__bool__",
    ),
    *("__format__", "__getitem__", "__contains__", "__reduce__", "__dir__", "__int__", "__float__", "__index__"),
    *("items", "keys", "values", "lower", "encode", "isoformat", "dict", "model_dump", "__call__", "__fspath__"),
]


def hostile(*bases: type) -> Any:
    """An object of a class of which every method raises, and whose class is a property that raises too."""
    members = {name: trap(f"{bases} {name}") for name in METHODS}
    return types.new_class("Hostile", bases, {}, lambda body: body.update(members, __class__=property(trap("class"))))


HOSTILE = {
    "object": hostile()(),
    "exception": hostile(Exception)(),
    "str": hostile(str)("text"),
    "int": hostile(int)(3),
    "float": hostile(float)(3.5),
    "bytes": hostile(bytes)(b"abc"),
    "list": hostile(list)([1, "a"]),
    "tuple": hostile(tuple)([1, "a"]),
    "dict": hostile(dict)(a=1),
    "deque": hostile(collections.deque)([1]),
    "dataclass": dataclasses.dataclass(eq=False, repr=False)(hostile())(),
    "key": dict.fromkeys([type("Key", (str,), {"lower": trap("lower"), "__getitem__": trap("item")})("password")], 1),
    "metaclass": types.new_class(
        "Odd",
        (),
        {"metaclass": type("Meta", (type,), {name: trap(name) for name in ("__getattribute__", "__eq__", "__hash__")})},
    )(),
}


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_code_of_an_arguments_class_runs(seen: Captured, kind: str) -> None:
    value = HOSTILE[kind]
    got: list[Any] = []

    @tool
    def brave(value: Any, *, keyword: Any) -> Any:
        got.append(value)
        return value

    CALLED.clear()

    result = brave(value, keyword=[{"nested": value}])

    assert CALLED == []
    assert result is value
    assert got[0] is value
    attributes = dict(seen.span("brave").attributes or {})
    assert attributes["otel_tools.outcome"] == "ok"
    json.loads(str(attributes[names.TOOL_CALL_ARGUMENTS]))
    json.loads(str(attributes[names.TOOL_CALL_RESULT]))


class _Colour(enum.Enum):
    RED = "#f00"


class _Order(enum.IntEnum):
    FIRST = 1


class _Name(enum.StrEnum):
    ADA = "ada"


@dataclasses.dataclass
class _Plain:
    a: int
    b: list[str]


@dataclasses.dataclass(slots=True)
class _Slotted:
    a: int
    token: str = "t"  # noqa: S105 - it is none


@dataclasses.dataclass
class _Mixed(_Slotted):
    pass


class _Model(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    a: int
    secret: pydantic.SecretStr = pydantic.SecretStr("s")
    nested: _Slotted | None = None


class _Point(collections.namedtuple("_Point", "x y")):  # noqa: PYI024 - one without annotations, too
    __slots__ = ()


cycle: list[Any] = [1]
cycle.append({"again": cycle})

VALUES: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "true": (True, True),
    "number": (-7, -7),
    "float": (0.1, 0.1),
    "nan": (float("nan"), "nan"),
    "infinity": (float("-inf"), "-inf"),
    "huge number": (10**100_000, "<int of 332193 bits>"),
    "large number": (2**200, 2**200),
    "text": ("Zürich ☀ 🌍", "Zürich ☀ 🌍"),
    "surrogate": ("a\ud800b", "a?b"),
    "control characters": ("\x00\x1f\x7f\u2028", "\x00\x1f\x7f\u2028"),
    "bytes": (b"abc", "<bytes of 3 bytes>"),
    "bytearray": (bytearray(5), "<bytearray of 5 bytes>"),
    "memoryview": (memoryview(b"abc"), "<memoryview of 3 bytes>"),
    "complex": (1 + 2j, "(1+2j)"),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "path": (pathlib.PurePosixPath("/tmp/x"), "/tmp/x"),  # noqa: S108 - only its name
    "datetime": (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02T03:00:00+00:00"),
    "date": (dt.date(2026, 1, 2), "2026-01-02"),
    "time": (dt.time(3, 4), "03:04:00"),
    "timedelta": (dt.timedelta(seconds=90), "0:01:30"),
    "enum": (_Colour.RED, "_Colour.RED"),
    "int enum": (_Order.FIRST, 1),
    "str enum": (_Name.ADA, "ada"),
    "tuple": ((1, "a"), [1, "a"]),
    "named tuple": (_Point(1, 2), [1, 2]),
    "set": ({3}, [3]),
    "frozenset": (frozenset({"a"}), ["a"]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "ordered dict": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "keys that are no texts": (
        {1: "a", None: "b", (1, "x"): "d", _Colour.RED: "e", 1.5: "f"},
        {"1": "a", "null": "b", '[1, "x"]': "d", "_Colour.RED": "e", "1.5": "f"},
    ),
    "bytes that are a secret key": ({b"password": "hunter2"}, {"<bytes of 8 bytes>": "[REDACTED]"}),
    "dataclass": (_Plain(1, ["x"]), {"a": 1, "b": ["x"]}),
    "slotted dataclass": (_Slotted(1), {"a": 1, "token": "[REDACTED]"}),
    "dataclass with and without slots": (_Mixed(2), {"a": 2, "token": "[REDACTED]"}),
    "dataclass without its fields": (object.__new__(_Plain), {}),
    "pydantic model": (
        _Model(a=1, nested=_Slotted(2), more=[3]),  # type: ignore[call-arg] # extra="allow"
        {"a": 1, "secret": "[REDACTED]", "nested": {"a": 2, "token": "[REDACTED]"}, "more": [3]},
    ),
    "pydantic secret": ([pydantic.SecretStr("s")], ["<pydantic.types.SecretStr>"]),
    "class": (int, "<builtins.type>"),
    "function": (len, "<builtins.builtin_function_or_method>"),
    "module": (json, "<builtins.module>"),
    "range": (range(10**12), "<builtins.range>"),
    "object": (object(), "<builtins.object>"),
    "cycle": (cycle, [1, {"again": CUT}]),
    "the same twice": ([(1,), (1,)] * 1, [[1], [1]]),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=list(VALUES))
def test_a_value_is_recorded_as(value: Any, expected: Any) -> None:
    assert json.loads(render(value)) == expected


def test_deep_nesting_is_cut() -> None:
    deep: Any = "bottom"
    for _ in range(10_000):
        deep = {"deeper": [deep]}

    text = render(deep)

    assert cpu_ratio(lambda: render(deep)) < 4
    assert len(text) <= CAP
    assert "bottom" not in text
    assert CUT in text
    assert json.loads(text)


def test_an_unreadable_part_leaves_the_others_readable() -> None:
    released = memoryview(b"abc")
    released.release()

    assert json.loads(render({"a": 1, "view": released, "b": 2})) == {"a": 1, "view": "<unreadable>", "b": 2}


@pytest.mark.usefixtures("recorded")
def test_a_value_that_cannot_be_recorded_costs_no_span(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsigned(value: int) -> int:
        return value

    unsigned.__signature__ = "not a signature"  # type: ignore[attr-defined] # as bad as it gets

    assert tool(unsigned)(3) == 3

    attributes = dict(seen.span("unsigned").attributes or {})
    assert attributes["otel_tools.outcome"] == "ok"
    assert attributes[names.TOOL_CALL_RESULT] == "3"
