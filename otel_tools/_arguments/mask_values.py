"""How to repeat the message of somebody's check without the values that it was about."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import re
import types
import uuid
from typing import Any, Final

__all__ = ["without_values"]

_MASK: Final = "…"
_GRAM: Final = 4
"""Characters in a row that a message may not share with a value."""

_MAX: Final = 20_000
"""Characters of values that are looked at; a message about more is not repeated at all."""

_DEEPEST: Final = 40
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_READABLE: Final = (str, decimal.Decimal, uuid.UUID, dt.date, dt.datetime, dt.time, dt.timedelta)


def without_values(message: str, given: Any) -> str | None:
    """The message, with an ellipsis for all that it shares with the values, also with parts of them.

    Runs of four characters are compared, in lower case, so that a value is found that was cut, capitalised or put among
    other words; shorter values where they stand alone. What a check computed from a value cannot be found.

    Args:
        message: What a check says.
        given: What it was given, and may have put into the message.

    Returns:
        None where nothing is left to say, or where the values cannot all be read.
    """
    texts = _texts(given, _DEEPEST)
    if texts is None or sum(map(len, texts)) > _MAX or len(message) > _MAX:
        return None
    folded = _lower(message)
    hidden = bytearray(len(message))
    for text in {_lower(text) for text in texts}:
        if len(text) >= _GRAM:
            grams = {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}
            for at in range(len(folded) - _GRAM + 1):
                if folded[at : at + _GRAM] in grams:
                    hidden[at : at + _GRAM] = b"\1" * _GRAM
        elif text.strip():
            for found in re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", folded):
                hidden[found.start() : found.end()] = b"\1" * len(text)
    shown = "".join(character if not hide else "\0" for character, hide in zip(message, hidden, strict=True))
    shown = re.sub("\0+", _MASK, shown).strip()
    return shown if re.search(r"\w{3}", shown) else None


def _texts(given: Any, deepest: int) -> set[str] | None:
    """Every form in which a message may repeat the values; None where one cannot be read without running its code."""
    kind = type(given)
    if kind in _CONTAINERS and deepest:
        parts = (*given, *given.values()) if kind is dict else given
        texts: set[str] = set()
        for part in parts:
            inner = _texts(part, deepest - 1)
            if inner is None:
                return None
            texts |= inner
        return texts
    if kind in (types.NoneType, bool) or isinstance(given, enum.Enum):
        return set()  # the schema's own values
    if kind is bytes:
        return {given.decode("latin-1")}
    if kind in (int, float):
        return {str(given), f"{given:,}", f"{given:.0f}"}
    return {str(given), repr(given)} if kind in _READABLE else None


def _lower(text: str) -> str:
    """In lower case, and of the same length: few characters become two."""
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)
