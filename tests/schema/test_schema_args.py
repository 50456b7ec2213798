"""`@tool(args=Model)`: a pydantic model declares the arguments, for the schema and for validation."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator, model_validator

from otel_tools import ConfigurationError, InvalidArguments, Tool, tool


class WeatherRequest(BaseModel):
    """Get the weather.

    Attributes:
        location: The city.
    """

    location: str
    days: Annotated[int, Field(le=7, alias="n")] = 3

    @field_validator("location")
    @classmethod
    def trimmed(cls, value: str) -> str:
        return value.strip()

    @model_validator(mode="after")
    def near(self) -> WeatherRequest:
        if self.location == "Moon" and self.days > 1:
            raise ValueError("too far for so long")
        return self


@tool(args=WeatherRequest)
def by_name(location: str, days: int) -> Any:
    return location, days


@tool(args=WeatherRequest)
def as_a_whole(request: WeatherRequest) -> Any:
    return request.location, request.days


@tool(args=WeatherRequest)
def untyped(request):  # type: ignore[no-untyped-def] # that is the point
    return request.location, request.days


@tool(args=WeatherRequest)
def anyhow(**fields: Any) -> Any:
    return fields["location"], fields["days"]


ALL = [by_name, as_a_whole, untyped, anyhow]
each = pytest.mark.parametrize("function", ALL, ids=lambda function: function.__name__)


@each
def test_the_schema_is_that_of_the_model(function: Any) -> None:
    assert function.tool.schema()["function"] == {
        "name": function.__name__,
        "description": "Get the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city."},
                "n": {"type": "integer", "maximum": 7, "default": 3},
            },
            "required": ["location"],
            "additionalProperties": False,
        },
    }
    assert function.tool.schema(strict=True)["function"]["parameters"]["required"] == ["location", "n"]


@each
def test_the_arguments_are_validated_by_the_model(function: Any) -> None:
    assert function(location=" Paris ") == ("Paris", 3)
    assert function(location="Paris", n="2") == ("Paris", 2)
    refusals: list[tuple[dict[str, Any], str]] = [
        ({}, "- location: is required"),
        ({"location": 3}, "- location: must be a string"),
        ({"location": "x", "n": 8}, "- n: must be less than or equal to 7"),
        ({"location": "x", "city": "y"}, "- city: is no argument"),
        ({"location": "Moon"}, "- (arguments): too far for so long"),
    ]
    for wrong, said in refusals:
        with pytest.raises(InvalidArguments) as refused:
            function(**wrong)
        assert said in str(refused.value)


def test_python_callers_call_it_as_before() -> None:
    assert by_name(" Paris ", 2) == ("Paris", 2)
    assert by_name("Paris", days=2) == ("Paris", 2)
    assert as_a_whole(WeatherRequest.model_validate({"location": "Paris", "n": 2})) == ("Paris", 2)


def test_methods_take_the_fields_too() -> None:
    class Client:
        @tool(args=WeatherRequest)
        def get(self, location: str, days: int) -> Any:
            return self, location, days

    client = Client()

    assert client.get(location="Paris") == (client, "Paris", 3)  # type: ignore[call-arg] # the model has a default
    assert list(Tool.of(client.get).schema()["function"]["parameters"]["properties"]) == ["location", "n"]


async def test_async_tools_take_the_fields_too() -> None:
    @tool(args=WeatherRequest)
    async def get(location: str, days: int) -> Any:
        return location, days

    assert await get(location="Paris") == ("Paris", 3)  # type: ignore[call-arg] # the model has a default


def test_the_docstring_of_the_function_comes_before_that_of_the_model() -> None:
    @tool(args=WeatherRequest)
    def get(location: str, days: int) -> None:
        """Tell the weather.

        :param days: How many.
        """

    function = get.tool.schema()["function"]

    assert function["description"] == "Tell the weather."
    assert function["parameters"]["properties"]["location"]["description"] == "The city."
    assert function["parameters"]["properties"]["n"]["description"] == "How many."


def test_positional_only_parameters_and_partials_work() -> None:
    def get(key: str, location: str, /, days: int) -> Any:
        return key, location, days

    bound = tool(functools.partial(get, "key"), args=WeatherRequest)

    assert bound(location="Paris", n=1) == ("key", "Paris", 1)


def test_extra_names_that_the_model_allows_reach_a_function_with_var_keyword() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        city: str

    @tool(args=Open)
    def get(city: str, **more: Any) -> Any:
        return city, more

    assert get(city="Paris", unit="c") == ("Paris", {"unit": "c"})
    assert get.tool.schema()["function"]["parameters"]["additionalProperties"] is True
    with pytest.raises(ConfigurationError, match=r"give it \*\*kwargs"):
        tool(lambda city: city, name="get", args=Open)


def test_without_validation_the_model_declares_the_schema_alone() -> None:
    @tool(args=WeatherRequest, validate=False)
    def get(location: str, n: int = 3) -> Any:
        return location, n

    assert get(location=" x ") == (" x ", 3)
    assert list(get.tool.schema()["function"]["parameters"]["properties"]) == ["location", "n"]


@pytest.mark.parametrize("args", [int, RootModel[int], WeatherRequest(location="x"), {"type": "object"}])
def test_args_that_is_not_a_model_is_refused_at_decoration(args: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tool 'get': args=.*a pydantic 2 model is needed"):
        tool(lambda **given: given, name="get", args=args)


def test_a_function_that_cannot_take_the_fields_is_refused_at_decoration() -> None:
    with pytest.raises(ConfigurationError, match="no parameter 'days'"):
        tool(lambda location: location, name="get", args=WeatherRequest)
    with pytest.raises(ConfigurationError, match="needs 'key', which is no field"):
        tool(lambda location, days, key: (location, days, key), name="get", args=WeatherRequest)


def test_decorating_again_keeps_the_model() -> None:
    renamed = tool(by_name, name="weather")

    assert renamed(location="x") == ("x", 3)
    assert list(renamed.tool.schema()["function"]["parameters"]["properties"]) == ["location", "n"]
