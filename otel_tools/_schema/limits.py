"""The size of a schema that OpenAI's strict mode takes.

The limits: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

import json
from typing import Any, Final

from otel_tools._schema.json_schema import subschemas
from otel_tools.errors import ConfigurationError

__all__ = ["check_limits"]

_MAX_LEVELS: Final = 10
_MAX_PROPERTIES: Final = 5_000
_MAX_TEXT: Final = 120_000
"""Characters of all names of properties and definitions, and of all values of enums and constants."""
_MAX_ENUM_VALUES: Final = 1_000
_MAX_LONG_ENUM_TEXT: Final = 15_000
"""Characters of the values of one enum that has more than 250."""
_LONG_ENUM: Final = 250


def check_limits(subject: str, schema: dict[str, Any]) -> None:
    """Check the size of a strict schema.

    Args:
        subject: The tool, for messages.
        schema: The finished schema of the arguments.

    Raises:
        ConfigurationError: It is larger than the servers take.
    """
    parts = list(subschemas(schema))
    enums = [[_text(value) for value in part["enum"]] for part in parts if isinstance(part.get("enum"), list)]
    names = [name for part in parts for keyword in ("properties", "$defs") for name in part.get(keyword, ())]
    constants = [_text(part["const"]) for part in parts if "const" in part]
    text = sum(map(len, (*names, *constants, *(value for values in enums for value in values))))
    long_enum = max((sum(map(len, values)) for values in enums if len(values) > _LONG_ENUM), default=0)
    for what, size, limit in (
        ("levels of nested objects", _levels(schema, schema.get("$defs", {}), {}), _MAX_LEVELS),
        ("properties", sum(len(part.get("properties", ())) for part in parts), _MAX_PROPERTIES),
        ("values of enums", sum(map(len, enums)), _MAX_ENUM_VALUES),
        (f"characters in an enum of more than {_LONG_ENUM} values", long_enum, _MAX_LONG_ENUM_TEXT),
        ("characters of names and enums", text, _MAX_TEXT),
    ):
        if size > limit:
            raise ConfigurationError(
                f"{subject}: its arguments have {size:,} {what}, and OpenAI's strict mode takes {limit:,}; use a "
                "simpler type, or strict=False"
            )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _levels(schema: dict[str, Any], definitions: dict[str, Any], known: dict[str, int]) -> int:
    """How deep objects are nested, the root included; a reference back to a type around it ends the count.

    Args:
        schema: The schema.
        definitions: Its definitions.
        known: The levels of definitions that were counted already, so that each is counted once.
    """
    deepest = 0
    for name, inner in _children(schema):
        if name is None:
            deepest = max(deepest, _levels(inner, definitions, known))
        elif name in definitions:
            if name not in known:
                known[name] = 0
                known[name] = _levels(definitions[name], definitions, known)
            deepest = max(deepest, known[name])
    return deepest + ("properties" in schema)


def _children(schema: dict[str, Any]) -> list[tuple[str | None, dict[str, Any]]]:
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inner += [schema["items"]] if isinstance(schema.get("items"), dict) else []
    found: list[tuple[str | None, dict[str, Any]]] = [(None, each) for each in inner]
    if isinstance(reference := schema.get("$ref"), str):
        found.append((reference.rpartition("/")[2], {}))
    return found
