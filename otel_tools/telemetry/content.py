"""Arguments and results as span attributes: off unless asked for, bounded, redacted, valid JSON.

Nothing that a tool is called with can break or slow its call: no code of the value's own class runs (``__repr__``,
``__str__``, ``__iter__``), and at most four times the cap is looked at. The order is: cut to four times the cap,
redact, cut to the cap; a secret that the cap would cut in half is redacted before it is cut.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import logging
import math
import os
import pathlib
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_tools.telemetry.redaction import REDACTED, Redaction

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CAP", "CAPTURE_MESSAGE_CONTENT", "content", "redact_text", "render"]

CAPTURE_MESSAGE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Environment variable of the conventions: NO_CONTENT (default), SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT."""

CAP: Final = 4096
"""Most characters of the arguments, and as many of the result, that a span carries."""

_LOOK: Final = 4
_DEPTH: Final = 16
_CUT: Final = "…"
_LONGEST_WORD: Final = 2048
_MOST_DIGITS: Final = 1024

logger = logging.getLogger("otel_tools")


class Content:
    """What `configure()` and the environment say about content.

    Attributes:
        on: Whether arguments and results are recorded.
        redaction: How everything that is recorded is redacted, exceptions included.
    """

    __slots__ = ("on", "redaction")

    def __init__(self) -> None:
        self.on = asked_for_by_environment()
        self.redaction = Redaction()


def asked_for_by_environment() -> bool:
    """What the conventions' environment variable says; an unknown value is logged and means no."""
    value = os.environ.get(CAPTURE_MESSAGE_CONTENT, "").strip().upper()
    if value in {"SPAN_ONLY", "SPAN_AND_EVENT"}:
        return True
    if value not in {"", "NO_CONTENT", "EVENT_ONLY"}:
        logger.warning(
            "%s=%s is unknown, content stays off; it takes NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
            CAPTURE_MESSAGE_CONTENT,
            value,
        )
    return False


content = Content()


def redact_text(text: str, cap: int, keep: Literal["start", "end"] = "start") -> str:
    """Cut, redact and cut again, keeping the start or the end of a text."""
    text, was_cut = _cut(text, cap * _LOOK, keep)
    text = content.redaction.text(_whole_words(text, keep) if was_cut else text)
    shorter, _ = _cut(text, cap - len(_CUT), keep) if len(text) > cap else (text, False)
    if shorter is text and not was_cut:
        return text
    return shorter + _CUT if keep == "start" else _CUT + shorter


def render(value: Any, cap: int = CAP) -> str:
    """A value as JSON of at most ``cap`` characters, redacted; what was left out is marked by an ellipsis."""
    looked_at = _Look(cap * _LOOK).at(value, _DEPTH)
    text = _dump(looked_at)
    room = cap
    while len(text) > cap and room > 1:
        # What a string costs in JSON is only known once it is escaped: shrink the room until it all fits.
        room = room * 3 // 4
        text = _dump(_Fit(room).at(looked_at))
    return text if len(text) <= cap else json.dumps(_CUT)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cut(text: str, length: int, keep: Literal["start", "end"]) -> tuple[str, bool]:
    if len(text) <= length:
        return text, False
    return (text[:length] if keep == "start" else text[-length:]), True


def _whole_words(text: str, keep: Literal["start", "end"]) -> str:
    """Without the word that the cut went through: half a secret no longer looks like one."""
    if keep == "end":
        return re.sub(rf"^\S{{1,{_LONGEST_WORD}}}", "", text)
    tail = text[-_LONGEST_WORD:]
    return text[: len(text) - len(tail)] + tail[: max(tail.rfind(space) for space in " \t\r\n") + 1]


class _Look:
    """Walks a value within a budget of characters and makes of it plain JSON types, redacted."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.inside: set[int] = set()

    def at(self, value: Any, depth: int) -> Any:
        self.budget -= 1
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (int, float)):
            return self._number(value)
        plain = _plain_text(value)
        if plain is not None:
            return self._text(plain)
        if depth <= 0 or id(value) in self.inside:
            return _CUT
        self.inside.add(id(value))
        try:
            return self._container(value, depth - 1)
        finally:
            self.inside.discard(id(value))

    def _text(self, text: str) -> str:
        cut = str.__getitem__(text, slice(0, max(self.budget, 0)))
        was_cut = len(cut) < str.__len__(text)
        self.budget -= len(cut)
        redacted = content.redaction.text(_whole_words(cut, "start") if was_cut else cut)
        return redacted + _CUT if was_cut else redacted

    def _number(self, value: Any) -> Any:
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else float.__repr__(value)
        # Python refuses to turn very long integers into text, and JSON readers to read them.
        return int(value) if int.bit_length(value) < _MOST_DIGITS else f"<int of {int.bit_length(value)} bits>"

    def _container(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if issubclass(kind, dict):
            return self._mapping(dict.items(value), depth)
        if issubclass(kind, list):
            return self._items(list.__iter__(value), depth)
        if issubclass(kind, tuple):
            return self._items(tuple.__iter__(value), depth)
        if issubclass(kind, (set, frozenset)):
            return self._items(_set_items(value), depth)
        if dataclasses.is_dataclass(kind) or hasattr(kind, "__pydantic_fields__"):
            return self._mapping(_fields_of(value), depth)
        return f"<{kind.__module__}.{kind.__qualname__}>"

    def _mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, item in items:
            if self.budget <= 0:
                seen[_CUT] = _CUT
                break
            name = self._text(key) if isinstance(key, str) else str(self.at(key, 0))
            hidden = content.redaction.hides(key if isinstance(key, str) else name, item)
            seen[name] = REDACTED if hidden else self.at(item, depth)
        return seen

    def _items(self, items: Iterable[Any], depth: int) -> list[Any]:
        seen: list[Any] = []
        for item in items:
            if self.budget <= 0:
                seen.append(_CUT)
                break
            seen.append(self.at(item, depth))
        return seen


class _Fit:
    """Copies plain, redacted JSON types as far as a room of characters goes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def at(self, value: Any) -> Any:
        if isinstance(value, str):
            kept = value[: max(self.room, 0)]
            self.room -= len(json.dumps(kept, ensure_ascii=False))
            return value if kept == value else kept + _CUT
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list):
            return self._items(value)
        self.room -= len(json.dumps(value)) + 1
        return value

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            self.room -= len(json.dumps(key, ensure_ascii=False)) + 2
            if self.room <= 0:
                kept[_CUT] = _CUT
                break
            kept[key] = self.at(item)
        return kept

    def _items(self, value: list[Any]) -> list[Any]:
        kept: list[Any] = []
        for item in value:
            if self.room <= 0:
                kept.append(_CUT)
                break
            kept.append(self.at(item))
        return kept


def _set_items(value: Any) -> Iterable[Any]:
    return set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value)


def _plain_text(value: Any) -> str | None:
    """The text of the standard library's value types, asked of those classes and not of a subclass."""
    kind = type(value)
    if kind in (dt.datetime, dt.date, dt.time):
        return str(value.isoformat())
    if kind in (dt.timedelta, decimal.Decimal, uuid.UUID, complex) or issubclass(kind, pathlib.PurePath):
        return str(value)
    if issubclass(kind, enum.Enum):
        return f"{kind.__name__}.{value._name_}"
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return f"<{kind.__name__} of {len(value)} bytes>"
    return None


def _fields_of(value: Any) -> list[tuple[str, Any]]:
    """The fields of a dataclass or pydantic model as they are stored, without calling a property or a method."""
    stored = getattr(value, "__dict__", None)
    if isinstance(stored, dict):
        return list(stored.items())
    names = [field.name for field in dataclasses.fields(value)]
    return [(name, getattr(value, name, _CUT)) for name in names]
