"""`validate=`: arguments reach the function as its annotations say, or the call is refused in words for a model."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, Strict

from otel_tools.errors import FieldError, InvalidArguments
from tests.policies.validating import Exact, Place, Point, Unit, Window, ended, refusal, taken, typed, weather


@pytest.mark.parametrize(
    ("annotation", "sent", "got"),
    [
        (int, 3, 3),
        (int, "3", 3),
        (float, 3, 3.0),
        (Unit, "celsius", Unit.CELSIUS),
        (Literal["a", 1], 1, 1),
        (Literal[Unit.CELSIUS, "kelvin"], "celsius", Unit.CELSIUS),
        (dict[str, list[Literal[Unit.CELSIUS]] | None], {"a": ["celsius"]}, {"a": [Unit.CELSIUS]}),
        (Annotated[tuple[Literal[Unit.CELSIUS], ...], Field(min_length=1)], ["celsius"], (Unit.CELSIUS,)),
        (Place, {"city": "Paris"}, Place(city="Paris")),
        (list[Place], [{"city": "Paris", "country": "FR"}], [Place(city="Paris")]),
        (Point, {"x": 1, "y": "2"}, Point(1.0, 2.0)),
        (Window, {"start": "2026-01-02", "days": 3}, {"start": dt.date(2026, 1, 2), "days": 3}),
        (int | Place, {"city": "Paris"}, Place(city="Paris")),
        (int | list[int] | None, None, None),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (dt.datetime, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (dt.timedelta, "P1D", dt.timedelta(days=1)),
        (Decimal, "1.10", Decimal("1.10")),
        (set[int], [1, 2, 2], {1, 2}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, dt.date], {"a": "2026-01-02"}, {"a": dt.date(2026, 1, 2)}),
        (Annotated[int, Field(gt=0)], 1, 1),
        (Annotated[dt.date, Strict()], "2026-01-02", dt.date(2026, 1, 2)),
        (list[Exact], [{"day": "2026-01-02"}], [Exact(day=dt.date(2026, 1, 2))]),
    ],
)
def test_arguments_of_a_model_are_coerced_to_the_annotated_types(annotation: Any, sent: Any, got: Any) -> None:
    result = taken(typed(annotation), value=sent)

    assert result == got
    assert type(result) is type(got)


@pytest.mark.parametrize(
    ("annotation", "sent", "line"),
    [
        (Unit, "kelvin", "- value: must be 'celsius' or 'fahrenheit'"),
        (Literal["a", "b", "c"], "d", "- value: must be 'a', 'b' or 'c'"),
        (Literal[Unit.CELSIUS], "d", "- value: must be 'celsius'"),
        (Literal[Unit.CELSIUS], ["celsius"], "- value: must be 'celsius'"),
        (int, "three", "- value: must be an integer"),
        (int, 1.5, "- value: must be an integer"),
        (bool, "perhaps", "- value: must be true or false"),
        (str, None, "- value: must be a string"),
        (Place, "Paris", "- value: must be an object"),
        (Place, {}, "- value.city: is required"),
        (list[Place], [{"city": "a"}, {"city": 2}], "- value.1.city: must be a string"),
        (Point, {"x": 1, "y": 2, "depth": 3}, "- value.depth: is unknown"),
        (Window, {"start": "tomorrow", "days": 1}, "- value.start: must be a date as YYYY-MM-DD"),
        (int | list[int], "x", "- value: must be an integer or an array"),
        (int | list[int], ["x"], "- value.0: must be an integer"),
        (
            Place | Point,
            {"x": 1, "y": 1, "city": 1},
            "- value.city: must be a string (for Place); or is unknown (for Point)",
        ),
        (dict[str, int], {"a b c": "x"}, "- value.(key 1): must be an integer"),
        (dict[int, str], {"a b c": "x"}, "- value: must be an object whose keys are each an integer"),
        (Annotated[int, Field(ge=1, le=5)], 0, "- value: must be greater than or equal to 1"),
        (Annotated[str, Field(min_length=2)], "a", "- value: must be at least 2 characters long"),
        (Annotated[str, Field(pattern="^[A-Z]+$")], "a", "- value: must be a string that matches ^[A-Z]+$"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "- value: must be at most 1 items long"),
        (Decimal, "x", "- value: must be a decimal number"),
    ],
)
def test_a_refusal_says_what_would_be_right(annotation: Any, sent: Any, line: str) -> None:
    assert line in refusal(typed(annotation), value=sent)


def test_one_refusal_lists_every_wrong_field() -> None:
    outcome = ended(weather, (), {"locaton": "Paris", "unit": "kelvin"})

    assert isinstance(outcome.error, InvalidArguments)
    assert outcome.error.tool == "get_weather"
    assert set(outcome.error.errors) == {
        FieldError("locaton", "is no argument of this tool; did you mean 'location'?"),
        FieldError("location", "is required"),
        FieldError("unit", "is none of the accepted values", "'celsius' or 'fahrenheit'"),
    }


def test_an_unknown_argument_that_resembles_no_other_is_answered_with_the_known_ones() -> None:
    assert refusal(weather, location="x", verbose=True) == [
        "- verbose: is no argument of this tool; known: 'location', 'unit'"
    ]


def test_of_many_mistakes_most_are_counted_and_not_listed() -> None:
    outcome = ended(typed(list[int]), (), {"value": ["x"] * 1000})

    assert isinstance(outcome.error, InvalidArguments)
    assert len(outcome.error.errors) == 20
    lines = str(outcome.error).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 980 more"
