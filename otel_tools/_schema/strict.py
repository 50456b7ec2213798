"""Schemas for strict mode: the subset of JSON Schema that OpenAI's servers can force a model to follow.

Every object is closed and every property is required. An unsupported keyword that only narrows a value moves into the
description. One that gives the value its structure is an error.
The rules: https://platform.openai.com/docs/guides/structured-outputs
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from otel_tools._schema.json_schema import subschemas, without_unused_definitions
from otel_tools._schema.limits import check_limits
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["strict_schema"]

_STRUCTURE: Final = {"$defs", "$ref", "type", "properties", "required", "additionalProperties", "items", "anyOf"}
_DESCRIPTIVE: Final = {"title", "description"}
_LIMITS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"}
_SUPPORTED: Final = _STRUCTURE | _DESCRIPTIVE | _LIMITS | {"enum", "const", "pattern", "format"}
_FORMATS: Final = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_UNSUPPORTED_IN_PATTERNS: Final = ("(?=", "(?!", "(?<", "(?P", "\\1", "\\2")
_UNSUPPORTED: Final = (
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "patternProperties",
)
_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_REF: Final = "#/$defs/"


def strict_schema(
    subject: str, schema: dict[str, Any], *, without_json_default: Collection[str] = (), var_keyword: str = "**kwargs"
) -> dict[str, Any]:
    """The schema of the arguments in strict mode, made by the ``openai`` package's own helper.

    Args:
        subject: The tool, for messages.
        schema: The schema of the arguments.
        without_json_default: Parameters with a default that JSON cannot express.
        var_keyword: The parameter that takes any name, for messages.

    Raises:
        ConfigurationError: Strict mode cannot express a parameter.
    """
    import openai  # noqa: PLC0415 - strict schemas alone need it
    from pydantic import BaseModel  # noqa: PLC0415 - as above

    prepared = _StrictSchema(subject, schema, without_json_default, var_keyword).schema

    class Arguments(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return prepared

    made = openai.pydantic_function_tool(Arguments)["function"]["parameters"]
    # A copy: the helper may put one object in two places.
    finished = without_unused_definitions(json.loads(json.dumps(made)))
    check_limits(subject, finished)
    return finished


class _StrictSchema:
    """A schema without the parts that the helper leaves in and the servers refuse."""

    def __init__(
        self, subject: str, schema: dict[str, Any], without_json_default: Collection[str], var_keyword: str
    ) -> None:
        self.schema: dict[str, Any] = json.loads(json.dumps(schema))
        self._subject = subject
        self._definitions: dict[str, Any] = self.schema.get("$defs", {})
        self._seen: set[str] = set()
        if self.schema.get("additionalProperties", False) is not False:
            self._refuse(var_keyword, "takes arguments of any name")
        for name, part in self.schema["properties"].items():
            if name in without_json_default and not self._accepts_null(part):
                self._refuse(name, "has a default that is no JSON, and in strict mode it must be given")
            self._prepare(part, name)
        self._keep_cycles()

    def _refuse(self, path: str, reason: str) -> NoReturn:
        raise ConfigurationError(
            f"{self._subject}: strict mode cannot express {path!r}: it {reason}; give it another type or default, such "
            "as a pydantic model or None, or use strict=False"
        )

    def _accepts_null(self, part: dict[str, Any]) -> bool:
        return part.get("type") == "null" or any(self._accepts_null(each) for each in part.get("anyOf", ()))

    def _prepare(self, part: Any, path: str) -> None:
        if not isinstance(part, dict) or not part.keys() & {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"}:
            self._refuse(path, "may be anything")
        if len(part.get("allOf", ())) == 1:
            part.update(part.pop("allOf")[0])
        for keyword in _UNSUPPORTED:
            if keyword in part:
                self._refuse(path, f"has {keyword!r} in its schema")
        self._prepare_containers(part, path)
        if "oneOf" in part:
            # The alternatives differ in a constant, so no value fits two of them.
            part["anyOf"] = part.pop("oneOf")
            part.pop("discriminator", None)
        for each in part.get("anyOf", ()):
            self._prepare(each, path)
        name = str(part.get("$ref", "")).removeprefix(_REF)
        if name in self._definitions and name not in self._seen:
            self._seen.add(name)
            self._prepare(self._definitions[name], path)
        if "type" not in part and ("enum" in part or "const" in part):
            types = [_TYPES.get(type(each)) for each in part.get("enum", [part.get("const")])]
            if None in types:
                self._refuse(path, "has values that are lists or objects")
            part["type"] = types[0] if len(set(types)) == 1 else list(dict.fromkeys(types))
        self._describe_unsupported(part)

    def _prepare_containers(self, part: dict[str, Any], path: str) -> None:
        types = part.get("type", ())
        types = [types] if isinstance(types, str) else types
        if "object" in types:
            if part.get("additionalProperties", False) is not False or "properties" not in part:
                self._refuse(path, "is an object with any keys")
            for name, each in part["properties"].items():
                self._prepare(each, f"{path}.{name}")
        if "array" in types:
            if "prefixItems" in part:
                self._refuse(path, "is a tuple")
            if not part.get("items"):
                self._refuse(path, "is a list of anything")
            self._prepare(part["items"], f"{path}.*")

    def _describe_unsupported(self, part: dict[str, Any]) -> None:
        """Move the keywords that strict mode does not support into the description."""
        sentences = [part["description"]] if part.get("description") else []
        for keyword in [
            keyword for keyword in part if keyword not in _SUPPORTED or self._is_unsupported(keyword, part[keyword])
        ]:
            value = part.pop(keyword)
            if keyword != "default" or value is not None:
                sentences.append(f"{keyword[0].upper()}{keyword[1:]}: {json.dumps(value, ensure_ascii=False)}.")
        if sentences:
            part["description"] = " ".join(sentences)

    def _is_unsupported(self, keyword: str, value: Any) -> bool:
        if keyword == "format":
            return value not in _FORMATS
        return keyword == "pattern" and any(each in value for each in _UNSUPPORTED_IN_PATTERNS)

    def _keep_cycles(self) -> None:
        """Wrap a recursive reference that has other keywords beside it: the helper would expand it for ever."""
        for part in list(subschemas(self.schema)):
            name = str(part.get("$ref", "")).removeprefix(_REF)
            if len(part) > 1 and name in self._definitions and self._reaches(name, name):
                part["anyOf"] = [{"$ref": part.pop("$ref")}]

    def _reaches(self, start: str, goal: str) -> bool:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for each in subschemas(self._definitions[todo.pop()]):
                name = str(each.get("$ref", "")).removeprefix(_REF)
                if name == goal:
                    return True
                if name in self._definitions and name not in seen:
                    seen.add(name)
                    todo.append(name)
        return False
