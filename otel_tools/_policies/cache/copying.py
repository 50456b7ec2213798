"""Copies: what one caller does to a value must not change what the next one gets."""

from __future__ import annotations

import copy
import json
import marshal
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["as_json", "copier"]

_ATOMS: Final = frozenset({str, int, float, bool, complex, bytes, type(None)})
_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})
_LARGEST: Final = 1_000_000
_DEEPEST: Final = 200


def copier(value: Any) -> Callable[[], Any] | None:
    """Take a copy of a value now, and make copies of that copy later.

    Returns:
        What gives a new copy at each call; None for a value that cannot be copied.
    """
    kind = type(value)
    if kind in _ATOMS:
        return partial(_same, value)
    try:
        # What most tools return: nothing in it can change.
        if kind is dict and _ATOMS.issuperset(map(type, value.values())) and _ATOMS.issuperset(map(type, value)):
            held: dict[Any, Any] = value.copy()
            return held.copy
        if _is_plain(value, set(), _DEEPEST):
            # Ten times as fast as copy.deepcopy, and the packed value is out of anybody's reach.
            return partial(marshal.loads, marshal.dumps(value))
    except Exception:  # noqa: BLE001, S110 - too deep, or changed by another thread meanwhile: the other way may still do
        pass
    try:
        deep = copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - a lock, a socket, a coroutine; copying runs code of the user's
        return None
    return partial(_same, value) if deep is value else partial(copy.deepcopy, deep)


def _same(value: Any) -> Any:
    return value


def _is_plain(value: Any, seen: set[int], depth: int) -> bool:
    """Whether it is made of builtin types alone; marshal would take a bytearray or array too, and give back bytes."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if (kind is not dict and kind not in _SEQUENCES) or depth == 0:
        return False
    if id(value) in seen:
        return True
    seen.add(id(value))
    if kind is dict and not _is_plain(tuple(value), seen, depth - 1):
        return False
    for item in value.values() if kind is dict else value:
        if type(item) not in _ATOMS and not _is_plain(item, seen, depth - 1):
            return False
    return True


def as_json(value: Any, **around: Any) -> str | None:
    """A value as JSON, when it would come back as what it is.

    Args:
        value: Any value.
        around: What else to write into the same object, JSON-shaped.

    Returns:
        ``{"value": ..., **around}``; None where something would be lost: a tuple, a key that is no text, a model, NaN,
        half a surrogate pair.
    """
    try:
        if not _is_json(value, [_LARGEST], _DEEPEST):
            return None
        return json.dumps({"value": value, **around}, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RuntimeError):  # a very long integer; changed by another thread meanwhile
        return None


def _is_json(value: Any, room: list[int], depth: int) -> bool:
    # Items are counted, for a few lists that contain each other twice become more text than there is memory.
    room[0] -= 1
    if room[0] < 0 or depth == 0:
        return False
    kind = type(value)
    if kind is dict:
        return all(
            type(key) is str and _is_text(key) and _is_json(item, room, depth - 1) for key, item in value.items()
        )
    if kind is list:
        return all(_is_json(item, room, depth - 1) for item in value)
    if kind is str:
        return _is_text(value)
    if kind is float:
        return math.isfinite(value)
    return kind in {int, bool, type(None)}


def _is_text(value: str) -> bool:
    """Two lone surrogates side by side would come back as one character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
