"""For any of a family of types: what fits is accepted and arrives as that type, what does not is refused unsaid."""

from __future__ import annotations

import datetime as dt
import enum
import types
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from otel_tools.errors import InvalidArguments
from tests.policies.validating import ended, typed

MARK = "\N{SNOWMAN}secret-9876"
"""A value of no type of the family."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str
    count: int = 1


@dataclass
class Size:
    width: float


Case: TypeAlias = tuple[Any, st.SearchStrategy[tuple[Any, Any]]]
"""A type, and what a model may send for it with what it becomes."""


def same(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return strategy.map(lambda value: (value, value))


LEAVES: list[Case] = [
    (int, same(st.integers(-(2**40), 2**40))),
    (float, same(st.floats(allow_nan=False))),
    (bool, same(st.booleans())),
    (Annotated[int, Field(ge=0, lt=100)], same(st.integers(0, 99))),
    (Literal["a", "b"], same(st.sampled_from("ab"))),
    (Colour, st.sampled_from(Colour).map(lambda colour: (colour.value, colour))),
    (dt.date, st.dates().map(lambda date: (date.isoformat(), date))),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda number: (str(number), number))),
    (Item, st.text(max_size=5).map(lambda name: ({"name": name}, Item(name=name)))),
    (Size, st.integers(0, 9).map(lambda width: ({"width": width}, Size(float(width))))),
]


def listed(case: Case) -> Case:
    pairs = st.lists(case[1], max_size=4)
    return types.GenericAlias(list, (case[0],)), pairs.map(
        lambda items: ([sent for sent, _ in items], [got for _, got in items])
    )


def mapped(case: Case) -> Case:
    pairs = st.dictionaries(st.text(max_size=4), case[1], max_size=4)
    return types.GenericAlias(dict, (str, case[0])), pairs.map(
        lambda items: ({k: sent for k, (sent, _) in items.items()}, {k: got for k, (_, got) in items.items()})
    )


def optional(case: Case) -> Case:
    return case[0] | None, st.one_of(st.just((None, None)), case[1])


WRAPPERS: tuple[Callable[[Case], Case], ...] = (listed, mapped, optional)


def wrapped(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    return inner.flatmap(lambda case: st.sampled_from([wrap(case) for wrap in WRAPPERS]))


cases = st.recursive(st.sampled_from(LEAVES), wrapped, max_leaves=4)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_arguments_that_fit_arrive_as_the_annotated_type(data: st.DataObject) -> None:
    annotation, values = data.draw(cases)
    sent, got = data.draw(values)

    outcome = ended(typed(annotation), (), {"value": sent})

    assert outcome.error is None
    assert outcome.value == got
    assert type(outcome.value) is type(got)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_arguments_that_do_not_fit_are_refused_and_not_repeated(data: st.DataObject) -> None:
    annotation, values = data.draw(cases)
    sent, _ = data.draw(values)
    wrong = data.draw(st.sampled_from([MARK, [sent, MARK], {MARK: sent}, {"name": MARK, MARK: MARK, "width": MARK}]))

    outcome = ended(typed(annotation), (), {"value": wrong})

    # Some of these values fit some of the types: a dictionary with a strange key is a dictionary.
    if outcome.error is not None:
        assert isinstance(outcome.error, InvalidArguments)
        assert outcome.result == "invalid"
        for said in (str(outcome.error), repr(outcome.error.errors)):
            assert "secret" not in said
            assert "9876" not in said


@pytest.mark.parametrize("annotation", [annotation for annotation, _ in LEAVES])
def test_a_value_of_no_type_is_refused_by_each(annotation: Any) -> None:
    assert ended(typed(annotation), (), {"value": MARK}).result == "invalid"
    assert ended(typed(list[annotation]), (), {"value": [MARK]}).result == "invalid"
