"""`tool` on methods, under and over `classmethod` and `staticmethod`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import tool

if TYPE_CHECKING:
    from otel_tools.testing import Captured


class _Weather:
    unit = "celsius"

    def __init__(self, city: str) -> None:
        self.city = city

    @tool
    def plain(self, day: int) -> tuple[str, int]:
        return self.city, day

    @tool
    async def later(self, day: int) -> tuple[str, int]:
        await asyncio.sleep(0)
        return self.city, day

    @classmethod
    @tool
    def class_outside(cls, day: int) -> tuple[str, int]:
        return cls.unit, day

    @tool
    @classmethod
    def class_inside(cls, day: int) -> tuple[str, int]:
        return cls.unit, day

    @tool(description="With options.")
    @classmethod
    async def class_inside_later(cls, day: int) -> tuple[str, int]:
        return cls.unit, day

    @staticmethod
    @tool
    def static_outside(day: int) -> int:
        return day

    @tool
    @staticmethod
    def static_inside(day: int) -> int:
        return day


class _Fahrenheit(_Weather):
    unit = "fahrenheit"


@pytest.mark.parametrize("name", ["plain", "later"])
def test_a_method_is_called_on_its_instance(seen: Captured, name: str) -> None:
    for city in ("Paris", "Oslo"):
        result = getattr(_Weather(city), name)(3)
        assert (asyncio.run(result) if name == "later" else result) == (city, 3)

    assert [span.name for span in seen.spans] == [f"execute_tool {name}"] * 2


@pytest.mark.parametrize("name", ["class_outside", "class_inside", "class_inside_later"])
@pytest.mark.parametrize("owner", [_Weather, _Fahrenheit, _Fahrenheit("Oslo")])
def test_a_classmethod_gets_the_class_it_is_called_on(seen: Captured, owner: Any, name: str) -> None:
    result = getattr(owner, name)(3)

    assert (asyncio.run(result) if name.endswith("later") else result) == (owner.unit, 3)
    seen.span(name)


@pytest.mark.parametrize("name", ["static_outside", "static_inside"])
@pytest.mark.parametrize("owner", [_Weather, _Fahrenheit("Oslo")])
def test_a_staticmethod_gets_its_arguments_alone(seen: Captured, owner: Any, name: str) -> None:
    assert getattr(owner, name)(3) == 3
    seen.span(name)


def test_what_was_in_the_class_is_still_what_it_was() -> None:
    assert isinstance(vars(_Weather)["class_inside"], classmethod)
    assert isinstance(vars(_Weather)["class_outside"], classmethod)
    assert isinstance(vars(_Weather)["static_inside"], staticmethod)


def test_a_bound_tool_can_be_named_anew_with_one_span(seen: Captured) -> None:
    oslo = tool(name="oslo")(_Weather("Oslo").plain)

    assert oslo(1) == ("Oslo", 1)
    assert _Weather("Paris").plain(2) == ("Paris", 2)

    assert [span.name for span in seen.spans] == ["execute_tool oslo", "execute_tool plain"]


def test_a_bound_method_of_a_class_without_tools_is_a_tool(seen: Captured) -> None:
    greet = tool(name="greet")("hello {}".format)

    assert greet("Ada") == "hello Ada"
    seen.span("greet")


def test_an_overridden_tool_and_its_super_are_two_calls(seen: Captured) -> None:
    class Verbose(_Weather):
        @tool
        def plain(self, day: int) -> tuple[str, int]:
            city, day = super().plain(day)
            return f"the city of {city}", day

    assert Verbose("Oslo").plain(1) == ("the city of Oslo", 1)

    inner, outer = seen.spans
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
