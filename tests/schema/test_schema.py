"""The schema of a tool: from its signature and docstring, or from a model."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import json
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Union

import pytest
from jsonschema import Draft202012Validator
from pydantic import AliasChoices, BaseModel, Field, InstanceOf, RootModel
from typing_extensions import TypedDict, Unpack

import otel_tools
from otel_tools import ConfigurationError, Tool, tool
from otel_tools._schema.from_model import schema_from_model


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Place(BaseModel):
    """Where it is."""

    city: str
    tags: set[str] = Field({"b", "a", "c"}, description="Words.")


class Node(BaseModel):
    value: int
    next: Node | None = None


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.5


class Window(TypedDict):
    start: dt.date
    days: NotRequired[int]


class Session:
    """Nothing that JSON can give."""


def parameters_of(function: Any, **options: Any) -> dict[str, Any]:
    """The schema of the arguments, which is valid JSON Schema whatever it is of."""
    parameters: dict[str, Any] = tool(function).tool.schema(**options)["function"]["parameters"]
    Draft202012Validator.check_schema(parameters)
    json.dumps(parameters, allow_nan=False)
    return parameters


def property_of(annotation: Any, **default: Any) -> Any:
    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    function.__defaults__ = tuple(default.values()) or None
    return parameters_of(function)["properties"]["value"]


def get_weather(location: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Get the weather of a city.

    Today's only.

    Args:
        location: The city and country.
        unit: Which degrees.
    """
    return location + unit


EXPECTED = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "The city and country."},
        "unit": {
            "type": "string",
            "enum": ["celsius", "fahrenheit"],
            "default": "celsius",
            "description": "Which degrees.",
        },
    },
    "required": ["location"],
    "additionalProperties": False,
}


def test_the_form_of_chat_completions() -> None:
    assert tool(get_weather).tool.schema() == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather of a city.\n\nToday's only.",
            "parameters": EXPECTED,
        },
    }


def test_the_form_of_responses_has_strict_false() -> None:
    assert tool(get_weather).tool.schema(api="responses") == {
        "type": "function",
        "name": "get_weather",
        "description": "Get the weather of a city.\n\nToday's only.",
        "parameters": EXPECTED,
        "strict": False,
    }


def test_options_of_the_tool_override_the_docstring() -> None:
    named = tool(get_weather, name="weather", description="Tells the weather.").tool.schema()["function"]

    assert (named["name"], named["description"]) == ("weather", "Tells the weather.")
    assert named["parameters"] == EXPECTED


def test_each_caller_gets_a_schema_of_its_own() -> None:
    decorated = tool(get_weather)
    decorated.tool.schema()["function"]["parameters"].clear()

    assert decorated.tool.schema()["function"]["parameters"] == EXPECTED


def test_a_function_without_annotations_and_docstring_has_a_schema() -> None:
    def bare(): ...  # type: ignore[no-untyped-def] # that is the point

    function = tool(bare).tool.schema()["function"]

    assert function == {
        "name": "bare",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    }


def test_a_parameter_without_type_may_be_anything() -> None:
    def bare(a, b=1): ...  # type: ignore[no-untyped-def] # that is the point

    assert parameters_of(bare)["properties"] == {"a": {}, "b": {"default": 1}}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[int, Field(gt=0, le=9, description="Few.")], {"exclusiveMinimum": 0, "maximum": 9}),
        (Annotated[str, Field(min_length=1, pattern="^a")], {"minLength": 1, "pattern": "^a"}),
        (Annotated[list[int], Field(max_length=3)], {"items": {"type": "integer"}, "maxItems": 3}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (tuple[int, str], {"prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2}),
        (Union[int, str, None], {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),  # noqa: UP007 - both ways are written
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),  # noqa: PYI061 - as above
        (Annotated[float, Field(ge=0, le=math.inf)], {"type": "number", "minimum": 0}),
    ],
)
def test_types_and_constraints_are_in_the_schema(annotation: Any, expected: dict[str, Any]) -> None:
    schema = property_of(annotation)

    assert schema | expected == schema
    assert "Infinity" not in json.dumps(schema)


def test_nested_types_are_definitions_that_are_referred_to() -> None:
    def find(place: Place, near: list[Point], window: Window, unit: Unit, node: Node | None = None) -> None: ...

    parameters = parameters_of(find)

    assert set(parameters["$defs"]) == {"Place", "Point", "Window", "Unit", "Node"}
    assert parameters["properties"]["near"] == {"type": "array", "items": {"$ref": "#/$defs/Point"}}
    assert parameters["$defs"]["Place"]["description"] == "Where it is."
    assert parameters["$defs"]["Unit"] == {"type": "string", "enum": ["celsius", "fahrenheit"]}
    assert parameters["$defs"]["Window"]["required"] == ["start"]
    assert "title" not in json.dumps(parameters)


def test_classes_of_one_name_stay_apart() -> None:
    def inner() -> type[BaseModel]:
        class Place(BaseModel):
            street: str

        return Place

    def find(a: Any, b: Any) -> None: ...

    find.__annotations__ = {"a": Place, "b": inner()}
    parameters = parameters_of(find)

    assert len(parameters["$defs"]) == 2
    validator = Draft202012Validator(parameters)
    validator.validate({"a": {"city": "x"}, "b": {"street": "y"}})
    assert not validator.is_valid({"a": {"street": "y"}, "b": {"city": "x"}})


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (Unit, Unit.CELSIUS, "celsius"),
        (dt.date, dt.date(2026, 1, 2), "2026-01-02"),
        (Decimal, Decimal("1.50"), "1.50"),
        (Place, Place(city="x", tags={"b", "a"}), {"city": "x", "tags": ["a", "b"]}),
        (Point, Point(1), {"x": 1, "y": 0.5}),
        (frozenset[str], frozenset("cab"), ["a", "b", "c"]),
        (dict[int, int], {1: 2}, {"1": 2}),
        (tuple[int, int], (1, 2), [1, 2]),
        (int, None, None),
    ],
)
def test_defaults_are_written_as_a_model_would_send_them(annotation: Any, default: Any, expected: Any) -> None:
    property_ = property_of(annotation, default=default)

    assert property_["default"] == expected


@pytest.mark.parametrize("default", [object(), math.nan, math.inf, Session()])
def test_a_default_that_json_cannot_express_is_left_out(default: Any) -> None:
    assert property_of(float, default=default) == {"type": "number"}


def test_the_description_of_a_field_overrides_the_docstring() -> None:
    def find(
        near: Annotated[str | None, Field(description="By Field.")] = None,
        from_: Annotated[str, Field(alias="from")] = "x",
        to: Annotated[str, Field(validation_alias=AliasChoices("to_city", "to"))] = "y",
        place: Place | None = None,
        size: int = Field(3, le=9),
    ) -> None:
        """Find.

        Args:
            near: By docstring.
            from_: Start.
            to: End.
            place: Which.
            size: How many.
        """

    properties = parameters_of(find)["properties"]

    assert {name: part["description"] for name, part in properties.items()} == {
        "near": "By Field.",
        "from": "Start.",
        "to_city": "End.",
        "place": "Which.",
        "size": "How many.",
    }
    assert properties["size"]["default"] == 3


def test_receivers_and_parameters_filled_by_a_partial_are_left_out() -> None:
    class Client:
        @tool
        def get(self, path: str) -> None: ...

        @tool
        @classmethod
        def make(cls, path: str) -> None: ...

        def __call__(self, path: str) -> None: ...

    def fetch(session: Session, path: str) -> None: ...

    by_name = functools.partial(fetch, session=Session())
    only_path = {"path": {"type": "string"}}
    for function in (Client().get, Client.make, tool(Client()), tool(functools.partial(fetch, Session()), name="a")):
        assert Tool.of(function).schema()["function"]["parameters"]["properties"] == only_path
    assert parameters_of(by_name)["properties"] == only_path


def test_arguments_without_names_are_a_list() -> None:
    def add(first: int, *others: int, **named: Place) -> None:
        """Add.

        Args:
            first: One.
            *others: More.
            **named: Which.
        """

    parameters = parameters_of(add)

    assert parameters["properties"]["others"] == {
        "type": "array",
        "items": {"type": "integer"},
        "description": "More.",
    }
    assert parameters["additionalProperties"] == {"$ref": "#/$defs/Place"}
    assert set(parameters["$defs"]) == {"Place"}


def test_any_name_is_accepted_if_the_function_has_var_keyword() -> None:
    def call(*args, **kwargs): ...  # type: ignore[no-untyped-def] # that is the point

    assert parameters_of(call) == {"type": "object", "properties": {}, "additionalProperties": True}


def test_the_keys_of_an_unpacked_typed_dict_are_properties() -> None:
    def plan(city: str, **window: Unpack[Window]) -> None: ...

    parameters = parameters_of(plan)

    assert list(parameters["properties"]) == ["city", "start", "days"]
    assert parameters["required"] == ["city", "start"]
    assert parameters["additionalProperties"] is False


def test_an_optional_parameter_that_json_cannot_give_is_left_out() -> None:
    def fetch(path: str, session: InstanceOf[Session] | None = None, key: Any = None) -> None: ...

    assert list(parameters_of(fetch)["properties"]) == ["path", "key"]


def test_a_required_parameter_that_json_cannot_give_is_named() -> None:
    def fetch(path: str, session: InstanceOf[Session]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"tool 'fetch': the parameter 'session' has no JSON Schema .*partial"):
        tool(fetch).tool.schema()


def test_an_annotation_that_is_not_defined_is_named() -> None:
    def fetch(path: str) -> None: ...

    fetch.__annotations__["path"] = "Nowhere"

    with pytest.raises(ConfigurationError, match=r"tool 'fetch': the annotation of 'path'.*'Nowhere'"):
        tool(fetch).tool.schema()


@pytest.mark.parametrize("name", ["get.weather", "x" * 65, "wetter_für_mich", "a:b"])
def test_a_name_that_openai_refuses_is_an_error_of_schema(name: str) -> None:
    decorated = tool(get_weather, name=name)

    with pytest.raises(ConfigurationError, match=r"OpenAI does not take the name .*tool\(name="):
        decorated.tool.schema()


def test_an_unknown_api_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'chat' or 'responses'"):
        tool(get_weather).tool.schema(api="assistants")  # type: ignore[arg-type] # that is the point


def test_a_model_alone_has_a_schema() -> None:
    class WeatherRequest(BaseModel):
        """Get the weather.

        Attributes:
            city: Where.
        """

        city: str
        days: Annotated[int, Field(le=7, description="How long.")] = 1

    assert schema_from_model(WeatherRequest, name="get_weather") == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where."},
                    "days": {"type": "integer", "maximum": 7, "default": 1, "description": "How long."},
                },
                "required": ["city"],
            },
        },
    }
    responses = schema_from_model(WeatherRequest, description="Tell.", api="responses")
    assert (responses["name"], responses["description"]) == ("WeatherRequest", "Tell.")


def test_the_root_of_a_recursive_model_is_an_object() -> None:
    parameters = schema_from_model(Node)["function"]["parameters"]

    assert parameters["type"] == "object"
    Draft202012Validator(parameters).validate({"value": 1, "next": {"value": 2, "next": None}})
    assert not Draft202012Validator(parameters).is_valid({"value": 1, "next": {"value": "x"}})


@pytest.mark.parametrize("model", [RootModel[int], Point, int, None])
def test_a_model_is_a_class_with_fields(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="a pydantic 2 model is needed"):
        schema_from_model(model)


STABLE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tests.schema.test_schema import Place, find, schema_from_model, tool
print(json.dumps([tool(find).tool.schema(), tool(find).tool.schema(strict=True), schema_from_model(Place)]))
"""


def find(
    place: Place,
    words: Annotated[set[str], Field(description="Words.")] = frozenset({"a", "b", "c", "d"}),  # type: ignore[assignment] # it is never called
    unit: Unit = Unit.CELSIUS,
) -> None:
    """Find.

    Args:
        place: Where.
        words: Not these.
        unit: Which.
    """


def test_schemas_are_the_same_in_every_run() -> None:
    root = Path(__file__).parents[2]
    printed = {
        subprocess.run(
            [sys.executable, "-c", STABLE, str(root)],
            cwd=Path(otel_tools.__file__).parents[1],
            env={"PYTHONHASHSEED": str(seed), "PATH": ""},
            check=True,
            capture_output=True,
        ).stdout
        for seed in range(3)
    }

    assert len(printed) == 1
    assert json.loads(printed.pop())[0] == tool(find).tool.schema()
