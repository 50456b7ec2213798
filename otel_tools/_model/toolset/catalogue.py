"""Describes tools in Markdown, for people: parameters, policies and error types."""

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

_MAX_OPTION_LENGTH: Final = 80


def catalogue(tools: Iterable[Tool]) -> str:
    """A section of Markdown for each tool, in the order of the tools."""
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
    options = [f"{option.name}={_option_text(value)}" for option, value in given.items()]
    yield f"Policies: {', '.join(map(_code, options)) or 'none'}"
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
    for name, schema_of_parameter in parameters.items():
        about = str(schema_of_parameter.get("description") or "")
        if "default" in schema_of_parameter:
            about = f"{about} Default: {_code(repr(schema_of_parameter['default']))}.".strip()
        cells = (_code(name), _type(schema_of_parameter), "yes" if name in required else "no", about)
        yield f"| {' | '.join(_table_cell(cell) for cell in cells)} |"
    yield ""


def _type(schema: Any) -> str:  # noqa: PLR0911 - one for each form of a type in JSON Schema
    """The type of a JSON Schema in a word or two."""
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


def _option_text(value: Any) -> str:
    """An option as it was written; a function by its name."""
    while isinstance(value, functools.partial):
        # The arguments of a partial may be secret.
        value = value.func
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str) and callable(value):
        text = name
    elif is_dataclass(value) and not isinstance(value, type):
        # Only what differs from the defaults is shown.
        values = {each.name: getattr(value, each.name) for each in fields(value) if each.repr}
        defaults = {each.name: each.default for each in fields(value)}
        arguments = (f"{name}={_option_text(value)}" for name, value in values.items() if value != defaults[name])
        text = f"{type(value).__name__}({', '.join(arguments)})"
    else:
        text = repr(value)
    return text if len(text) <= _MAX_OPTION_LENGTH else text[:_MAX_OPTION_LENGTH] + "…"


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def _table_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
