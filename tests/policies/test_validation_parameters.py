"""`validate=`: every kind of parameter takes its arguments as a model, or Python, may give them."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import pytest
from pydantic import Field

from tests.policies.validating import Place, Point, Query, refusal, taken, weather


def test_omitted_arguments_take_the_functions_defaults() -> None:
    default = ["mutable"]

    def function(a: int, tags: list[str] = default, limit: int = Field(7, gt=0)) -> Any:
        return a, tags, limit

    a, tags, limit = taken(function, a="1")

    assert (a, limit) == (1, 7)
    assert tags is default
    assert refusal(function, a=1, limit=0) == ["- limit: must be greater than 0"]


def test_a_default_in_the_annotation_is_used_only_where_the_function_has_none() -> None:
    def function(a: Annotated[int, Field(default=3)], b: Annotated[int, Field(default=3)] = 4) -> Any:
        return a, b

    assert taken(function) == (3, 4)


def test_an_alias_is_the_name_that_the_model_uses_and_the_own_name_works_too() -> None:
    def function(from_: Annotated[str, Field(alias="from")]) -> str:
        return from_

    assert taken(function, **{"from": "Paris"}) == "Paris"
    assert taken(function, from_="Paris") == "Paris"
    assert taken(function, "Paris") == "Paris"
    assert refusal(function) == ["- from: is required"]


def test_instances_and_arguments_without_annotation_pass_unchanged() -> None:
    def function(place: Place, point: Point, anything, *, other=None):  # type: ignore[no-untyped-def] # that is the point
        return place, point, anything, other

    values = (Place(city="x"), Point(1, 2), [object()], {1: 2})

    got = taken(function, values[0], point=values[1], anything=values[2], other=values[3])

    assert all(a is b for a, b in zip(got, values, strict=True))


def test_every_kind_of_parameter_is_validated_and_passed_by_position_or_name() -> None:
    def function(a: int, /, b: int = 2, *rest: int, c: int = 3, **extra: float) -> Any:
        return a, b, rest, c, extra

    assert taken(function, "1") == (1, 2, (), 3, {})
    assert taken(function, "1", "4", "5", "6", c="7", d="8") == (1, 4, (5, 6), 7, {"d": 8.0})
    assert taken(function, a="1", rest=["5"]) == (1, 2, (5,), 3, {})
    assert refusal(function, 1, 2, "x") == ["- rest.0: must be an integer"]
    assert refusal(function, 1, d="x") == ["- d: must be a number"]


def test_positional_only_parameters_may_be_named_and_skipped() -> None:
    def function(a: int = 1, b: int = 2, /) -> Any:
        return a, b

    assert taken(function, b="3") == (1, 3)


def test_untyped_rest_and_extra_arguments_pass() -> None:
    def function(*args, **kwargs):  # type: ignore[no-untyped-def] # that is the point
        return args, kwargs

    assert taken(function, 1, "2", args=3, kwargs=4) == ((1, "2"), {"args": 3, "kwargs": 4})


def test_arguments_that_python_would_refuse_are_refused() -> None:
    assert refusal(weather, "a", "celsius", "c") == ["- (by position): at most 2 arguments can be given so"]
    assert refusal(weather, "a", location="b") == ["- location: is given twice"]


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ({"request": {"city": "Paris"}}, Place(city="Paris")),
        ({"city": "Paris", "country": "IT"}, Place(city="Paris", country="IT")),
        ({"city": "Paris"}, Place(city="Paris")),
    ],
)
def test_the_fields_of_a_single_model_may_be_given_in_its_place(sent: dict[str, Any], got: Place) -> None:
    def function(request: Place) -> Place:
        return request

    assert taken(function, **sent) == got


def test_errors_in_the_fields_of_a_single_model_have_the_names_of_the_fields() -> None:
    def function(request: Place) -> Place:
        return request

    assert refusal(function, cty="Paris", country=3) == [
        "- cty: is no argument of this tool; did you mean 'city' or 'country'?",
        "- city: is required",
        "- country: must be a string",
    ]
    assert refusal(function) == ["- city: is required"]
    assert refusal(function, request=3) == ["- request: must be an object"]


@pytest.mark.parametrize(
    "sent", [{"query": "x"}, {"query": {"query": "x"}}, {"query": "x", "limit": 5}, {"query": Query(query="x")}]
)
def test_a_single_model_with_a_field_of_the_parameters_name_is_understood(sent: dict[str, Any]) -> None:
    def function(query: Query) -> Query:
        return query

    assert taken(function, **sent) == Query(query="x")


def test_an_optional_single_model_keeps_its_default() -> None:
    def function(request: Place | None = None) -> Place | None:
        return request

    assert taken(function) is None
    assert taken(function, request=None) is None
    assert taken(function, city="x") == Place(city="x")


def test_a_model_cannot_change_what_a_partial_has_filled() -> None:
    def function(key: str, city: str) -> Any:
        return key, city

    bound = functools.partial(function, key="mine")

    assert taken(bound, city="x") == ("mine", "x")
    assert refusal(bound, city="x", key="theirs")[0].startswith("- key: is no argument")


def test_callable_objects_and_methods_are_validated_without_their_receiver() -> None:
    class Client:
        def __call__(self, n: int) -> int:
            return n

        def get(self, n: int) -> Any:
            return self, n

        @classmethod
        def made(cls, n: int) -> Any:
            return cls, n

    client = Client()
    assert taken(client, n="3") == 3
    assert taken(Client.get, client, n="3") == (client, 3)
    assert taken(client.get, "3") == (client, 3)
    assert taken(Client.made, n="3") == (Client, 3)
    assert refusal(Client.get, client, n="x") == ["- n: must be an integer"]
