"""Parses a docstring into descriptions of the tool and its parameters: Google, NumPy or Sphinx style, or none."""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["ParsedDocstring", "parse_docstring"]

_STYLES: Final = ("google", "numpy", "sphinx")
_GOOGLE_SECTION: Final = re.compile(
    r"(?i)(?:args|arguments|parameters|params|keyword args|keyword arguments|other parameters|returns?|yields?|raises"
    r"|examples?|notes?|attributes|warnings?):\s*"
)
_NUMPY_RULE: Final = re.compile(r"-{3,}\s*")
_PARAMETER_SECTIONS: Final = frozenset({"parameters", "other parameters", "attributes"})


class ParsedDocstring(NamedTuple):
    """A parsed docstring.

    Attributes:
        text: The description of the tool, without parameters, exceptions and examples; None where there is none.
        parameters: The descriptions of parameters by name.
    """

    text: str | None
    parameters: dict[str, str]


def parse_docstring(docstring: str | None, names: Collection[str]) -> ParsedDocstring:
    """Parse a docstring.

    Needs the package ``griffelib`` (extra ``schema``). Without it, the whole docstring is the description of the tool.
    So it is where the docstring has none of the three styles, or describes only parameters that do not exist.

    Args:
        docstring: As it was written, with its indentation.
        names: The parameters of the tool; descriptions of others are left out.
    """
    whole = inspect.cleandoc(docstring or "").strip()
    unparsed = ParsedDocstring(whole or None, {})
    if not whole:
        return unparsed
    try:
        import griffe  # noqa: PLC0415 - an optional package, used by schemas alone
    except ImportError:
        return unparsed
    parsed = griffe.Docstring(_with_separated_sections(whole))
    best_score: tuple[int, int] = (0, 0)
    best = unparsed
    for style in _STYLES:
        with contextlib.suppress(Exception):  # a docstring that breaks the parser is still a description
            sections = parsed.parse(style, warnings=False)
            all_parameters = dict(_parameter_descriptions(sections))
            known = {name: text for name, text in all_parameters.items() if name in names}
            # A style that finds only parameters that do not exist has misread the docstring.
            score = (len(known), sum(section.kind.value != "text" for section in sections))
            if score > best_score and (known or not all_parameters):
                best_score, best = score, ParsedDocstring(_description(sections), known)
    return best


def _with_separated_sections(docstring: str) -> str:
    """The docstring with an empty line before each section: the parser misses one right under the text before it."""
    lines = docstring.split("\n")
    separated: list[str] = []
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else ""
        is_google = _GOOGLE_SECTION.fullmatch(line) is not None and following.startswith((" ", "\t"))
        is_numpy = bool(line) and _NUMPY_RULE.fullmatch(following) is not None
        is_sphinx = line.startswith(":") and separated and not separated[-1].startswith((":", " "))
        if separated and separated[-1].strip() and (is_google or is_numpy or is_sphinx):
            separated.append("")
        separated.append(line)
    return "\n".join(separated)


def _parameter_descriptions(sections: list[Any]) -> Iterator[tuple[str, str]]:
    for section in sections:
        if section.kind.value in _PARAMETER_SECTIONS:
            for item in section.value:
                if text := (item.description or "").strip():
                    yield item.name.lstrip("*"), text


def _description(sections: list[Any]) -> str | None:
    """The sections for the caller: the text, its notes, and what is returned."""
    parts = []
    for section in sections:
        kind = section.kind.value
        if kind == "text":
            parts.append(section.value.strip())
        elif kind == "admonition" and not section.value.kind.startswith("example"):
            title = section.title or section.value.kind.capitalize()
            parts.append(f"{title}: {section.value.contents.strip()}")
        elif kind in {"returns", "yields"}:
            results = " ".join(item.description.strip() for item in section.value if item.description)
            parts += [f"{kind.capitalize()}: {results}"] if results else []
    return "\n\n".join(filter(None, parts)) or None
