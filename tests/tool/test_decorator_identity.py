"""A decorated function is still, to everything that looks at it, the function that it was."""

from __future__ import annotations

import copy
import inspect
import pickle
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError, validate_call

from otel_tools import tool

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = Annotated[str, "celsius or fahrenheit"]


def weather(city: str, day: int = 0, *, unit: Unit = "celsius") -> dict[str, Any]:
    """Tell the weather.

    Args:
        city: Where.
        day: How many days from now.
        unit: Of the temperature.
    """
    return {"city": city, "day": day, "unit": unit}


weather.version = 3  # type: ignore[attr-defined] # people hang things on their functions
decorated = tool(weather)


@tool
def forecast(day: int) -> int:
    """Importable, and its module's name is bound to the wrapper."""
    return day + 1


class _Station:
    def __call__(self, city: str, unit: Unit = "celsius") -> dict[str, Any]:
        """Ask the station."""
        return {"city": city, "unit": unit}


@pytest.mark.parametrize(
    "attribute", ["__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "version"]
)
def test_it_has_what_the_function_had(attribute: str) -> None:
    assert getattr(decorated, attribute) == getattr(weather, attribute)


def test_its_signature_and_hints_are_those_of_the_function() -> None:
    assert inspect.signature(decorated) == inspect.signature(weather)
    assert get_type_hints(decorated, include_extras=True) == get_type_hints(weather, include_extras=True)
    assert decorated.__wrapped__ is weather  # type: ignore[attr-defined] # as functools.wraps leaves it


def test_neither_name_nor_description_reach_the_function() -> None:
    renamed = tool(name="get_weather", description="For the span.")(weather)

    assert renamed.__name__ == "weather"
    assert renamed.__doc__ == weather.__doc__


@pytest.mark.parametrize("function", [partial(weather, "Oslo"), _Station(), _Station().__call__])
def test_the_signature_of_a_partial_or_callable_object_is_its_own(function: Callable[..., Any]) -> None:
    assert inspect.signature(tool(function)) == inspect.signature(function)


@pytest.mark.parametrize("function", [partial(weather, "Oslo"), _Station(), partial(_Station(), "Oslo")])
def test_the_hints_of_a_partial_or_callable_object_can_be_resolved(function: Callable[..., Any]) -> None:
    hints = get_type_hints(tool(function), include_extras=True)

    assert hints["unit"] == Annotated[str, "celsius or fahrenheit"]
    assert hints["return"] == dict[str, Any]


def test_the_docstring_of_a_callable_object_is_that_of_its_call() -> None:
    assert tool(_Station()).__doc__ == "Ask the station."
    assert tool(_Station()).__name__ == "_Station"


def test_copies_are_the_function_itself() -> None:
    assert copy.copy(decorated) is decorated
    assert copy.deepcopy({"weather": decorated}) == {"weather": decorated}


def test_it_can_be_pickled_where_its_name_is_bound_to_it() -> None:
    assert pickle.loads(pickle.dumps(forecast)) is forecast  # noqa: S301 - our own bytes
    assert pickle.loads(pickle.dumps(forecast))(1) == 2  # noqa: S301 - as above


def test_its_repr_and_that_of_what_hangs_on_it_name_it() -> None:
    assert "forecast" in repr(forecast)
    assert repr(forecast.tool) == "<Tool 'forecast' (function)>"


def test_pydantic_sees_the_function() -> None:
    assert validate_call(decorated)("Oslo", day="2") == {"city": "Oslo", "day": 2, "unit": "celsius"}  # type: ignore[arg-type] # pydantic converts it
    with pytest.raises(ValidationError):
        validate_call(decorated)("Oslo", day="tomorrow")  # type: ignore[arg-type] # that is the point
    ours: Any = decorated
    theirs: Any = weather
    assert TypeAdapter(ours).json_schema() == TypeAdapter(theirs).json_schema()


def test_a_wrapper_of_someone_elses_is_not_taken_for_the_tool() -> None:
    @wraps(decorated)
    def logged(*args: Any, **kwargs: Any) -> Any:
        return {**decorated(*args, **kwargs), "logged": True}

    again = tool(logged)

    assert again("Oslo")["logged"]
    assert again.tool.function is logged


def test_wrong_arguments_fail_as_they_always_did() -> None:
    with pytest.raises(TypeError) as bare:
        weather()  # type: ignore[call-arg] # that is the point
    with pytest.raises(TypeError) as wrapped:
        decorated()  # type: ignore[call-arg] # that is the point

    assert str(wrapped.value) == str(bare.value)
