"""A family of types, each with what a model may send for it, and functions of any signature with these types."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import types
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NotRequired, Union

from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 3
    HIGH = 4


class Item(BaseModel):
    """A thing that is bought."""

    name: str
    count: Annotated[int, Field(ge=1)] = 1
    colour: Colour | None = None
    from_: str = Field("here", alias="from")


class Branch(BaseModel):
    leaf: int
    branches: list[Branch] = []


@dataclass
class Size:
    width: float
    tags: list[str] = field(default_factory=list)


class Window(TypedDict):
    start: dt.date
    days: NotRequired[int]


class Span(TypedDict):
    start: dt.date
    end: dt.date


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: str


class Case(NamedTuple):
    """A type, and what may be sent for it."""

    annotation: Any
    sent: st.SearchStrategy[Any]
    strict: bool = True
    """Whether OpenAI's strict mode can express it, and nothing but what has a default is left out of what is sent."""


def _item() -> st.SearchStrategy[Any]:
    optional = {"count": st.integers(1, 9), "colour": st.sampled_from(["red", None]), "from": st.text(max_size=3)}
    return st.fixed_dictionaries({"name": st.text(max_size=3)}, optional=optional)


def _branch() -> st.SearchStrategy[Any]:
    leaf = st.fixed_dictionaries({"leaf": st.integers(0, 9)})
    return st.recursive(
        leaf,
        lambda inner: st.fixed_dictionaries({"leaf": st.integers(0, 9), "branches": st.lists(inner, max_size=2)}),
        max_leaves=3,
    )


_SMALL = st.integers(-(2**40), 2**40)

LEAVES = [
    Case(int, _SMALL),
    Case(float, st.one_of(_SMALL, st.floats(allow_nan=False, allow_infinity=False))),
    Case(bool, st.booleans()),
    Case(str, st.text(max_size=5)),
    Case(Annotated[int, Field(ge=0, lt=100, multiple_of=5)], st.integers(0, 19).map(lambda n: 5 * n)),
    Case(Annotated[str, Field(min_length=2, max_length=4, description="Some.")], st.text(min_size=2, max_size=4)),
    Case(Annotated[str, Field(pattern=r"^[a-c]+$")], st.text("abc", min_size=1, max_size=4)),
    Case(Literal["a", "b"], st.sampled_from("ab")),
    Case(Literal["a", 7, None], st.sampled_from(["a", 7, None])),  # noqa: PYI061 - people write it so
    Case(Colour, st.sampled_from(["red", "blue"])),
    Case(Level, st.sampled_from([3, 4])),
    Case(dt.date, st.dates().map(dt.date.isoformat)),
    Case(dt.datetime, st.datetimes().map(dt.datetime.isoformat)),
    Case(uuid.UUID, st.uuids().map(str)),
    Case(Decimal, st.one_of(_SMALL, st.decimals(-(10**6), 10**6, places=2).map(str))),
    Case(Item, _item()),
    Case(Branch, _branch()),
    Case(Size, st.fixed_dictionaries({"width": _SMALL}, optional={"tags": st.lists(st.text(max_size=2), max_size=2)})),
    Case(
        Window,
        st.fixed_dictionaries({"start": st.dates().map(str)}, optional={"days": st.integers(0, 9)}),
        strict=False,
    ),
    Case(Span, st.fixed_dictionaries({"start": st.dates().map(str), "end": st.dates().map(str)})),
    Case(
        Annotated[Cat | Dog, Field(discriminator="kind")],
        st.sampled_from([{"kind": "cat", "lives": 9}, {"kind": "dog", "owner": "x"}]),
    ),
]


def _list(case: Case) -> Case:
    return Case(types.GenericAlias(list, (case.annotation,)), st.lists(case.sent, max_size=3), case.strict)


def _dictionary(case: Case) -> Case:
    return Case(
        types.GenericAlias(dict, (str, case.annotation)),
        st.dictionaries(st.text(max_size=3), case.sent, max_size=3),
        strict=False,
    )


def _tuple(case: Case) -> Case:
    return Case(
        types.GenericAlias(tuple, (case.annotation, int)),
        st.tuples(case.sent, st.integers(0, 9)).map(list),
        strict=False,
    )


def _optional(case: Case) -> Case:
    return Case(case.annotation | None, st.one_of(st.none(), case.sent), case.strict)


def _or_text(case: Case) -> Case:
    return Case(Union[case.annotation, str], st.one_of(case.sent, st.text(max_size=3)), case.strict)  # noqa: UP007 - of any type


def _all_of(leaves: list[Case], wrappers: list[Callable[[Case], Case]]) -> st.SearchStrategy[Case]:
    def wrapped(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
        return inner.flatmap(lambda case: st.sampled_from([wrap(case) for wrap in wrappers]))

    return st.recursive(st.sampled_from(leaves), wrapped, max_leaves=3)


# A set with duplicates has a test of its own.
cases = _all_of(LEAVES, [_list, _dictionary, _tuple, _optional, _or_text])
strict_cases = _all_of([case for case in LEAVES if case.strict], [_list, _optional, _or_text])


class Tried(NamedTuple):
    """A function that gives its arguments back, and the types of its parameters."""

    function: Callable[..., Any]
    cases: dict[str, Case]
    required: frozenset[str]


KINDS = ("positional", "optional", "null", "keyword", "optional keyword")


@st.composite
def functions(draw: st.DrawFn, of: st.SearchStrategy[Case] = cases) -> Tried:
    """Functions with up to four parameters, by position or keyword, with or without defaults."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(KINDS), of), max_size=4))
    drawn.sort(key=lambda pair: KINDS.index(pair[0]) if pair[0] != "null" else KINDS.index("optional"))
    text: list[str] = []
    namespace: dict[str, Any] = {}
    for index, (kind, case) in enumerate(drawn):
        if "keyword" in kind and "*" not in text:
            text.append("*")
        namespace[f"T{index}"] = case.annotation
        default = ""
        if "optional" in kind:
            namespace[f"D{index}"] = draw(case.sent)
            default = f" = D{index}"
        elif kind == "null":
            default = " = None"
        text.append(f"p{index}: T{index}{default}")
    names = [f"p{index}" for index in range(len(drawn))]
    given = ", ".join(f"{name!r}: {name}" for name in names)
    exec(f"def tried({', '.join(text)}): return {{{given}}}", namespace)  # noqa: S102 - made of the texts above
    required = frozenset(
        name for name, (kind, _) in zip(names, drawn, strict=True) if kind in {"positional", "keyword"}
    )
    return Tried(namespace["tried"], {n: c for n, (_, c) in zip(names, drawn, strict=True)}, required)


@st.composite
def arguments(draw: st.DrawFn, tried: Tried, *, all_of_them: bool = False) -> dict[str, Any]:
    """Arguments that fit the function."""
    return {
        name: draw(case.sent)
        for name, case in tried.cases.items()
        if all_of_them or name in tried.required or draw(st.booleans())
    }


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), _SMALL, st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4))
    | st.sampled_from(["1", "1.5", "true", "2024-01-01", "red", "a", "nan", "inf"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.sampled_from(["name", "width", "leaf", "kind"]), inner, max_size=3),
    ),
    max_leaves=5,
)
"""Any JSON, with much that looks like something else."""


@st.composite
def spoiled(draw: st.DrawFn, tried: Tried) -> dict[str, Any]:
    """Arguments of which something was replaced, left out or added, at any depth."""
    given: dict[str, Any] = copy.deepcopy(draw(arguments(tried)))
    where: Any = given
    while True:
        places = list(where) if isinstance(where, dict) else list(range(len(where)))
        deeper = [place for place in places if isinstance(where[place], (dict, list))]
        if not deeper or not draw(st.booleans()):
            break
        where = where[draw(st.sampled_from(deeper))]
    change = draw(st.sampled_from(["replace", "remove", "add"])) if places else "add"
    if change == "add":
        _add(where, draw(st.text(max_size=3)), draw(anything))
    elif change == "remove":
        del where[draw(st.sampled_from(places))]
    else:
        where[draw(st.sampled_from(places))] = draw(anything)
    return given


def _add(where: Any, name: str, value: Any) -> None:
    if isinstance(where, dict):
        where[name] = value
    else:
        where.append(value)
