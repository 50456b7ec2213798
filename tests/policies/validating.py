"""Helpers for the tests of validation: types, and calls without driver and telemetry."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke
from otel_tools._policies.validation import validate_arguments
from otel_tools.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Flow


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Place(BaseModel):
    city: str
    country: str = "FR"


@dataclass
class Point:
    x: float
    y: float


class Window(TypedDict):
    start: dt.date
    days: int


class Query(BaseModel):
    query: str
    limit: Annotated[int, Field(le=10)] = 5


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)
    day: dt.date


def taken(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The value that the function returns for validated arguments, without driver and telemetry."""
    outcome = ended(function, args, kwargs)
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def ended(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    info = ToolInfo("get_weather", function, asynchronous=False, generator=False, arguments=Arguments(function))

    def inner(call: Call) -> Flow:
        yield Invoke()
        return Outcome(function(*call.args, **call.kwargs))

    return result_of(validate_arguments(info)(inner)(Call(args, kwargs)))


def result_of(flow: Flow) -> Outcome:
    with pytest.raises(StopIteration) as stop:  # noqa: PT012 - it raises at the end of its steps
        while True:
            next(flow)
    assert isinstance(stop.value.value, Outcome)
    return stop.value.value


def refusal(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """The lines of the refusal that describe the errors."""
    outcome = ended(function, args, kwargs)
    assert outcome.result == "invalid"
    assert isinstance(outcome.error, InvalidArguments)
    head, *lines = str(outcome.error).splitlines()
    assert head == "The arguments of get_weather were refused:"
    return lines


def typed(annotation: Any) -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        return value

    function.__annotations__["value"] = annotation
    return function


def weather(location: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> tuple[str, str]:
    return location, unit
