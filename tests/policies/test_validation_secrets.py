"""A refusal repeats no value: not in its message, not in its fields, not in what hangs on the exception."""

from __future__ import annotations

import datetime as dt
import re
import traceback
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    Discriminator,
    Field,
    Json,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from otel_tools import tool
from otel_tools._arguments.mask_values import mask_values
from otel_tools.errors import InvalidArguments, InvalidResult
from tests.policies.validating import Place, Point, Unit, Window, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Flavour

SECRET = "Zq7-Xv9kTop.Se3cret"  # noqa: S105 - no password of anything
NUMBER = 4929113322114455


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    breed: int


class Told(BaseModel):
    """Its checks say what they were given, in many ways."""

    name: str = "x"
    other: str = "x"
    number: int = 0

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        raise ValueError(f"no {name!r}, {name.upper()}, {name[2:10]} or {name[::1].swapcase()} please")

    @field_validator("other")
    @classmethod
    def _other(cls, other: str) -> str:
        raise PydanticCustomError("odd", "this {what} is odd", {"what": other})

    @field_validator("number")
    @classmethod
    def _number(cls, number: int) -> int:
        raise AssertionError(f"{number} and {number:,} are too many")


class Whole(BaseModel):
    parts: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        raise ValueError(f"cannot use {data}")


def refuse(value: Any) -> Any:
    raise ValueError(value)


def kind_of(value: Any) -> str:
    return str(value.get("kind")) if isinstance(value, dict) else "none"


Tagged = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)]
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

WRONG: list[tuple[Any, Any]] = [
    *[
        (annotation, SECRET)
        for annotation in (
            int,
            float,
            bool,
            Decimal,
            dt.date,
            dt.datetime,
            dt.time,
            dt.timedelta,
            uuid.UUID,
            AnyUrl,
            Unit,
            Json[int],
            Literal["a", "b"],
            list[int],
            set[str],
            tuple[int, int],
            dict[str, int],
            Place,
            Point,
            Window,
            Pet,
            Tagged,
            int | list[int],
            Cat | Dog,
            None,
            Annotated[str, Field(max_length=3)],
            Annotated[str, Field(pattern="^a$")],
            Annotated[str, AfterValidator(refuse)],
            re.Pattern[bytes],
            Annotated[list[str], Field(min_length=30)],
        )
    ],
    (list[int], [1, SECRET]),
    (list[int], {SECRET: 1}),
    (dict[str, int], {SECRET: SECRET}),
    (dict[int, int], {SECRET: 1}),
    (dict[int, int], {NUMBER: SECRET}),
    (dict[Literal["a"], dict[str, list[int]]], {SECRET: {SECRET: [SECRET]}}),
    (Place, {"city": [SECRET]}),
    (Point, {SECRET: 1}),
    (Window, {SECRET: 1, "days": SECRET}),
    (Cat | Dog, {"kind": SECRET, SECRET: SECRET}),
    (Pet, {"kind": SECRET}),
    (Tagged, {"kind": SECRET}),
    (Pet, {"kind": "cat", "lives": SECRET}),
    (Annotated[int, Field(lt=3)], NUMBER),
    (Annotated[Decimal, Field(max_digits=3)], str(NUMBER)),
    (Told, {"name": SECRET}),
    (Told, {"other": SECRET}),
    (Told, {"number": NUMBER}),
    (Told, {"name": "plain", "other": SECRET}),
    (Whole, {"parts": {SECRET: {"deep": [SECRET]}}}),
    (Whole, {"parts": {"x": SECRET}, SECRET: NUMBER}),
    (Json[dict[str, int]], f'{{"{SECRET}": "{SECRET}"}}'),
    (int, {"a": SECRET}),
]


def everything_said(error: BaseException) -> str:
    errors = getattr(error, "errors", ())
    notes = getattr(error, "__notes__", ())
    assert error.__cause__ is None
    assert error.__context__ is None
    return "\n".join((str(error), repr(error), repr(errors), repr(notes), *traceback.format_exception_only(error)))


def assert_kept(said: str) -> None:
    lowered = said.lower()
    for secret in (SECRET, str(NUMBER), f"{NUMBER:,}"):
        for at in range(len(secret) - 4):
            assert secret[at : at + 5].lower() not in lowered


def called(annotation: Any, value: Any) -> Any:
    """What a tool with one parameter of such a type gives."""
    decorated: Any = tool(name="secretive", validate=True)(typed(annotation))
    return decorated(value=value)


@pytest.mark.parametrize(("annotation", "sent"), WRONG)
def test_no_wrong_value_is_repeated(annotation: Any, sent: Any) -> None:
    with pytest.raises(InvalidArguments) as caught:
        called(annotation, sent)

    assert caught.value.errors
    assert_kept(everything_said(caught.value))


def test_neither_an_unknown_name_nor_its_value_is_repeated(both: Flavour) -> None:
    decorated = tool(validate=True)(both.function(typed(Place)))

    for arguments in ({SECRET: SECRET}, {"value": {"city": "x"}, SECRET: 1}, {"city": "x", SECRET: SECRET}):
        with pytest.raises(InvalidArguments) as caught:
            both.call(decorated, **arguments)
        assert_kept(everything_said(caught.value))


def test_extra_arguments_of_a_type_are_not_repeated() -> None:
    def work(**extra: int) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        tool(validate=True)(work)(**{SECRET: SECRET})  # type: ignore[arg-type] # that is the point

    assert_kept(everything_said(caught.value))


def test_the_value_of_a_result_is_not_repeated(both: Flavour) -> None:
    def work() -> dict[str, int]:
        return {SECRET: SECRET}  # type: ignore[dict-item] # that is the point

    with pytest.raises(InvalidResult) as caught:
        both.call(tool(validate="both")(both.function(work)))

    assert str(caught.value).endswith("- result.(key 1): must be an integer")
    assert_kept(everything_said(caught.value))


def test_the_message_of_a_validator_is_kept_where_it_has_no_values() -> None:
    def positive(n: int) -> int:
        if n <= 0:
            raise ValueError(f"give the number of nights, not {n}")
        return n

    with pytest.raises(InvalidArguments) as caught:
        called(Annotated[int, AfterValidator(positive)], -5)

    assert str(caught.value).endswith("- value: give the number of nights, not …")


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=4, max_size=40),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    form=st.sampled_from([str, repr, str.upper, str.lower, str.title]),
)
def test_a_value_is_found_in_any_message(secret: str, before: str, after: str, form: Callable[[str], str]) -> None:
    shown = mask_values(before + form(secret) + after, {"password": [secret]})

    if shown is not None and form in (str, str.lower, str.upper) and len(secret.lower()) == len(form(secret).lower()):
        assert secret.lower() not in shown.lower()


@pytest.mark.parametrize(
    ("message", "values", "shown"),
    [
        ("must be before 2030", {"year": 2031}, "must be before 2030"),
        ("must be before 2030", {"year": 2030}, "must be before …"),
        ("a1 is not ba1", "a1", "… is not ba1"),
        ("a1 is no", "a1 is no", None),
        ("no such thing", object(), None),
        ("no such thing", "x" * 30_000, None),
        ("yes or no", [True, None, 1], "yes or no"),
    ],
)
def test_only_the_parts_that_a_message_shares_with_the_values_are_masked(
    message: str, values: Any, shown: str | None
) -> None:
    assert mask_values(message, values) == shown
