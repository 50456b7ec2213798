"""How a tool's result becomes JSON for the model: by pydantic, redacted, and no longer than the model should read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from otel_tools._telemetry.content.capture import content, redact_text
from otel_tools._telemetry.content.jsonable import CUT
from otel_tools._telemetry.content.redaction import REDACTED

if TYPE_CHECKING:
    from otel_tools._telemetry.content.redaction import Redaction

__all__ = ["dumped", "plain", "shown"]

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_LOOK: Final = 4
"""So many times the room of a text are looked at for secrets; the rest is cut off unread."""

_MAX_ITEMS: Final = 10_000
"""Items that are taken from an iterator, which may have no end."""

_PLACE_IN_A_LIST: Final = re.compile(
    r"(?i)(?:page|next|prev(?:ious)?|continu(?:e|ation)|cursor|sync|resume|scroll|paging|pagination)[-_.]?token$"
)
"""A token of this name is no secret: with it the model asks for the next page."""

_LONGEST_FIELD: Final = 64
_MARK: Final = 4
"""Characters that the mark of a cut takes in a list."""
_NO_NUMBERS: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}


def plain(value: Any) -> Any:
    """A value as pydantic writes it: nothing but None, bool, int, float, str, list and dict.

    Models, dataclasses, dates, decimals, sets, enums, paths and named tuples are what pydantic makes of them; bytes are
    text where they are UTF-8, else base64; numpy's and other arrays and scalars (anything with ``tolist()``) are lists
    and numbers; of an iterator, the first 10,000 items are taken.

    Raises:
        Exception: It cannot be written, or its own code failed. What is raised depends on the value.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int:
        return value
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - pydantic is imported where it is needed

    if kind is not dict and kind is not list and isinstance(value, Iterator):
        value = list(islice(value, _MAX_ITEMS))
    try:
        return to_jsonable_python(value, fallback=_other)
    except UnicodeDecodeError:
        return to_jsonable_python(value, fallback=_other, bytes_mode="base64")


def _other(value: Any) -> Any:
    """What pydantic does not know."""
    if isinstance(value, memoryview):
        return value.tobytes()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, range):
        return list(value[:_MAX_ITEMS])
    if isinstance(value, type) or not callable(getattr(value, "tolist", None)):
        raise TypeError(f"a {type(value).__qualname__} has no form that is JSON")
    return value.tolist()


def dumped(value: Any) -> str:
    """Plain values as compact JSON text."""
    return _encode(value)


def shown(value: Any, room: int, *, redact: bool) -> tuple[str, bool]:
    """Plain values as JSON of at most so many characters, fit to be sent as UTF-8.

    Args:
        value: As `plain` gives it.
        room: Most characters; 16 or more.
        redact: Whether secrets are replaced, by the key that they are under and by what they look like.

    Returns:
        The text, and whether something was left out of it: where that is, there is an ellipsis.
    """
    fit = _Fit(room, redact=redact)
    kept = fit.at(value)
    text = dumped(kept)
    smaller = room
    while len(text) > room:
        if smaller < 0:
            return dumped(CUT), True
        # What a string costs in JSON is only known once it is escaped.
        smaller = min(smaller * room // len(text), smaller - _MARK)
        fit = _Fit(smaller, redact=False, cut=True)
        text = dumped(fit.at(kept))
    return text, fit.cut


@lru_cache(maxsize=4096)
def _field(redaction: Redaction, key: str) -> tuple[str, bool]:
    """As `_Fit._key`. Names of fields are the same in one result after the other."""
    return redaction.text(key), redaction.hides(key, "") and _PLACE_IN_A_LIST.search(key) is None


class _Fit:
    """Copies plain values as far as a room of characters goes.

    Attributes:
        cut: Whether something was left out.
    """

    __slots__ = ("_redact", "_room", "cut")

    def __init__(self, room: int, *, redact: bool, cut: bool = False) -> None:
        self._room = room
        self._redact = redact
        self.cut = cut

    def at(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is dict:
            return self._mapping(value)
        if kind is list:
            return self._items(value)
        if kind is float and not math.isfinite(value):
            # JSON has no such numbers, and null would say that there is none.
            value = _NO_NUMBERS.get(value, "NaN")
        length = len(str(value)) + 1
        if length > self._room + _MARK:
            # A number may have thousands of digits.
            self.cut = True
            value, length = CUT, _MARK
        self._room -= length
        return value

    def _text(self, text: str) -> str:
        room = max(self._room - 3, 0)
        if len(text) > room * _LOOK:
            self.cut = True
            text = redact_text(text, room) if self._redact and room > _LOOK else text[: max(room - 1, 0)] + CUT
        else:
            text = content.redaction.text(text) if self._redact else text
            if len(text) > room:
                self.cut = True
                text = text[: max(room - 1, 0)] + CUT
        self._room -= len(text) + 3
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def _mapping(self, value: dict[Any, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        self._room -= 2
        for key, item in value.items():
            if self._room <= len(key):
                self.cut = True
                kept[CUT] = CUT
                break
            name, suspicious = self._key(key)
            if suspicious and item and item is not True and content.redaction.hides(key, item):
                item = REDACTED  # noqa: PLW2901 - what stands in its place
            kept[name] = self.at(item)
        return kept

    def _key(self, key: str) -> tuple[str, bool]:
        """The name of a field as it is shown, and whether there may be a secret under it."""
        if not self._redact:
            return self._text(key), False
        if len(key) > _LONGEST_FIELD:
            return self._text(key), content.redaction.hides(key, "")
        self._room -= len(key) + 3
        return _field(content.redaction, key)

    def _items(self, value: list[Any]) -> list[Any]:
        kept: list[Any] = []
        self._room -= 2
        for item in value:
            if self._room <= _MARK:
                self.cut = True
                kept.append(CUT)
                break
            kept.append(self.at(item))
        return kept
