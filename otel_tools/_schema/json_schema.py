"""Generates JSON Schemas with pydantic: the same in every run, without titles, and valid JSON throughout."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticOmit, PydanticSerializationError, to_jsonable_python

if TYPE_CHECKING:
    from pydantic_core import core_schema

__all__ = [
    "SchemaGenerator",
    "json_value",
    "subschemas",
    "with_inlined_root",
    "without_noise",
    "without_unused_definitions",
]

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_MAPS_OF_SCHEMAS: Final = ("properties", "patternProperties", "dependentSchemas", "$defs")
_LISTS_OF_SCHEMAS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE_SCHEMAS: Final = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_REF: Final = "#/$defs/"


class SchemaGenerator(GenerateJsonSchema):
    """pydantic's generator with two differences.

    It does not repeat names as titles, because a model pays for each token. It leaves out an optional parameter that no
    JSON can fill, such as a session.
    """

    # Both cases are handled here, so pydantic need not warn of them.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Never."""
        return False

    def encode_default(self, dft: Any) -> Any:
        """A default as JSON."""
        return json_value(dft)

    def typed_dict_field_schema(self, schema: core_schema.TypedDictField) -> dict[str, Any]:
        """The schema of a key; it is omitted where JSON cannot express the key and it is not required."""
        try:
            generated = super().typed_dict_field_schema(schema)
        except PydanticInvalidForJsonSchema:
            if schema.get("required", True):
                raise
            raise PydanticOmit from None
        inner: Any = schema["schema"]
        while inner["type"] == "default":
            inner = inner["schema"]
        if generated.get("type") == "null" and inner["type"] == "nullable":
            raise PydanticOmit  # only the null of "Session | None" is left
        return generated


def json_value(value: Any) -> Any:
    """A Python value as a model would send it; sets are sorted, so that their order is the same in every run.

    Raises:
        PydanticSerializationError: JSON cannot express it.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    elif isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(name): json_value(part) for name, part in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(json_value, value), key=json.dumps)
    if isinstance(value, (list, tuple)):
        return [json_value(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticSerializationError(f"{value} is no JSON")
    return to_jsonable_python(value)


def _key(name: Any) -> str:
    key = json_value(name)
    if not isinstance(key, str):
        # pydantic writes the keys 1, True and None as strings of its own.
        (key,) = to_jsonable_python({name: None})
    return cast("str", key)


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all its subschemas, outermost first. Data in it, such as a default, is not a schema."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword in _MAPS_OF_SCHEMAS:
        if isinstance(inner := schema.get(keyword), dict):
            for each in inner.values():
                yield from subschemas(each)
    for keyword in _LISTS_OF_SCHEMAS:
        if isinstance(inner := schema.get(keyword), list):
            for each in inner:
                yield from subschemas(each)
    for keyword in _SINGLE_SCHEMAS:
        yield from subschemas(schema.get(keyword))


def without_noise(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove from a schema, in place, what tells nothing: infinite bounds, and titles that repeat names."""
    for each in subschemas(schema):
        for bound in _BOUNDS:
            if isinstance(limit := each.get(bound), float) and not math.isfinite(limit):
                del each[bound]
        for name, definition in each.get("$defs", {}).items():
            if definition.get("title") in (name, name.rpartition("__")[2], *name.split("__")):
                del definition["title"]
    return schema


def with_inlined_root(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its root inlined: APIs refuse a root that is a reference, as that of a recursive model is."""
    # Older versions of pydantic put the reference into an allOf.
    (reference,) = schema.get("allOf", [schema])[:1]
    if "$ref" not in reference:
        return schema
    root = dict(schema["$defs"][reference["$ref"].removeprefix(_REF)])
    return without_unused_definitions({**root, "$defs": schema["$defs"]})


def without_unused_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the definitions that nothing refers to."""
    definitions = schema.get("$defs")
    if definitions is None:
        return schema
    body = {keyword: part for keyword, part in schema.items() if keyword != "$defs"}
    used: set[str] = set()
    todo = [body]
    while todo:
        for each in subschemas(todo.pop()):
            name = str(each.get("$ref", "")).removeprefix(_REF)
            if name in definitions and name not in used:
                used.add(name)
                todo.append(definitions[name])
    kept = {name: part for name, part in definitions.items() if name in used}
    return {**body, "$defs": kept} if kept else body
