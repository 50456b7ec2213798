"""JSON Schema as pydantic makes it, but the same in every run, without titles, and JSON to the last number."""

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

__all__ = ["Generator", "as_json", "inlined", "reachable", "schemas_in", "tidied"]

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OF_SCHEMAS: Final = ("properties", "patternProperties", "dependentSchemas", "$defs")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE: Final = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_REF: Final = "#/$defs/"


class Generator(GenerateJsonSchema):
    """pydantic's generator with two differences.

    Names are not repeated as titles: a model pays for each word. An optional parameter that no JSON can fill, such as a
    session, is left out.
    """

    # Both are no news to who looks at the schema, and what they warn of is handled here.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """No."""
        return False

    def encode_default(self, dft: Any) -> Any:
        """A default as JSON."""
        return as_json(dft)

    def typed_dict_field_schema(self, schema: core_schema.TypedDictField) -> dict[str, Any]:
        """The schema of a key; none where it may be left out and JSON cannot give it."""
        try:
            made = super().typed_dict_field_schema(schema)
        except PydanticInvalidForJsonSchema:
            if schema.get("required", True):
                raise
            raise PydanticOmit from None
        inner: Any = schema["schema"]
        while inner["type"] == "default":
            inner = inner["schema"]
        if made.get("type") == "null" and inner["type"] == "nullable":
            raise PydanticOmit  # of "Session | None" the null is left
        return made


def as_json(value: Any) -> Any:
    """A value as a model would send it; sets in an order that does not change from run to run.

    Raises:
        PydanticSerializationError: JSON cannot say it.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    elif isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(name): as_json(part) for name, part in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(as_json, value), key=json.dumps)
    if isinstance(value, (list, tuple)):
        return [as_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticSerializationError(f"{value} is no JSON")
    return to_jsonable_python(value)


def _key(name: Any) -> str:
    key = as_json(name)
    if not isinstance(key, str):
        # Python's 1, True and None are other keys in JSON, as pydantic writes them.
        (key,) = to_jsonable_python({name: None})
    return cast("str", key)


def schemas_in(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all in it, outermost first; what is only data, as a default, is none."""
    if not isinstance(schema, dict):
        return
    yield schema
    for word in _OF_SCHEMAS:
        if isinstance(inner := schema.get(word), dict):
            for each in inner.values():
                yield from schemas_in(each)
    for word in _LISTS:
        if isinstance(inner := schema.get(word), list):
            for each in inner:
                yield from schemas_in(each)
    for word in _SINGLE:
        yield from schemas_in(schema.get(word))


def tidied(schema: dict[str, Any]) -> dict[str, Any]:
    """Take out of a schema, in place, what says nothing: bounds at infinity, and titles that repeat names."""
    for each in schemas_in(schema):
        for bound in _BOUNDS:
            if isinstance(limit := each.get(bound), float) and not math.isfinite(limit):
                del each[bound]
        for name, definition in each.get("$defs", {}).items():
            if definition.get("title") in (name, name.rpartition("__")[2], *name.split("__")):
                del definition["title"]
    return schema


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its root in place: that of a recursive model is one more definition, which APIs do not take."""
    # Older versions of pydantic put the reference into an allOf.
    (reference,) = schema.get("allOf", [schema])[:1]
    if "$ref" not in reference:
        return schema
    root = dict(schema["$defs"][reference["$ref"].removeprefix(_REF)])
    return reachable({**root, "$defs": schema["$defs"]})


def reachable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without definitions that nothing refers to any more."""
    definitions = schema.get("$defs")
    if definitions is None:
        return schema
    body = {word: part for word, part in schema.items() if word != "$defs"}
    used: set[str] = set()
    todo = [body]
    while todo:
        for each in schemas_in(todo.pop()):
            name = str(each.get("$ref", "")).removeprefix(_REF)
            if name in definitions and name not in used:
                used.add(name)
                todo.append(definitions[name])
    kept = {name: part for name, part in definitions.items() if name in used}
    return {**body, "$defs": kept} if kept else body
