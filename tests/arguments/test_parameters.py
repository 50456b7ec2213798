"""The parameters of a tool, which validation and schemas share."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Optional, TypedDict, Unpack

import pydantic.v1
import pytest
from pydantic import BaseModel, Field

from otel_tools import Tool, ToolSet, tool
from otel_tools._arguments.adapters import result_adapter
from otel_tools._arguments.annotations import NotYetDefined, local_names_of
from otel_tools._arguments.parameters import EMPTY, ArgumentsModel
from otel_tools._arguments.signature_model import model_of_signature
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(BaseModel):
    city: str


class Options(TypedDict):
    limit: int
    sort: NotRequired[str]


def tool_info_of(function: Callable[..., Any]) -> ToolInfo:
    return ToolInfo(
        "tool",
        function,
        asynchronous=False,
        generator=False,
        arguments=Arguments(function),
        local_names=local_names_of(function),
    )


def model_of(function: Callable[..., Any]) -> ArgumentsModel:
    return model_of_signature(tool_info_of(function))


def test_parameters_have_their_types_and_defaults() -> None:
    default: list[int] = []

    def search(query: str, /, unit: Literal["a", "b"] = "a", ids: list[int] = default, *, deep: bool) -> None: ...

    first, unit, ids, deep = model_of(search).parameters

    assert (first.name, first.annotation, first.required, first.positional_only) == ("query", str, True, True)
    assert (unit.annotation, unit.default, unit.required) == (Literal["a", "b"], "a", False)
    assert ids.default is default
    assert (deep.default, deep.required) == (EMPTY, True)
    assert model_of(search).positional == ("query", "unit", "ids")


def test_the_adapter_has_a_schema_with_constraints_aliases_and_the_fields_own_defaults() -> None:
    def order(
        count: Annotated[int, Field(gt=0, description="How many.")],
        from_: Annotated[str, Field(alias="from")] = "here",
        size: int = Field(3, le=9),
    ) -> None: ...

    schema = model_of(order).adapter.json_schema()

    assert schema["additionalProperties"] is False
    assert schema["required"] == ["count"]
    assert schema["properties"]["count"]["exclusiveMinimum"] == 0
    assert schema["properties"]["count"]["description"] == "How many."
    assert set(schema["properties"]) == {"count", "from", "size"}
    assert schema["properties"]["size"]["default"] == 3
    assert [parameter.alias for parameter in model_of(order).parameters] == [None, "from", None]


def test_names_that_a_pydantic_model_cannot_have_are_accepted() -> None:
    def odd(_hidden: int, json: int, model_config: int, copy: int) -> None: ...

    values = {"_hidden": 1, "json": 2, "model_config": 3, "copy": 4}

    assert model_of(odd).adapter.validate_python(values) == values


def test_receivers_and_parameters_filled_by_a_partial_are_left_out() -> None:
    class Client:
        def get(self, path: str, session: object = None, retries: int = 1) -> None: ...

    bound = functools.partial(Client.get, session=object())

    assert [parameter.name for parameter in model_of(Client.get).parameters] == ["path", "session", "retries"]
    assert [parameter.name for parameter in model_of(bound).parameters] == ["path", "retries"]
    assert model_of(bound).partial_keywords == {"session"}


def test_a_default_of_none_accepts_null_and_keeps_the_constraints() -> None:
    def find(near=None) -> None: ...  # type: ignore[no-untyped-def] # the annotation is set below

    # A type checker refuses what many write: a default of None for a type without it.
    find.__annotations__["near"] = Annotated[int, Field(gt=0, description="Metres.")]

    schema = model_of(find).adapter.json_schema()["properties"]["near"]

    assert schema["anyOf"] == [{"description": "Metres.", "exclusiveMinimum": 0, "type": "integer"}, {"type": "null"}]
    assert schema["description"] == "Metres."


def test_the_keys_of_an_unpacked_typed_dict_are_parameters() -> None:
    def search(query: str, **options: Unpack[Options]) -> None: ...

    model = model_of(search)

    assert [(p.name, p.annotation, p.required) for p in model.parameters] == [
        ("query", str, True),
        ("limit", int, True),
        ("sort", str, False),
    ]
    assert not model.has_var_keyword


@pytest.mark.parametrize(
    ("annotation", "single"),
    [
        (Place, Place),
        (Place | None, Place),
        (Annotated[Place, Field(description="Where.")], Place),
        (Place | int, None),
        (list[Place], None),
        (str, None),
    ],
)
def test_a_single_model_is_recognised(annotation: Any, single: Any) -> None:
    def function(place: Any) -> None: ...

    function.__annotations__ = {"place": annotation}

    assert model_of(function).single_model is single


def test_a_model_beside_other_parameters_is_not_single() -> None:
    def function(place: Place, unit: str = "km", *more: int) -> None: ...

    assert model_of(function).single_model is None


def test_a_class_of_the_decorating_function_is_found_at_decoration() -> None:
    @dataclass
    class Local:
        x: int

    def function(value: Local) -> None: ...

    assert model_of(function).adapter.validate_python({"value": {"x": 1}}) == {"value": Local(1)}
    without = ToolInfo("tool", function, asynchronous=False, generator=False, arguments=Arguments(function))
    with pytest.raises(NotYetDefined, match=r"'value'.*'Local'"):
        model_of_signature(without)


def test_a_local_class_and_one_that_is_defined_later_are_found_together() -> None:
    tools = tools_of_a_local_class()
    answers = []
    globals()["LaterThanTheTool"] = type("LaterThanTheTool", (BaseModel,), {"__annotations__": {"y": int}})
    try:
        for decorated in tools:
            properties = decorated.tool.schema()["function"]["parameters"]["properties"]
            assert list(properties) == ["here", "later"]
            answers.append(ToolSet([decorated]).run([asked(decorated.tool.name, here={"x": "1"}, later=[{"y": 2}])]))
    finally:
        del globals()["LaterThanTheTool"]

    contents = [json.loads(answer[0]["content"]) for answer in answers]
    assert [content["data"] for content in contents] == [{"x": 1, "y": 2}] * len(tools)


def tools_of_a_local_class() -> list[Any]:
    class Local(BaseModel):
        x: int

    def plain(here: Local, later: list[LaterThanTheTool]) -> dict[str, int]:  # type: ignore[name-defined] # noqa: F821
        return {"x": here.x, "y": later[0].y}

    def optional(here: Optional["Local"], later: list[LaterThanTheTool] | None = None) -> dict[str, int]:  # type: ignore[name-defined] # noqa: F821, UP037, UP045
        assert here is not None
        assert later is not None
        return plain(here, later)

    return [tool(plain), tool(plain, name="checked", validate="both"), tool(optional), tool(validate=True)(optional)]


def asked(name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


class OldModel(pydantic.v1.BaseModel):
    x: int


@dataclass
class WithOldModel:
    old: OldModel


@pytest.mark.filterwarnings("ignore:Mixing V1 models")
@pytest.mark.parametrize(
    "annotation", [OldModel, list[OldModel], OldModel | None, dict[str, OldModel], WithOldModel], ids=str
)
def test_a_model_of_pydantic_1_is_a_clear_error(annotation: Any) -> None:
    def function(fine: int, old: Any) -> Any:
        return old

    function.__annotations__ |= {"old": annotation, "return": annotation}

    for attempt in (
        lambda: tool(function, validate=True),
        lambda: tool(function, validate="both"),
        lambda: Tool.of(tool(function)).schema(),
        lambda: ToolSet([function]).schemas(),
    ):
        with pytest.raises(ConfigurationError, match="OldModel is a model of pydantic's version 1"):
            attempt()
    with pytest.raises(ConfigurationError, match="a pydantic 2 model is needed"):
        tool(function, args=OldModel)  # type: ignore[arg-type] # as type checkers say


def test_a_class_in_the_closure_is_found_after_decoration_too() -> None:
    class Local(BaseModel):
        x: int

    def function(value: Local) -> Local:
        return Local(x=value.x)

    assert model_of_signature(tool_info_of(function)).single_model is Local


class Socket:
    """Nothing that pydantic knows."""


@pytest.mark.parametrize("annotation", [Socket, list[Socket], 3, "not a type!", dict[str, Socket]])
def test_an_error_names_the_annotation_that_cannot_be_checked(annotation: Any) -> None:
    def function(fine: int, socket: Any) -> None: ...

    function.__annotations__["socket"] = annotation

    with pytest.raises(ConfigurationError, match=r"tool 'tool': the annotation of 'socket'.*typing\.Any"):
        model_of(function)


def test_the_result_is_checked_by_its_annotation() -> None:
    def plain() -> int: ...  # type: ignore[empty-body] # it is never called

    def awaited() -> Awaitable[int]: ...  # type: ignore[empty-body] # as above

    def anything() -> Any: ...

    for function in (plain, awaited):
        adapter = result_adapter(tool_info_of(function))
        assert adapter is not None
        assert adapter.json_schema() == {"type": "integer"}
    assert result_adapter(tool_info_of(anything)) is None


def test_a_result_of_any_class_is_checked_as_an_instance_of_it() -> None:
    def function() -> Socket: ...  # type: ignore[empty-body] # it is never called

    adapter = result_adapter(tool_info_of(function))

    assert adapter is not None
    socket = Socket()
    assert adapter.validate_python(socket) is socket


def test_a_result_without_annotation_cannot_be_checked() -> None:
    def function(): ...  # type: ignore[no-untyped-def] # that is the point

    with pytest.raises(ConfigurationError, match="annotate what the function returns"):
        result_adapter(tool_info_of(function))
