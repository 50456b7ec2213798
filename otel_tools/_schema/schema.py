"""The schema of a tool as sent to the model: its name, description, and a JSON Schema of its arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, RootModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from otel_tools._arguments.args_model import arguments_class
from otel_tools._arguments.parameters import EMPTY
from otel_tools._schema.docstrings import parse_docstring
from otel_tools._schema.formats import check_description, check_format, tool_entry
from otel_tools._schema.json_schema import (
    SchemaGenerator,
    json_value,
    with_inlined_root,
    without_noise,
    without_unused_definitions,
)
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from otel_tools._arguments.parameters import ArgumentsModel, Parameter
    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._schema.formats import Api

__all__ = ["schema_of", "schema_of_model"]


def schema_of(
    info: ToolInfo, docstring: str | None, *, description: str | None = None, api: Api = "chat", strict: bool = False
) -> dict[str, Any]:
    """The tool's schema as sent to the model: one entry of the ``tools`` of a request.

    Args:
        info: The tool.
        docstring: Describes the tool and its parameters.
        description: Describes the tool in place of the docstring.
        api: Whose form the entry has: that of Chat Completions or of Responses.
        strict: Whether the server forces the model to follow the schema.

    Raises:
        ConfigurationError: OpenAI does not accept the name, or JSON or, with ``strict``, strict mode cannot express a
            parameter.
    """
    subject = f"tool {info.tool!r}"
    check_format(subject, info.tool, api)
    signature = info.arguments.signature.parameters
    without_json_default: set[str] = set()
    if info.declared is None:
        model = info.argument_validator.get().model
        names = {*signature, *(parameter.name for parameter in model.parameters)}
        text, descriptions = parse_docstring(docstring, names)
        parameters = _signature_schema(subject, model, descriptions, without_json_default)
    else:
        declared = arguments_class(info.tool, info.declared)
        text, descriptions = parse_docstring(docstring, {*signature, *declared.model_fields})
        model_text, parameters = _model_schema(subject, declared, descriptions)
        text = text or model_text
    if strict:
        starred = (f"**{name}" for name, parameter in signature.items() if parameter.kind is parameter.VAR_KEYWORD)
        var_keyword = next(starred, "**kwargs")
        parameters = _strict(subject, parameters, without_json_default=without_json_default, var_keyword=var_keyword)
    check_description(subject, description or text)
    return tool_entry(info.tool, description or text, parameters, api=api, strict=strict)


def schema_of_model(
    model: type[BaseModel], name: str | None, description: str | None, *, api: Api, strict: bool
) -> dict[str, Any]:
    """Implements `schema_from_model`, which imports this module, and so pydantic, only when it is called."""
    if not isinstance(model, type) or not issubclass(model, BaseModel) or issubclass(model, RootModel):
        raise ConfigurationError(f"schema_from_model({model!r}): a pydantic 2 model is needed, a class with fields")
    name = model.__name__ if name is None else name
    subject = f"schema_from_model({model.__name__})"
    check_format(subject, name, api)
    text, parameters = _model_schema(subject, model, {})
    if strict:
        parameters = _strict(subject, parameters)
    check_description(subject, description or text)
    return tool_entry(name, description or text, parameters, api=api, strict=strict)


def _signature_schema(
    subject: str, model: ArgumentsModel, descriptions: Mapping[str, str], without_json_default: set[str]
) -> dict[str, Any]:
    """The schema of a function's arguments.

    Args:
        subject: The tool, for messages.
        model: The parameters.
        descriptions: Descriptions of parameters.
        without_json_default: The names of properties with a default that JSON cannot express are added to it.
    """
    adapters = [("named", model.adapter)]
    if model.var_keyword_adapter is not None:
        adapters.append(("extra", model.var_keyword_adapter))

    def generate() -> dict[str, Any]:
        if len(adapters) == 1:
            return model.adapter.json_schema(schema_generator=SchemaGenerator)
        schemas, shared = TypeAdapter.json_schemas(
            [(name, "validation", adapter) for name, adapter in adapters], schema_generator=SchemaGenerator
        )
        definitions = shared.get("$defs", {})
        root = with_inlined_root({**schemas["named", "validation"], "$defs": definitions})
        root["additionalProperties"] = schemas["extra", "validation"].get("additionalProperties", True)
        return without_unused_definitions({**root, "$defs": definitions})

    schema = _generated(subject, generate, model.parameters)
    schema.pop("title", None)
    if model.has_var_keyword and model.var_keyword_adapter is None:
        schema["additionalProperties"] = True
    properties = schema.setdefault("properties", {})
    if model.var_positional is not None and model.var_positional in properties:
        _add_description(properties[model.var_positional], descriptions.get(model.var_positional))
    for key, parameter in _properties_of(model.parameters, properties):
        _add_description(properties[key], descriptions.get(parameter.name))
        if parameter.default is not EMPTY:
            try:
                properties[key].setdefault("default", json_value(parameter.default))
            except (PydanticSerializationError, ValueError, TypeError, RecursionError):
                without_json_default.add(key)
    return schema


def _model_schema(
    subject: str, model: type[BaseModel], descriptions: Mapping[str, str]
) -> tuple[str | None, dict[str, Any]]:
    """The description of a model, and the schema of arguments that are its fields."""
    own = parse_docstring(model.__doc__, model.model_fields)
    schema = _generated(subject, lambda: model.model_json_schema(schema_generator=SchemaGenerator), ())
    schema = with_inlined_root(schema)
    if schema.get("type") != "object":
        raise ConfigurationError(f"{subject}: the schema of the arguments has to be that of an object")
    for keyword in ("title", "description"):
        schema.pop(keyword, None)
    properties = schema.setdefault("properties", {})
    for name, field in model.model_fields.items():
        key = next((item for item in (*_aliases_of(field), name) if item in properties), None)
        if key is not None:
            _add_description(
                properties[key], descriptions.get(name) or descriptions.get(key) or own.parameters.get(name)
            )
    return own.text, schema


def _generated(
    subject: str, generate: Callable[[], dict[str, Any]], parameters: Collection[Parameter]
) -> dict[str, Any]:
    """The schema; where there can be none, an error that names the parameter that prevents it."""
    try:
        # A copy shares no object between two places, and proves that the schema is JSON.
        schema: dict[str, Any] = json.loads(json.dumps(without_noise(generate()), allow_nan=False))
    except Exception as error:  # noqa: BLE001 - pydantic raises many classes, and the user's hooks raise their own
        failure, culprit = error, ""
    else:
        return schema
    for parameter in parameters:
        try:
            alone = TypeAdapter(parameter.annotation).json_schema(schema_generator=SchemaGenerator)
            json.dumps(without_noise(alone), allow_nan=False)
        except Exception as error:  # noqa: BLE001 - as above
            failure, culprit = error, f" {parameter.name!r}"
            break
    reason = str(failure).partition("\n")[0].rstrip(".")
    raise ConfigurationError(
        f"{subject}: the parameter{culprit} has no JSON Schema ({reason}), and a model can give JSON alone: use a "
        "JSON-shaped type or a pydantic model, give the parameter a default, or fill it with functools.partial"
    ) from failure


def _add_description(part: dict[str, Any], description: str | None) -> None:
    """Add a description where the ``Field`` has none."""
    if description is not None:
        part.setdefault("description", description)


def _properties_of(parameters: Collection[Parameter], properties: dict[str, Any]) -> Iterator[tuple[str, Parameter]]:
    """The key of each parameter that is a property, and the parameter."""
    for parameter in parameters:
        fields = [item for item in getattr(parameter.annotation, "__metadata__", ()) if isinstance(item, FieldInfo)]
        names = [parameter.alias, *(name for field in fields for name in _aliases_of(field)), parameter.name]
        if key := next((name for name in names if name in properties), None):
            yield key, parameter


def _aliases_of(field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    for item in alias.choices if isinstance(alias, AliasChoices) else (alias, field.alias):
        if isinstance(item, str):
            yield item


def _strict(subject: str, parameters: dict[str, Any], **known: Any) -> dict[str, Any]:
    from otel_tools._schema.strict import strict_schema  # noqa: PLC0415 - imports openai

    return strict_schema(subject, parameters, **known)
