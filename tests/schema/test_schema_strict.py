"""Strict mode: what it can express is expressed, what it cannot is named."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal

import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from otel_tools import ConfigurationError, tool
from otel_tools._schema.from_model import schema_from_model


class Place(BaseModel):
    city: str
    country: str = "FR"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    city: str


class Deep(BaseModel):
    place: Place
    more: dict[str, int]


class Node(BaseModel):
    value: int
    child: Annotated[Node | None, Field(description="Below.")] = None
    again: list[Annotated[Node, Field(description="Beside.")]] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def parameters_of(function: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = tool(function).tool.schema(strict=True)["function"]["parameters"]
    return parameters


def property_of(annotation: Any, **default: Any) -> Any:
    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    function.__defaults__ = tuple(default.values()) or None
    return parameters_of(function)["properties"]["value"]


def test_both_apis_have_strict_true() -> None:
    decorated = tool(lambda: None, name="ping")

    assert decorated.tool.schema(strict=True)["function"]["strict"] is True
    assert decorated.tool.schema(strict=True, api="responses")["strict"] is True
    assert "strict" not in decorated.tool.schema()["function"]


def test_every_property_is_required_and_every_object_closed() -> None:
    def find(place: Place, near: int | None = None, limit: int = 5) -> None: ...

    parameters = parameters_of(find)

    assert parameters["required"] == ["place", "near", "limit"]
    assert parameters["additionalProperties"] is False
    assert parameters["$defs"]["Place"]["required"] == ["city", "country"]
    assert parameters["$defs"]["Place"]["additionalProperties"] is False
    assert parameters["properties"]["near"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert parameters["properties"]["limit"] == {"type": "integer", "description": "Default: 5."}


def test_the_schema_equals_the_one_by_openais_helper() -> None:
    class Request(BaseModel):
        city: str
        near: int | None = None
        places: list[Place]

    theirs = json.dumps(openai.pydantic_function_tool(Request)["function"]["parameters"])
    ours = schema_from_model(Request, strict=True)["function"]["parameters"]

    def without_words(part: Any) -> Any:
        if isinstance(part, dict):
            drop = {"title", "default", "description"}
            return {word: without_words(each) for word, each in part.items() if word not in drop}
        return part

    assert without_words(ours) == without_words(json.loads(theirs))


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (set[int], "UniqueItems: true."),
        (Annotated[str, Field(min_length=3, description="A name.")], "A name. MinLength: 3."),
        (
            Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(?!a)", "description": "No a."})],
            'No a. Pattern: "^(?!a)".',
        ),
        (bytes, 'Format: "binary".'),
        (Annotated[str, Field(examples=["x"])], 'Examples: ["x"].'),
    ],
)
def test_constraints_that_strict_mode_does_not_support_are_in_the_description(annotation: Any, words: str) -> None:
    schema = property_of(annotation)

    assert schema["description"] == words
    assert not schema.keys() & {"uniqueItems", "minLength", "pattern", "format", "examples"}


def test_constraints_that_strict_mode_supports_are_kept() -> None:
    assert property_of(Annotated[int, Field(ge=1, le=9)]) == {"type": "integer", "minimum": 1, "maximum": 9}
    assert property_of(Annotated[str, Field(pattern="^a")]) == {"type": "string", "pattern": "^a"}


def test_alternatives_and_values_of_several_types_are_kept() -> None:
    assert property_of(Annotated[Cat | Dog, Field(discriminator="kind")]) == {
        "anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
    }
    assert property_of(Literal["a", 1, None])["type"] == ["string", "integer", "null"]  # noqa: PYI061 - people write it so
    assert {each["type"] for each in property_of(Decimal)["anyOf"]} == {"number", "string"}


def test_a_recursive_model_has_a_finite_schema() -> None:
    parameters = schema_from_model(Node, name="walk", strict=True)["function"]["parameters"]

    node = parameters["$defs"]["Node"]["properties"]
    assert node["child"]["anyOf"] == [{"$ref": "#/$defs/Node"}, {"type": "null"}]
    assert node["again"]["items"] == {"anyOf": [{"$ref": "#/$defs/Node"}], "description": "Beside."}


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (dict[str, int], "'value': it is an object with any keys"),
        (dict, "'value': it is an object with any keys"),
        (Any, "'value': it may be anything"),
        (list, "'value': it is a list of anything"),
        (list[Any], "'value': it is a list of anything"),
        (tuple[int, str], "'value': it is a tuple"),
        (Open, "'value': it is an object with any keys"),
        (Deep, "'value.more': it is an object with any keys"),
        (list[dict[str, int]] | None, "'value.*': it is an object with any keys"),
    ],
)
def test_an_error_names_what_strict_mode_cannot_express(annotation: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        property_of(annotation)

    assert f"tool 'function': strict mode cannot express {why}" in str(failure.value)
    assert "strict=False" in str(failure.value)


def test_a_default_that_is_no_json_is_refused_unless_null_is_accepted() -> None:
    with pytest.raises(ConfigurationError, match="'value': it has a default that is no JSON"):
        property_of(str, default=object())
    assert property_of(str | None, default=object())["anyOf"][1] == {"type": "null"}


def test_var_keyword_is_refused() -> None:
    def call(**options: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"'\*\*options': it takes arguments of any name"):
        parameters_of(call)


def test_var_positional_is_a_list_of_one_type() -> None:
    def add(*values: int) -> None: ...

    assert parameters_of(add)["required"] == ["values"]
