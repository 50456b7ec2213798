"""Strict mode: the part of JSON Schema to which OpenAI's servers can hold a model.

Every object is closed and every property required. What is not supported is said in words where it only narrows a
value, and is an error where it gives it its shape. The rules: https://platform.openai.com/docs/guides/structured-outputs
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from otel_tools._schema.json_schema import reachable, schemas_in
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["strict_schema"]

_STRUCTURE: Final = {"$defs", "$ref", "type", "properties", "required", "additionalProperties", "items", "anyOf"}
_WORDS: Final = {"title", "description"}
_LIMITS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"}
_SUPPORTED: Final = _STRUCTURE | _WORDS | _LIMITS | {"enum", "const", "pattern", "format"}
_FORMATS: Final = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_NO_REGULAR_LANGUAGE: Final = ("(?=", "(?!", "(?<", "(?P", "\\1", "\\2")
_COMBINED: Final = ("allOf", "not", "if", "then", "else", "dependentSchemas", "dependentRequired", "patternProperties")
_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_REF: Final = "#/$defs/"


def strict_schema(
    named: str, schema: dict[str, Any], *, unsaid: Collection[str] = (), beyond: str = "**kwargs"
) -> dict[str, Any]:
    """The schema of arguments as strict mode wants it, by the ``openai`` package's own helper.

    Args:
        named: The tool, for messages.
        schema: That of the arguments.
        unsaid: Parameters with a default that JSON cannot say.
        beyond: What takes names that are no parameter, where there are any.

    Raises:
        ConfigurationError: Strict mode cannot express a parameter.
    """
    import openai  # noqa: PLC0415 - loaded where it is needed alone
    from pydantic import BaseModel  # noqa: PLC0415 - as above

    prepared = _Prepared(named, schema, unsaid, beyond).schema

    class Arguments(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return prepared

    made = openai.pydantic_function_tool(Arguments)["function"]["parameters"]
    # A copy, so that what the helper put in two places is two things.
    return reachable(json.loads(json.dumps(made)))


class _Prepared:
    """A schema without what the helper leaves in and the servers refuse."""

    def __init__(self, named: str, schema: dict[str, Any], unsaid: Collection[str], beyond: str) -> None:
        self.schema: dict[str, Any] = json.loads(json.dumps(schema))
        self._named = named
        self._definitions: dict[str, Any] = self.schema.get("$defs", {})
        self._seen: set[str] = set()
        if self.schema.get("additionalProperties", False) is not False:
            self._refuse(beyond, "takes arguments of any name")
        for name, part in self.schema["properties"].items():
            if name in unsaid and not self._takes_null(part):
                self._refuse(name, "has a default that is no JSON, and in strict mode it must be given")
            self._prepare(part, name)
        self._keep_cycles()

    def _refuse(self, path: str, why: str) -> NoReturn:
        raise ConfigurationError(
            f"{self._named}: strict mode cannot express {path!r}: it {why}; give it another type or default, such as a "
            "pydantic model or None, or use strict=False"
        )

    def _takes_null(self, part: dict[str, Any]) -> bool:
        return part.get("type") == "null" or any(self._takes_null(each) for each in part.get("anyOf", ()))

    def _prepare(self, part: Any, path: str) -> None:
        if not isinstance(part, dict) or not part.keys() & {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"}:
            self._refuse(path, "may be anything")
        if len(part.get("allOf", ())) == 1:
            part.update(part.pop("allOf")[0])
        for word in _COMBINED:
            if word in part:
                self._refuse(path, f"has {word!r} in its schema")
        self._objects_and_arrays(part, path)
        if "oneOf" in part:
            # Told apart by a constant: no value is two of them.
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
        self._in_words(part)

    def _objects_and_arrays(self, part: dict[str, Any], path: str) -> None:
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

    def _in_words(self, part: dict[str, Any]) -> None:
        """Say in the description what strict mode does not take as a rule."""
        said = [part["description"]] if part.get("description") else []
        for word in [word for word in part if word not in _SUPPORTED or self._is_too_much(word, part[word])]:
            value = part.pop(word)
            if word != "default" or value is not None:
                said.append(f"{word[0].upper()}{word[1:]}: {json.dumps(value, ensure_ascii=False)}.")
        if said:
            part["description"] = " ".join(said)

    def _is_too_much(self, word: str, value: Any) -> bool:
        if word == "format":
            return value not in _FORMATS
        return word == "pattern" and any(each in value for each in _NO_REGULAR_LANGUAGE)

    def _keep_cycles(self) -> None:
        """Put a reference that has words beside it one level down where the helper would unfold it for ever."""
        for part in list(schemas_in(self.schema)):
            name = str(part.get("$ref", "")).removeprefix(_REF)
            if len(part) > 1 and name in self._definitions and self._reaches(name, name):
                part["anyOf"] = [{"$ref": part.pop("$ref")}]

    def _reaches(self, start: str, goal: str) -> bool:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for each in schemas_in(self._definitions[todo.pop()]):
                name = str(each.get("$ref", "")).removeprefix(_REF)
                if name == goal:
                    return True
                if name in self._definitions and name not in seen:
                    seen.add(name)
                    todo.append(name)
        return False
