"""Converts any value to JSON types, redacted, without running code of the value's own class.

A tool may be called with objects whose ``__repr__``, ``__str__``, ``__iter__`` or ``__getattr__`` raises, blocks or
queries a database, or whose ``__class__`` is wrong. So the code here looks at ``type(value)`` and calls the methods of
builtin types, never those of the object.
"""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import types
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from otel_tools._telemetry.content.redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_tools._telemetry.content.redaction import Redaction

__all__ = ["CUT", "JsonWalker", "redacted_end", "redacted_start"]

CUT: Final = "…"
"""Marks that something was left out."""

MARGIN: Final = 2048
"""Characters dropped beside a cut: a pattern does not find a secret that was cut in two."""

_MISSING: Final = object()
_UNREADABLE: Final = "<unreadable>"
_MAX_DIGITS: Final = 1024
_PAIR: Final = 2
_VALUE: Final = "value"
_NAMING: Final = ("name", "key", "header", "variable")
_ITEM_COST: Final = 3
"""Characters that each item takes from the budget beside its text: about its quotes and its comma."""

# `type.__mro__`, `vars(type)` and the like as they are, also where a metaclass overrides them.
_mro_of: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_vars_of: Final[Callable[[type], dict[str, Any]]] = type.__dict__["__dict__"].__get__
_module_of: Final[Callable[[type], str]] = type.__dict__["__module__"].__get__
_qualname_of: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__

_CONTAINERS: Final[tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...]] = (
    (list, list.__iter__),
    (tuple, tuple.__iter__),
    (set, set.__iter__),
    (frozenset, frozenset.__iter__),
    (collections.deque, collections.deque.__iter__),
)
_TEXTS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (dt.datetime, dt.datetime.isoformat),
    (dt.date, dt.date.isoformat),
    (dt.time, dt.time.isoformat),
    (dt.timedelta, dt.timedelta.__str__),
    (decimal.Decimal, decimal.Decimal.__str__),
    (uuid.UUID, uuid.UUID.__str__),
    (pathlib.PurePath, pathlib.PurePath.__str__),
    (complex, complex.__repr__),
    (bytes, lambda value: f"<bytes of {bytes.__len__(value)} bytes>"),
    (bytearray, lambda value: f"<bytearray of {bytearray.__len__(value)} bytes>"),
    (memoryview, lambda value: f"<memoryview of {value.nbytes} bytes>"),
)


def redacted_start(text: str, length: int, redaction: Redaction) -> tuple[str, bool]:
    """The first ``length`` characters of a text, redacted, and whether something was cut off."""
    start = str.__getitem__(text, slice(length))
    if len(start) == str.__len__(text):
        return redaction.text(start), False
    return redaction.text(start)[:-MARGIN], True


def redacted_end(text: str, length: int, redaction: Redaction) -> tuple[str, bool]:
    """The last ``length`` characters of a text, redacted, and whether something was cut off."""
    if len(text) <= length:
        return redaction.text(text), False
    return redaction.text(text[len(text) - length :], headless=True)[MARGIN:], True


class JsonWalker:
    """Converts a value to JSON types within a budget of characters.

    Args:
        budget: Maximum number of characters of texts, and of items, that are read.
        redaction: Redacts texts and the values of secret keys.
    """

    def __init__(self, budget: int, redaction: Redaction) -> None:
        self._budget = budget
        self._redaction = redaction
        self._ancestors: set[int] = set()

    def walk(self, value: Any, depth: int) -> Any:
        """The value as None, bool, int, float, str, list or dict, nested at most ``depth`` deep."""
        self._budget -= _ITEM_COST
        kind = type(value)
        if value is None or kind is bool:
            return value
        try:
            if issubclass(kind, str):
                return self._text(value)
            if issubclass(kind, (int, float)):
                return _number(kind, value)
            if depth <= 0 or id(value) in self._ancestors:
                return CUT
            self._ancestors.add(id(value))
            try:
                return self._object(kind, value, depth - 1)
            finally:
                self._ancestors.discard(id(value))
        except Exception:  # noqa: BLE001 - one value that cannot be read does not lose the others
            return _UNREADABLE

    def _text(self, text: str) -> str:
        room = max(self._budget, 0)
        self._budget -= min(room, str.__len__(text))
        start, was_cut = redacted_start(text, room, self._redaction)
        return start + CUT if was_cut else start

    def _object(self, kind: type, value: Any, depth: int) -> Any:
        if issubclass(kind, dict):
            return self._mapping(_with_named_value(value, self._redaction), depth)
        for container, items_of in _CONTAINERS:
            if issubclass(kind, container):
                return self._items(items_of(value), depth)
        if issubclass(kind, enum.Enum):
            return self._text(f"{_qualname_of(kind)}.{_instance_dict(kind, value)['_name_']}")
        for text_type, text_of in _TEXTS:
            if issubclass(kind, text_type):
                return self._text(text_of(value))
        fields = _fields_of(kind, value)
        if fields is not None:
            return self._mapping(fields, depth)
        return self._text(f"<{_module_of(kind)}.{_qualname_of(kind)}>")

    def _mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, item in self._snapshot(items):
            if self._budget <= 0:
                converted[CUT] = CUT
                break
            kind = type(key)
            if issubclass(kind, str):
                name, secret_key = self._text(key), key
            else:
                name = secret_key = json.dumps(self.walk(key, 1), ensure_ascii=False).strip('"')
                if issubclass(kind, bytes):
                    secret_key = bytes.decode(key, "latin-1")
            converted[name] = REDACTED if self._redaction.hides(secret_key, item) else self.walk(item, depth)
        return converted

    def _items(self, items: Iterable[Any], depth: int) -> list[Any]:
        converted: list[Any] = []
        taken = self._snapshot(items)
        if len(taken) == _PAIR and self._hides_second(taken):
            return [self.walk(taken[0], depth), REDACTED]
        for item in taken:
            if self._budget <= 0:
                converted.append(CUT)
                break
            converted.append(self.walk(item, depth))
        return converted

    def _hides_second(self, pair: list[Any]) -> bool:
        """Whether it is a name and a secret, as ``("authorization", "Token ...")`` of a list of headers."""
        name, value = map(_text_or_bytes, pair)
        return name is not None and value is not None and self._redaction.hides(name, value)

    def _snapshot(self, items: Iterable[Any]) -> list[Any]:
        """As many items as the budget allows and one more, copied at once: another thread may change the container."""
        return list(islice(items, max(self._budget, 0) + 1))


def _text_or_bytes(value: Any) -> str | None:
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    return bytes.decode(value, "latin-1") if issubclass(kind, bytes) else None


def _with_named_value(value: dict[Any, Any], redaction: Redaction) -> Iterable[tuple[Any, Any]]:
    """The items of a dictionary; of ``{"name": "DB_PASSWORD", "value": ...}`` the value is redacted."""
    if dict.__contains__(value, _VALUE):
        for naming in _NAMING:
            name = _text_or_bytes(dict.get(value, naming))
            if name is not None and redaction.hides(name, dict.get(value, _VALUE)):
                return [(key, REDACTED if key == _VALUE else item) for key, item in dict.items(value)]
    return dict.items(value)


def _number(kind: type, value: Any) -> Any:
    if issubclass(kind, float):
        return float.__float__(value) if math.isfinite(value) else float.__repr__(value)
    # Python does not convert very long integers to text, and JSON readers do not read them.
    bits = int.bit_length(value)
    return int.__int__(value) if bits < _MAX_DIGITS else f"<int of {bits} bits>"


def _fields_of(kind: type, value: Any) -> list[tuple[str, Any]] | None:
    """The stored fields of a dataclass or pydantic model; None for any other object."""
    for base in _mro_of(kind):
        own = _vars_of(base)
        if "__pydantic_fields__" in own:
            extra = _slot(kind, value, "__pydantic_extra__")
            return [*_instance_dict(kind, value).items(), *(extra.items() if type(extra) is dict else ())]
        if "__dataclass_fields__" in own:
            stored = _instance_dict(kind, value)
            fields = [(name, stored.get(name, _MISSING)) for name in own["__dataclass_fields__"]]
            fields = [(name, _slot(kind, value, name) if item is _MISSING else item) for name, item in fields]
            return [(name, item) for name, item in fields if item is not _MISSING]
    return None


def _instance_dict(kind: type, value: Any) -> dict[str, Any]:
    for base in _mro_of(kind):
        descriptor = _vars_of(base).get("__dict__")
        if type(descriptor) is types.GetSetDescriptorType:
            return dict(dict.items(descriptor.__get__(value)))
    return {}


def _slot(kind: type, value: Any, name: str) -> Any:
    """The value in a slot. A property of that name is not called."""
    for base in _mro_of(kind):
        descriptor = _vars_of(base).get(name)
        if type(descriptor) is types.MemberDescriptorType:
            with contextlib.suppress(AttributeError):
                return descriptor.__get__(value)
    return _MISSING
