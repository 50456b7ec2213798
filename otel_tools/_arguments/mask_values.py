"""Masks the validated values in the message of a user's validator."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import re
import types
import uuid
from typing import Any, Final

__all__ = ["mask_values"]

_MASK: Final = "…"
_MIN_SHARED: Final = 4
"""Length of a run of characters that is masked where a message shares it with a value."""

_MAX_CHARACTERS: Final = 20_000
"""Limit for the message, and for the values together. Beyond it the message is dropped."""

_MAX_DEPTH: Final = 40
_WORD: Final = re.compile(r"\w")
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_READABLE: Final = (str, decimal.Decimal, uuid.UUID, dt.date, dt.datetime, dt.time, dt.timedelta)


def mask_values(message: str, values: Any) -> str | None:
    """The message, with an ellipsis in place of every part of a value.

    Runs of four characters are compared in lower case. This finds a value that was cut, capitalised or put among other
    words. Shorter values are found where they stand alone. What a validator computed from a value is not found.

    Args:
        message: The text of the validator's error.
        values: What the validator was given and may have put into the message.

    Returns:
        None where nothing readable is left, or where a value cannot be read.
    """
    texts = _texts_of(values, _MAX_DEPTH)
    if texts is None or sum(map(len, texts)) > _MAX_CHARACTERS or len(message) > _MAX_CHARACTERS:
        return None
    lowered = _lower(message)
    hidden = bytearray(len(message))
    # The message is read once for all values: a call may have thousands of them.
    grams: set[str] = set()
    short: dict[int, set[str]] = {}
    for text in {_lower(text) for text in texts}:
        if len(text) >= _MIN_SHARED:
            grams.update(text[at : at + _MIN_SHARED] for at in range(len(text) - _MIN_SHARED + 1))
        elif text.strip():
            short.setdefault(len(text), set()).add(text)
    for at in range(len(lowered) - _MIN_SHARED + 1 if grams else 0):
        if lowered[at : at + _MIN_SHARED] in grams:
            hidden[at : at + _MIN_SHARED] = b"\1" * _MIN_SHARED
    for length, alone in short.items():
        for at in range(len(lowered) - length + 1):
            if lowered[at : at + length] in alone and _stands_alone(lowered, at, at + length):
                hidden[at : at + length] = b"\1" * length
    shown = "".join(character if not hide else "\0" for character, hide in zip(message, hidden, strict=True))
    shown = re.sub("\0+", _MASK, shown).strip()
    return shown if re.search(r"\w{3}", shown) else None


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not (start and _WORD.match(text, start - 1)) and not _WORD.match(text, end)


def _texts_of(values: Any, depth: int) -> set[str] | None:
    """Every text form of the values. None where a value cannot be read without running its own code."""
    kind = type(values)
    if kind in _CONTAINERS and depth:
        parts = (*values, *values.values()) if kind is dict else values
        texts: set[str] = set()
        for part in parts:
            inner = _texts_of(part, depth - 1)
            if inner is None:
                return None
            texts |= inner
        return texts
    if kind in (types.NoneType, bool) or isinstance(values, enum.Enum):
        return set()  # these are in the schema, so they are not secret
    if kind is bytes:
        return {values.decode("latin-1")}
    if kind in (int, float):
        return {str(values), f"{values:,}", f"{values:.0f}"}
    return {str(values), repr(values)} if kind in _READABLE else None


def _lower(text: str) -> str:
    """In lower case and of the same length: a character whose lower case has two characters stays as it is."""
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)
