"""Turns pydantic's validation errors into `FieldError`s that a model can act on and that repeat no value.

In pydantic's errors the path may hold keys of the input and names of types, and the message may hold the value. In
ours the path keeps only names that the schema knows, and the texts are our own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._arguments.error_messages import MESSAGES
from otel_tools._arguments.mask_values import mask_values
from otel_tools._arguments.similar_names import similar_names
from otel_tools.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MAX_LISTED", "SchemaNames", "bullet_list", "field_errors", "unknown_argument"]

MAX_LISTED: Final = 20
"""Errors that a message lists; of the rest it gives the number."""

_MAX_ERRORS: Final = 200
"""Errors that are processed: one value may have a million."""

_FURTHER_ERROR: Final = FieldError("(further on)", "there are more mistakes")

_MAX_TEXT_LENGTH: Final = 300
"""Characters of a list of accepted values, and of the message of a user's validator."""

_NOT_IN_INPUT: Final = object()
_ARRAYS: Final = (list, tuple, set, frozenset)
_UNKNOWN_KEY: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})

_WORDS: Final = re.compile(r"_?[a-z]+(?:_[a-z]+|[A-Z][a-z]+){0,4}\Z")
"""A name that may be repeated although a model made it up: words, and nothing that could be a key or a password."""

_ENUM_MEMBER: Final = re.compile(r"<[\w.]+: (.*?)>(?=,| or |\Z)")


class SchemaNames:
    """The names in a schema: of a path, only these may be repeated.

    Args:
        core_schemas: pydantic's core schemas.

    Attributes:
        fields: Names of parameters and of the fields of models, at any depth, and their aliases.
        classes: Names of models and dataclasses.
    """

    __slots__ = ("classes", "fields")

    def __init__(self, *core_schemas: Any) -> None:
        self.fields: set[str] = set()
        self.classes: set[str] = set()
        todo: list[Any] = list(core_schemas)
        seen: set[int] = set()
        while todo:
            part = todo.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, dict):
                self._collect(part)
                todo.extend(value for name, value in part.items() if name != "metadata")
            elif isinstance(part, (list, tuple)):
                todo.extend(part)

    def _collect(self, part: dict[str, Any]) -> None:
        if isinstance(part.get("fields"), dict):
            self.fields.update(part["fields"])
        if isinstance(part.get("name"), str):
            self.fields.add(part["name"])
        for alias in (part.get("validation_alias"), part.get("alias")):
            self.fields.update(_names_in_alias(alias))
        if isinstance(part.get("cls"), type):
            self.classes.add(part["cls"].__name__)


class _Mistake(NamedTuple):
    """One of pydantic's errors, without values.

    Attributes:
        path: Where it is.
        union_depth: At which length of the path a union is; None where there is none.
        alternative: The class of the union that it is about, where it is about one.
        problem: What is wrong.
        expected: What would be right; may be empty.
    """

    path: tuple[str, ...]
    union_depth: int | None
    alternative: str | None
    problem: str
    expected: str


def field_errors(
    errors: Sequence[Mapping[str, Any]], value: Any, schema: SchemaNames, *, names: Iterable[str] = (), root: str = ""
) -> list[FieldError]:
    """Translate pydantic's errors; of very many, only the first.

    Args:
        errors: What pydantic's ``ValidationError.errors()`` returns.
        value: What was validated.
        schema: The names in the schema that it was validated against.
        names: The names of the arguments.
        root: The name of the whole value, with which every path begins.
    """
    mistakes = [
        _mistake(error, value, schema, arguments=not root)
        for error in errors[:_MAX_ERRORS]
        if not _is_unknown_argument(error)
    ]
    inside_alternatives = {
        mistake.path[: mistake.union_depth]
        for mistake in mistakes
        if mistake.union_depth is not None and mistake.union_depth < len(mistake.path)
    }
    by_path: dict[tuple[str, ...], list[_Mistake]] = {}
    for mistake in mistakes:
        # An error inside an alternative of a union: the value looks like that one, so the others were not meant.
        if mistake.union_depth != len(mistake.path) or mistake.path not in inside_alternatives:
            by_path.setdefault(mistake.path, []).append(mistake)
    return [
        *(unknown_argument(str(e["loc"][0]), names) for e in errors[:_MAX_ERRORS] if _is_unknown_argument(e)),
        *(_field_error(path, at_path, root) for path, at_path in by_path.items()),
        *([_FURTHER_ERROR] * (len(errors) - _MAX_ERRORS)),
    ]


def _is_unknown_argument(error: Mapping[str, Any]) -> bool:
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


def unknown_argument(name: str, names: Iterable[str]) -> FieldError:
    """The error that there is no argument of this name, and which ones there are.

    The name is repeated where it is made of words, or similar to a known one. Anything else may be a misplaced value.
    """
    known = list(names)
    similar = similar_names(name, known)
    if similar:
        hint = f"did you mean {_joined_by_or(map(repr, similar))}?"
    elif known:
        hint = f"known: {_truncated(', '.join(map(repr, known)))}"
    else:
        hint = "there are none"
    return FieldError(name if similar or _is_words(name) else "(a name)", f"is no argument of this tool; {hint}")


def bullet_list(errors: Sequence[FieldError]) -> str:
    """The errors as lines of text, at most `MAX_LISTED` of them."""
    lines = [
        f"- {error.field}: " + (f"must be {error.expected}" if error.expected else error.problem)
        for error in errors[:MAX_LISTED]
    ]
    if len(errors) > MAX_LISTED:
        lines.append(f"and {len(errors) - MAX_LISTED} more")
    return "\n".join(lines)


def _field_error(path: tuple[str, ...], mistakes: list[_Mistake], root: str) -> FieldError:
    """One error for all mistakes at one path; there are several where the path leads to a union."""
    field = _truncated(".".join((root, *path) if root else path)) or "(arguments)"
    alternatives = list(dict.fromkeys(mistake.alternative for mistake in mistakes if mistake.alternative))
    problems = list(dict.fromkeys(mistake.problem for mistake in mistakes))
    problem = problems[0] if len(problems) == 1 else "fits none of the alternatives"
    only_for = f" (for {_joined_by_or(alternatives)})" if alternatives else ""
    if all(mistake.expected for mistake in mistakes):
        expected = _joined_by_or(dict.fromkeys(mistake.expected for mistake in mistakes))
        return FieldError(field, problem, _truncated(expected + only_for))
    if len(problems) == 1:
        return FieldError(field, problem + only_for)
    return FieldError(field, _truncated("; or ".join(dict.fromkeys(_alternative_text(m) for m in mistakes))))


def _alternative_text(mistake: _Mistake) -> str:
    text = f"must be {mistake.expected}" if mistake.expected else mistake.problem
    return f"{text} (for {mistake.alternative})" if mistake.alternative else text


def _mistake(error: Mapping[str, Any], value: Any, schema: SchemaNames, *, arguments: bool) -> _Mistake:
    """Follow the error's location through the value, and keep of it only what the schema knows."""
    path: list[str] = []
    union_depth: int | None = None
    alternative: str | None = None
    location = tuple(error["loc"])
    is_about_key = location[-1:] == ("[key]",)
    here = value
    for part in location[:-1] if is_about_key else location:
        is_known = isinstance(part, str) and (part in schema.fields or (arguments and not path and _is_words(part)))
        if type(here) is dict and part in here:
            # A key of a dictionary is input, so it may be secret: it is replaced by its position.
            path.append(str(part) if is_known else f"(key {list(here).index(part) + 1})")
            here = here[part]
        elif type(here) in _ARRAYS and isinstance(part, int):
            path.append(str(part))
            here = here[part] if isinstance(here, (list, tuple)) and part < len(here) else _NOT_IN_INPUT
        elif is_known and (type(here) is dict or here is _NOT_IN_INPUT):
            path.append(str(part))
            here = _NOT_IN_INPUT
        elif isinstance(part, int):
            path.append("*")
            here = _NOT_IN_INPUT
        else:
            # The name of a type: an alternative of a union.
            union_depth = len(path)
            alternative = part if part in schema.classes else alternative
    if error["type"] in _UNKNOWN_KEY and _is_words(location[-1]):
        path[-1] = location[-1]
    problem, expected = _texts(error, value)
    if is_about_key:
        path.pop()
        problem, expected = f"has a key that {problem}", f"an object whose keys are each {expected}" if expected else ""
    return _Mistake(tuple(path), union_depth, alternative, problem, expected)


def _texts(error: Mapping[str, Any], value: Any) -> tuple[str, str]:
    """The problem and what is expected instead."""
    if texts := MESSAGES.get(error["type"]):
        problem, expected = texts
        try:
            return problem, _truncated(_ENUM_MEMBER.sub(r"\1", expected.format_map(error.get("ctx") or {})))
        except KeyError:
            return problem, ""
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    # A validator may know the other arguments too, so the message must not repeat any of them.
    masked = mask_values(message, value)
    return _truncated(masked) if masked else "is not accepted by a check of the tool", ""


def _is_words(name: Any) -> bool:
    """Whether a name that a model made up may be repeated."""
    return isinstance(name, str) and _WORDS.match(name) is not None


def _names_in_alias(alias: Any) -> Iterable[str]:
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, (list, tuple)):
        for part in alias:
            yield from _names_in_alias(part)


def _joined_by_or(names: Iterable[str]) -> str:
    return " or ".join(names)


def _truncated(text: str) -> str:
    """At most `_MAX_TEXT_LENGTH` characters, cut at a comma where there is one."""
    if len(text) <= _MAX_TEXT_LENGTH:
        return text
    head, comma, _ = text[:_MAX_TEXT_LENGTH].rpartition(", ")
    return f"{head if comma else text[:_MAX_TEXT_LENGTH]}, …"
