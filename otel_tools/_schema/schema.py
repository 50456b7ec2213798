"""What the model is told of a tool: its name, what it does, and a JSON Schema of its arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, RootModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from otel_tools._arguments.args_model import arguments_class
from otel_tools._arguments.parameters import EMPTY
from otel_tools._schema.docstrings import described
from otel_tools._schema.formats import check_format, formatted
from otel_tools._schema.json_schema import Generator, as_json, inlined, reachable, tidied
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
    """The tool's schema as sent to the model: one of the ``tools`` of a request.

    Args:
        info: The tool.
        docstring: Describes the tool and its parameters.
        description: Describes the tool in place of the docstring.
        api: Whose form it has: that of Chat Completions or of Responses.
        strict: Whether the server holds the model to it.

    Raises:
        ConfigurationError: The name is none that OpenAI takes, a parameter is nothing that JSON can give or, with
            ``strict``, that strict mode can express.
    """
    named = f"tool {info.tool!r}"
    check_format(named, info.tool, api)
    signature = info.arguments.signature.parameters
    unsaid: set[str] = set()
    if info.declared is None:
        model = info.argument_validator.get().model
        names = {*signature, *(parameter.name for parameter in model.parameters)}
        text, said = described(docstring, names)
        parameters = _of_signature(named, model, said, unsaid)
    else:
        declared = arguments_class(info.tool, info.declared)
        text, said = described(docstring, {*signature, *declared.model_fields})
        of_the_model, parameters = _of_model(named, declared, said)
        text = text or of_the_model
    if strict:
        beyond = next((f"**{name}" for name, each in signature.items() if each.kind is each.VAR_KEYWORD), "**kwargs")
        parameters = _strict(named, parameters, unsaid=unsaid, beyond=beyond)
    return formatted(info.tool, description or text, parameters, api=api, strict=strict)


def schema_of_model(
    model: type[BaseModel], name: str | None, description: str | None, *, api: Api, strict: bool
) -> dict[str, Any]:
    """As `schema_from_model`, which imports this module, and so pydantic, only when it is called."""
    if not isinstance(model, type) or not issubclass(model, BaseModel) or issubclass(model, RootModel):
        raise ConfigurationError(f"schema_from_model({model!r}): a pydantic model is needed, a class with fields")
    name = model.__name__ if name is None else name
    named = f"schema_from_model({model.__name__})"
    check_format(named, name, api)
    text, parameters = _of_model(named, model, {})
    if strict:
        parameters = _strict(named, parameters)
    return formatted(name, description or text, parameters, api=api, strict=strict)


def _of_signature(named: str, model: ArgumentsModel, said: Mapping[str, str], unsaid: set[str]) -> dict[str, Any]:
    """The schema of a function's arguments.

    Args:
        named: The tool, for messages.
        model: Its parameters.
        said: Descriptions of parameters.
        unsaid: Takes up the names of those with a default that JSON cannot say.
    """
    adapters = [("named", model.adapter)]
    if model.var_keyword_adapter is not None:
        adapters.append(("extra", model.var_keyword_adapter))

    def make() -> dict[str, Any]:
        if len(adapters) == 1:
            return model.adapter.json_schema(schema_generator=Generator)
        made, shared = TypeAdapter.json_schemas(
            [(name, "validation", adapter) for name, adapter in adapters], schema_generator=Generator
        )
        definitions = shared.get("$defs", {})
        root = inlined({**made["named", "validation"], "$defs": definitions})
        root["additionalProperties"] = made["extra", "validation"].get("additionalProperties", True)
        return reachable({**root, "$defs": definitions})

    schema = _made(named, make, model.parameters)
    schema.pop("title", None)
    if model.has_var_keyword and model.var_keyword_adapter is None:
        schema["additionalProperties"] = True
    properties = schema.setdefault("properties", {})
    if model.var_positional is not None and model.var_positional in properties:
        _describe(properties[model.var_positional], said.get(model.var_positional))
    for key, parameter in _keys(model.parameters, properties):
        _describe(properties[key], said.get(parameter.name))
        if parameter.default is not EMPTY:
            try:
                properties[key].setdefault("default", as_json(parameter.default))
            except (PydanticSerializationError, ValueError, TypeError, RecursionError):
                unsaid.add(key)
    return schema


def _of_model(named: str, model: type[BaseModel], said: Mapping[str, str]) -> tuple[str | None, dict[str, Any]]:
    """What a model says of itself, and the schema of arguments that are its fields."""
    own = described(model.__doc__, model.model_fields)
    schema = _made(named, lambda: model.model_json_schema(schema_generator=Generator), ())
    schema = inlined(schema)
    if schema.get("type") != "object":
        raise ConfigurationError(f"{named}: the schema of the arguments has to be that of an object")
    for word in ("title", "description"):
        schema.pop(word, None)
    properties = schema.setdefault("properties", {})
    for name, field in model.model_fields.items():
        key = next((each for each in (*_choices(field), name) if each in properties), None)
        if key is not None:
            _describe(properties[key], said.get(name) or said.get(key) or own.parameters.get(name))
    return own.text, schema


def _made(named: str, make: Callable[[], dict[str, Any]], parameters: Collection[Parameter]) -> dict[str, Any]:
    """The schema; where there can be none, an error that says because of which parameter."""
    try:
        # A copy, so that no two places share what is changed in one, and a proof that it is JSON.
        made: dict[str, Any] = json.loads(json.dumps(tidied(make()), allow_nan=False))
    except Exception as error:  # noqa: BLE001 - pydantic raises many kinds, and hooks of the user's raise their own
        failure, culprit = error, ""
    else:
        return made
    for parameter in parameters:
        try:
            alone = TypeAdapter(parameter.annotation).json_schema(schema_generator=Generator)
            json.dumps(tidied(alone), allow_nan=False)
        except Exception as error:  # noqa: BLE001 - as above
            failure, culprit = error, f" {parameter.name!r}"
            break
    reason = str(failure).partition("\n")[0].rstrip(".")
    raise ConfigurationError(
        f"{named}: the parameter{culprit} has no JSON Schema ({reason}), and a model can give JSON alone: use a "
        "JSON-shaped type or a pydantic model, give the parameter a default, or fill it with functools.partial"
    ) from failure


def _describe(part: dict[str, Any], description: str | None) -> None:
    """Add a description where a ``Field`` has none."""
    if description is not None:
        part.setdefault("description", description)


def _keys(parameters: Collection[Parameter], properties: dict[str, Any]) -> Iterator[tuple[str, Parameter]]:
    """The properties that are parameters."""
    for parameter in parameters:
        fields = [each for each in getattr(parameter.annotation, "__metadata__", ()) if isinstance(each, FieldInfo)]
        names = [parameter.alias, *(name for field in fields for name in _choices(field)), parameter.name]
        if key := next((name for name in names if name in properties), None):
            yield key, parameter


def _choices(field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    for each in alias.choices if isinstance(alias, AliasChoices) else (alias, field.alias):
        if isinstance(each, str):
            yield each


def _strict(named: str, parameters: dict[str, Any], **known: Any) -> dict[str, Any]:
    from otel_tools._schema.strict import strict_schema  # noqa: PLC0415 - imports openai

    return strict_schema(named, parameters, **known)
