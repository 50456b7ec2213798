"""What is wrong with arguments or a result, in words that a model can act on and that repeat no value.

pydantic tells where a mistake is by a path that may hold keys of the input and names of types, and what it is by a
message that may hold the value. Here the path keeps only names that the schema knows, and the words are our own.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._arguments.error_messages import WORDS
from otel_tools._arguments.mask_values import without_values
from otel_tools.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MAX_LISTED", "Schema", "described", "is_word", "listed", "nearest", "unknown"]

MAX_LISTED: Final = 20
"""Mistakes that a message lists; the rest is a number."""

_READ: Final = 200
"""Mistakes that are looked at: one value may hold a million."""

_FURTHER: Final = FieldError("(further on)", "there are more mistakes")

_LONGEST: Final = 300
"""Characters of a list of accepted values, and of a check's own message."""

_LONGEST_NAME: Final = 128
"""Characters of a name that are compared with the known ones."""

_UNSEEN: Final = object()
_ARRAYS: Final = (list, tuple, set, frozenset)
_UNKNOWN_KEY: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})

_A_NAME: Final = re.compile(r"_?[a-z]+(?:_[a-z]+|[A-Z][a-z]+){0,4}\Z")
"""What may be repeated of a name that a model made up: words, and nothing that could be a key or a password."""

_ENUM_MEMBER: Final = re.compile(r"<[\w.]+: (.*?)>(?=,| or |\Z)")


class Schema:
    """The names that a schema knows: only these may be repeated from a path.

    Attributes:
        fields: Of parameters, and of the fields of models, at any depth; with their aliases.
        classes: Of models and dataclasses.
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
                self._learn(part)
                todo.extend(value for name, value in part.items() if name != "metadata")
            elif isinstance(part, (list, tuple)):
                todo.extend(part)

    def _learn(self, part: dict[str, Any]) -> None:
        if isinstance(part.get("fields"), dict):
            self.fields.update(part["fields"])
        if isinstance(part.get("name"), str):
            self.fields.add(part["name"])
        for alias in (part.get("validation_alias"), part.get("alias")):
            self.fields.update(_strings(alias))
        if isinstance(part.get("cls"), type):
            self.classes.add(part["cls"].__name__)


class _Mistake(NamedTuple):
    """One mistake: where, which alternative of a union it is about, and what."""

    path: tuple[str, ...]
    union: int | None
    kind: str | None
    problem: str
    expected: str


def described(
    errors: Sequence[Mapping[str, Any]], given: Any, schema: Schema, *, names: Iterable[str] = (), root: str = ""
) -> list[FieldError]:
    """Say what is wrong; of very many mistakes, of the first.

    Args:
        errors: What pydantic's ``ValidationError.errors()`` gives.
        given: What was validated.
        schema: Of what it was validated against.
        names: The arguments that there are.
        root: What to call the whole, and where every path begins.
    """
    known = [
        _mistake(error, given, schema, arguments=not root)
        for error in errors[:_READ]
        if not _is_unknown_argument(error)
    ]
    deeper = {each.path[: each.union] for each in known if each.union is not None and each.union < len(each.path)}
    together: dict[tuple[str, ...], list[_Mistake]] = {}
    for each in known:
        # Of a union, the alternative that the value looks like is the one that was meant.
        if each.union != len(each.path) or each.path not in deeper:
            together.setdefault(each.path, []).append(each)
    return [
        *(unknown(str(error["loc"][0]), names) for error in errors[:_READ] if _is_unknown_argument(error)),
        *(_field(path, mistakes, root) for path, mistakes in together.items()),
        *([_FURTHER] * (len(errors) - _READ)),
    ]


def _is_unknown_argument(error: Mapping[str, Any]) -> bool:
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


def unknown(name: str, names: Iterable[str]) -> FieldError:
    """Say that there is no such argument, and which ones there are.

    The name is repeated where it is made of words, or much like a known one; anything else may be a value astray.
    """
    known = list(names)
    near = nearest(name, known)
    if near:
        hint = f"did you mean {_either(map(repr, near))}?"
    elif known:
        hint = f"known: {_cut(', '.join(map(repr, known)))}"
    else:
        hint = "there are none"
    return FieldError(name if near or is_word(name) else "(a name)", f"is no argument of this tool; {hint}")


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The names that are most like one that does not exist; at most three."""
    plain = {_plain(each): each for each in names}
    if (same := plain.get(_plain(name[:_LONGEST_NAME]))) is not None:
        return [same]
    return [plain[each] for each in difflib.get_close_matches(_plain(name[:_LONGEST_NAME]), plain, n=3, cutoff=0.6)]


def _plain(name: str) -> str:
    """Without what models add to names (``functions.get_weather``, ``getWeather``)."""
    return name.rpartition(".")[2].replace("_", "").replace("-", "").casefold().strip()


def listed(errors: Sequence[FieldError]) -> str:
    """The mistakes as lines of text, `MAX_LISTED` of them at most."""
    lines = [
        f"- {each.field}: " + (f"must be {each.expected}" if each.expected else each.problem)
        for each in errors[:MAX_LISTED]
    ]
    if len(errors) > MAX_LISTED:
        lines.append(f"and {len(errors) - MAX_LISTED} more")
    return "\n".join(lines)


def _field(path: tuple[str, ...], mistakes: list[_Mistake], root: str) -> FieldError:
    """All that is wrong at one place; more than one thing is where there are alternatives."""
    field = _cut(".".join((root, *path) if root else path)) or "(arguments)"
    kinds = list(dict.fromkeys(each.kind for each in mistakes if each.kind))
    problems = list(dict.fromkeys(each.problem for each in mistakes))
    problem = problems[0] if len(problems) == 1 else "fits none of the alternatives"
    only_for = f" (for {_either(kinds)})" if kinds else ""
    if all(each.expected for each in mistakes):
        expected = _either(dict.fromkeys(each.expected for each in mistakes))
        return FieldError(field, problem, _cut(expected + only_for))
    if len(problems) == 1:
        return FieldError(field, problem + only_for)
    return FieldError(field, _cut("; or ".join(dict.fromkeys(_alternative(each) for each in mistakes))))


def _alternative(mistake: _Mistake) -> str:
    text = f"must be {mistake.expected}" if mistake.expected else mistake.problem
    return f"{text} (for {mistake.kind})" if mistake.kind else text


def _mistake(error: Mapping[str, Any], given: Any, schema: Schema, *, arguments: bool) -> _Mistake:
    path: list[str] = []
    union: int | None = None
    kind: str | None = None
    location = tuple(error["loc"])
    about_key = location[-1:] == ("[key]",)
    here = given
    for part in location[:-1] if about_key else location:
        known = isinstance(part, str) and (part in schema.fields or (arguments and not path and is_word(part)))
        if type(here) is dict and part in here:
            # Keys of a dictionary are input; that they are of it is all that can be said, and which.
            path.append(str(part) if known else f"(key {list(here).index(part) + 1})")
            here = here[part]
        elif type(here) in _ARRAYS and isinstance(part, int):
            path.append(str(part))
            here = here[part] if isinstance(here, (list, tuple)) and part < len(here) else _UNSEEN
        elif known and (type(here) is dict or here is _UNSEEN):
            path.append(str(part))
            here = _UNSEEN
        elif isinstance(part, int):
            path.append("*")
            here = _UNSEEN
        else:
            # The name of a type: an alternative of a union.
            union = len(path)
            kind = part if part in schema.classes else kind
    if error["type"] in _UNKNOWN_KEY and is_word(location[-1]):
        path[-1] = location[-1]
    problem, expected = _said(error, given)
    if about_key:
        path.pop()
        problem, expected = f"has a key that {problem}", f"an object whose keys are each {expected}" if expected else ""
    return _Mistake(tuple(path), union, kind, problem, expected)


def _said(error: Mapping[str, Any], given: Any) -> tuple[str, str]:
    if words := WORDS.get(error["type"]):
        problem, expected = words
        try:
            return problem, _cut(_ENUM_MEMBER.sub(r"\1", expected.format_map(error.get("ctx") or {})))
        except KeyError:
            return problem, ""
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    # A check may know the other arguments too, so the message must not repeat any of them.
    shown = without_values(message, given)
    return _cut(shown) if shown else "is not accepted by a check of the tool", ""


def is_word(name: Any) -> bool:
    """Whether a name that a model made up may be repeated."""
    return isinstance(name, str) and _A_NAME.match(name) is not None


def _strings(alias: Any) -> Iterable[str]:
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, (list, tuple)):
        for part in alias:
            yield from _strings(part)


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def _cut(text: str) -> str:
    """No more than so many characters, ended at a comma where there is one."""
    if len(text) <= _LONGEST:
        return text
    head, comma, _ = text[:_LONGEST].rpartition(", ")
    return f"{head if comma else text[:_LONGEST]}, …"
