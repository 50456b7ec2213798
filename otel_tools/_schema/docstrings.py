"""What a docstring says of a tool and of each parameter: in Google's, NumPy's or Sphinx's style, or in none."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["Described", "described"]

_STYLES: Final = ("google", "numpy", "sphinx")
_OF_PARAMETERS: Final = frozenset({"parameters", "other parameters", "attributes"})


class Described(NamedTuple):
    """A docstring, taken apart.

    Attributes:
        text: What it says of the whole, without parameters, exceptions and examples; None where it says nothing.
        parameters: The descriptions of parameters by name.
    """

    text: str | None
    parameters: dict[str, str]


def described(docstring: str | None, names: Collection[str]) -> Described:
    """Take a docstring apart.

    Needs the package ``griffelib`` (extra ``schema``). Without it, and where the docstring is in none of the three
    styles or describes nothing but parameters that do not exist, all of it is one description.

    Args:
        docstring: It, as it was written.
        names: The parameters that there are; what is said of others is left out.
    """
    whole = inspect.cleandoc(docstring or "").strip()
    plain = Described(whole or None, {})
    if not whole:
        return plain
    try:
        import griffe  # noqa: PLC0415 - an optional package, needed where a schema is asked for
    except ImportError:
        return plain
    parsed = griffe.Docstring(whole)
    best: tuple[int, int] = (0, 0)
    found = plain
    for style in _STYLES:
        with contextlib.suppress(Exception):  # whatever a docstring does to the parser, it stays a description
            sections = parsed.parse(style, warnings=False)
            told = dict(_parameters(sections))
            known = {name: text for name, text in told.items() if name in names}
            # A style that finds what does not exist has misread the docstring.
            score = (len(known), sum(section.kind.value != "text" for section in sections))
            if score > best and (known or not told):
                best, found = score, Described(_text(sections), known)
    return found


def _parameters(sections: list[Any]) -> Iterator[tuple[str, str]]:
    for section in sections:
        if section.kind.value in _OF_PARAMETERS:
            for item in section.value:
                if text := (item.description or "").strip():
                    yield item.name.lstrip("*"), text


def _text(sections: list[Any]) -> str | None:
    """What is for the reader who calls: the text, its notes, and what comes back."""
    parts = []
    for section in sections:
        kind = section.kind.value
        if kind == "text":
            parts.append(section.value.strip())
        elif kind == "admonition" and not section.value.kind.startswith("example"):
            title = section.title or section.value.kind.capitalize()
            parts.append(f"{title}: {section.value.contents.strip()}")
        elif kind in {"returns", "yields"}:
            told = " ".join(item.description.strip() for item in section.value if item.description)
            parts += [f"{kind.capitalize()}: {told}"] if told else []
    return "\n\n".join(filter(None, parts)) or None
