"""Defensive copies of cached values, and their JSON for stores."""

from __future__ import annotations

import copy
import json
import marshal
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["copy_factory", "to_lossless_json"]

_ATOMS: Final = frozenset({str, int, float, bool, complex, bytes, type(None)})
_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})
_MAX_ITEMS: Final = 1_000_000
_MAX_DEPTH: Final = 200


def copy_factory(value: Any) -> Callable[[], Any] | None:
    """Copy a value now, and return a function that copies that copy.

    Returns:
        A function that returns a new copy at each call; None for a value that cannot be copied.
    """
    kind = type(value)
    if kind in _ATOMS:
        return partial(_same, value)
    try:
        # The dictionary that most tools return, in which nothing can change.
        if kind is dict and _ATOMS.issuperset(map(type, value.values())) and _ATOMS.issuperset(map(type, value)):
            kept: dict[Any, Any] = value.copy()
            return kept.copy
        if _is_builtin(value, set(), _MAX_DEPTH):
            # Ten times as fast as copy.deepcopy, and nobody can change the packed value.
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


def _is_builtin(value: Any, seen: set[int], depth: int) -> bool:
    """Whether a value is made of builtin types alone.

    `marshal` also takes a bytearray or array, and gives back bytes.
    """
    kind = type(value)
    if kind in _ATOMS:
        return True
    if (kind is not dict and kind not in _SEQUENCES) or depth == 0:
        return False
    if id(value) in seen:
        return True
    seen.add(id(value))
    if kind is dict and not _is_builtin(tuple(value), seen, depth - 1):
        return False
    for item in value.values() if kind is dict else value:
        if type(item) not in _ATOMS and not _is_builtin(item, seen, depth - 1):
            return False
    return True


def to_lossless_json(value: Any, **extra: Any) -> str | None:
    """A value as JSON, if reading the JSON gives back the same value.

    Args:
        value: Any value.
        extra: Other members of the same object, of types that JSON has.

    Returns:
        ``{"value": ..., **extra}``; None where something would be lost: a tuple, a key that is no text, a model, NaN,
        half a surrogate pair.
    """
    try:
        if not _is_json(value, [_MAX_ITEMS], _MAX_DEPTH):
            return None
        return json.dumps({"value": value, **extra}, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RuntimeError):  # a very long integer; changed by another thread meanwhile
        return None


def _is_json(value: Any, items_left: list[int], depth: int) -> bool:
    # Items are counted: a few lists that contain each other twice become more text than there is memory.
    items_left[0] -= 1
    if items_left[0] < 0 or depth == 0:
        return False
    kind = type(value)
    if kind is dict:
        return all(
            type(key) is str and _is_text(key) and _is_json(item, items_left, depth - 1) for key, item in value.items()
        )
    if kind is list:
        return all(_is_json(item, items_left, depth - 1) for item in value)
    if kind is str:
        return _is_text(value)
    if kind is float:
        return math.isfinite(value)
    return kind in {int, bool, type(None)}


def _is_text(value: str) -> bool:
    """Whether a text has no lone surrogates: two of them side by side would come back as one character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
