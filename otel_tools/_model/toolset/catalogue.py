"""What tools there are, as Markdown for people: parameters, policies and types of errors."""

from __future__ import annotations

import functools
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_tools._policies.options import POLICY_OPTIONS
from otel_tools.errors import InvalidArguments, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_tools._tool.tool import Tool

__all__ = ["catalogue"]

_LONGEST: Final = 80


def catalogue(tools: Iterable[Tool]) -> str:
    """The tools in their order, a section for each."""
    return "\n".join(line for tool in tools for line in _section(tool)).rstrip() + "\n"


def _section(tool: Tool) -> Iterator[str]:
    schema = tool.schema()["function"]
    yield f"## {_code(tool.name)}"
    yield ""
    if description := schema.get("description"):
        yield str(description).strip()
        yield ""
    yield from _parameters(schema.get("parameters") or {})
    given = {option: value for option in POLICY_OPTIONS if (value := getattr(tool.options, option.name))}
    asked = [f"{option.name}={_shown(value)}" for option, value in given.items()]
    yield f"Policies: {', '.join(_code(each) for each in asked) or 'none'}"
    yield ""
    errors = dict.fromkeys(error.error_type for option in given for error in option.errors)
    if tool.options.args is not None:
        errors[InvalidArguments.error_type] = None
    if tool.options.validate == "both":
        errors[InvalidResult.error_type] = None
    yield f"Errors: {', '.join([*map(_code, errors), 'whatever the tool itself raises'])}"
    yield ""


def _parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    parameters: Mapping[str, Any] = schema.get("properties") or {}
    if not parameters:
        yield "No parameters."
        yield ""
        return
    required = schema.get("required") or ()
    yield "| parameter | type | required | description |"
    yield "|---|---|---|---|"
    for name, described in parameters.items():
        about = str(described.get("description") or "")
        if "default" in described:
            about = f"{about} Default: {_code(repr(described['default']))}.".strip()
        cells = (_code(name), _type(described), "yes" if name in required else "no", about)
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    yield ""


def _type(schema: Any) -> str:  # noqa: PLR0911 - one for each way in which JSON Schema says a type
    """A JSON Schema in a word or two."""
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return " or ".join(_code(repr(value)) for value in schema["enum"])
    if "const" in schema:
        return _code(repr(schema["const"]))
    if "$ref" in schema:
        return _code(str(schema["$ref"]).rpartition("/")[2])
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[word]))
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        return f"array of {_type(schema['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _shown(value: Any) -> str:
    """An option as it was written; of a function its name."""
    while isinstance(value, functools.partial):
        # What it is given may be a secret.
        value = value.func
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str) and callable(value):
        text = name
    elif is_dataclass(value) and not isinstance(value, type):
        # What was left at its default is not what somebody reads a catalogue for.
        given = {each.name: getattr(value, each.name) for each in fields(value) if each.repr}
        defaults = {each.name: each.default for each in fields(value)}
        said = (f"{each}={_shown(it)}" for each, it in given.items() if it != defaults[each])
        text = f"{type(value).__name__}({', '.join(said)})"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
