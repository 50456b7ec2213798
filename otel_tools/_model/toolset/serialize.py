"""Writes a tool's result as JSON for the model: by pydantic, redacted, and of bounded length."""

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
    from otel_tools._telemetry.content.redaction import Redact, Redaction

__all__ = ["bounded_json", "compact_json", "json_values"]

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_SCAN_FACTOR: Final = 4
"""A text is searched for secrets up to this multiple of its room; the rest is cut off unread."""

_MAX_ITEMS: Final = 10_000
"""Items that are taken from an iterator, which may have no end."""

_PAGE_TOKEN: Final = re.compile(
    r"(?i)(?:page|next|prev(?:ious)?|continu(?:e|ation)|cursor|sync|resume|scroll|paging|pagination)[-_.]?token$"
)
"""A token under such a name is not secret: the model needs it to ask for the next page."""

_MAX_CACHED_KEY: Final = 64
_CUT_LENGTH: Final = 4
"""Characters that the ellipsis of a cut takes in a list."""
_NON_FINITE: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}


def json_values(value: Any) -> Any:
    """The value as JSON values: None, bool, int, float, str, list and dict, as pydantic writes them.

    Models, dataclasses, dates, decimals, sets, enums, paths and named tuples become what pydantic makes of them. Bytes
    become text if they are UTF-8, else base64. Arrays and scalars of numpy and others (all with ``tolist()``) become
    lists and numbers. DataFrames and Series become lists of records. Of an iterator, and of these, the first 10,000
    items are taken.

    Raises:
        Exception: The value cannot be written, or its own code failed. The class depends on the value.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int:
        return value
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - pydantic is imported where it is needed

    if kind is not dict and kind is not list and isinstance(value, Iterator):
        value = list(islice(value, _MAX_ITEMS))
    try:
        return to_jsonable_python(value, fallback=_fallback)
    except UnicodeDecodeError:
        return to_jsonable_python(value, fallback=_fallback, bytes_mode="base64")


def _fallback(value: Any) -> Any:
    """Write a value that pydantic does not know."""
    if (records := _records(value)) is not None:
        return records
    if isinstance(value, memoryview):
        return value.tobytes()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, range):
        return list(value[:_MAX_ITEMS])
    if isinstance(value, type) or not callable(getattr(value, "tolist", None)):
        raise TypeError(f"a {type(value).__qualname__} has no form that is JSON")
    return value.tolist()


def _records(value: Any) -> list[Any] | None:
    """The rows of a DataFrame or a Series of pandas or polars; None for anything else.

    An index other than the numbers from 0 on is a column. Missing values are null.
    """
    kind = type(value).__name__
    library = type(value).__module__.partition(".")[0]
    if kind not in {"DataFrame", "Series"} or library not in {"pandas", "polars"}:
        return None
    value = value.head(_MAX_ITEMS)
    if kind == "Series":
        value = value.to_frame("value") if value.name in {None, ""} else value.to_frame()
    if library == "polars":
        return list(value.to_dicts())
    if type(value.index).__name__ != "RangeIndex":
        value = value.reset_index()
    value = value.astype(object)
    return list(value.where(value.notna(), None).to_dict("records"))


def compact_json(value: Any) -> str:
    """JSON values as compact JSON text."""
    return _encode(value)


def bounded_json(value: Any, room: int, *, redact: Redact) -> tuple[str, bool]:
    """JSON values as JSON text of bounded length that is valid UTF-8.

    Args:
        value: As `json_values` returns it.
        room: The most characters of the text; 16 or more.
        redact: Which secrets are replaced: by their shape (True), also by their key (``"keys"``), or none.

    Returns:
        The text, and whether something was cut. An ellipsis marks each cut.
    """
    redaction = content.redaction if redact == "keys" else content.redaction.by_shape if redact else None
    bounded = _BoundedCopy(room, redaction)
    copied = bounded.copy(value)
    text = compact_json(copied)
    budget = room
    while len(text) > room:
        if budget < 0:
            return compact_json(CUT), True
        # The length of a string in JSON is only known once it is escaped.
        budget = min(budget * room // len(text), budget - _CUT_LENGTH)
        bounded = _BoundedCopy(budget, None, cut=True)
        text = compact_json(bounded.copy(copied))
    return text, bounded.cut


@lru_cache(maxsize=4096)
def _cached_key(redaction: Redaction, key: str) -> tuple[str, bool]:
    """As `_BoundedCopy._key`, cached: one result after the other has the same names of fields."""
    return redaction.text(key), _PAGE_TOKEN.search(key) is None


class _BoundedCopy:
    """Copies JSON values until a number of characters is used up.

    Attributes:
        cut: Whether something was left out.
    """

    __slots__ = ("_redaction", "_remaining", "cut")

    def __init__(self, room: int, redaction: Redaction | None, *, cut: bool = False) -> None:
        self._remaining = room
        self._redaction = redaction
        self.cut = cut

    def copy(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is dict:
            return self._mapping(value)
        if kind is list:
            return self._items(value)
        if kind is float and not math.isfinite(value):
            # JSON has no such numbers, and null would mean that there is no number.
            value = _NON_FINITE.get(value, "NaN")
        length = len(str(value)) + 1
        if length > self._remaining + _CUT_LENGTH:
            # A number may have thousands of digits.
            self.cut = True
            value, length = CUT, _CUT_LENGTH
        self._remaining -= length
        return value

    def _text(self, text: str) -> str:
        room = max(self._remaining - 3, 0)
        if len(text) > room * _SCAN_FACTOR:
            self.cut = True
            if self._redaction is not None and room > _SCAN_FACTOR:
                text = redact_text(text, room, redaction=self._redaction)
            else:
                text = text[: max(room - 1, 0)] + CUT
        else:
            text = text if self._redaction is None else self._redaction.text(text)
            if len(text) > room:
                self.cut = True
                text = text[: max(room - 1, 0)] + CUT
        self._remaining -= len(text) + 3
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def _mapping(self, value: dict[Any, Any]) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        self._remaining -= 2
        for key, item in value.items():
            if self._remaining <= len(key):
                self.cut = True
                copied[CUT] = CUT
                break
            name, suspicious = self._key(key)
            if suspicious and item and self._redaction is not None and self._redaction.hides(key, item):
                item = REDACTED  # noqa: PLW2901 - it replaces the secret
            copied[name] = self.copy(item)
        return copied

    def _key(self, key: str) -> tuple[str, bool]:
        """The name of a field as the model sees it, and whether its value may be secret."""
        if self._redaction is None:
            return self._text(key), False
        if len(key) > _MAX_CACHED_KEY:
            return self._text(key), True
        self._remaining -= len(key) + 3
        return _cached_key(self._redaction, key)

    def _items(self, value: list[Any]) -> list[Any]:
        copied: list[Any] = []
        self._remaining -= 2
        for item in value:
            if self._remaining <= _CUT_LENGTH:
                self.cut = True
                copied.append(CUT)
                break
            copied.append(self.copy(item))
        return copied
