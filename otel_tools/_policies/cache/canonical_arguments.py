"""Keys: when are the arguments of two calls the same?

`form` turns a value into a tree of tuples that is equal to that of another value when a function could not tell the two
apart: types count (``1``, ``1.0`` and ``True`` differ), the order of a dictionary or set does not. `text` writes such a
tree so that it is the same in every process. What they cannot do raises `Unkeyable`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import json
import pathlib
import sys
import types
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Unkeyable", "form", "text"]

_DEEPEST: Final = 100
_LARGEST: Final = 100_000


class Unkeyable(Exception):  # noqa: N818 - says what the value is; it never leaves the cache
    """The value cannot be told from others: it compares by identity, is too deep or too large, or raises."""


class _ByValue:
    """A value that says itself what it equals; one that raises when asked equals nothing.

    The hash is asked for once: an object that changes must not confuse the dictionary that it is a key of.
    """

    __slots__ = ("_hash", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, _ByValue) and self._hash == other._hash and bool(self._value == other._value)
        except Exception:  # noqa: BLE001 - whatever the user's comparison raises
            return False


def form(value: Any) -> Any:
    """The canonical form of a value: text, None and booleans themselves, all else a tuple that begins with its type.

    Raises:
        Unkeyable: There is none.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return (int, value)
    try:
        return _form(value, _DEEPEST, [_LARGEST])
    except Unkeyable:
        raise
    except Exception as error:
        # Hostile or merely broken objects raise anything when they are hashed, compared or looked into.
        raise Unkeyable(f"{kind.__qualname__}: {type(error).__qualname__}") from error


def _form(value: Any, depth: int, room: list[int]) -> Any:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if (atom := _ATOMS.get(kind)) is not None:
        return (kind, atom(value))
    if depth == 0:
        raise Unkeyable("too deep, or contains itself")
    if (parts := _CONTAINERS.get(kind)) is not None:
        return (kind, *parts(value, depth - 1, room))
    return (kind, *_of_class(value, kind, depth - 1, room))


def _all(values: Iterable[Any], depth: int, room: list[int]) -> Iterable[Any]:
    for value in values:
        # Counted one by one: a few lists that contain each other twice can stand for more items than there are atoms.
        room[0] -= 1
        if room[0] < 0:
            raise Unkeyable(f"more than {_LARGEST} parts")
        yield _form(value, depth, room)


def _ordered(value: Iterable[Any], depth: int, room: list[int]) -> tuple[Any, ...]:
    return tuple(_all(value, depth, room))


def _unordered(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    forms = frozenset(_all(value, depth, room))
    if len(forms) != len(value):
        raise Unkeyable("holds several NaN")
    return (forms,)


def _mapping(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    keys = tuple(_all(value.keys(), depth, room))
    items = frozenset(zip(keys, _all(value.values(), depth, room), strict=True))
    if len(set(keys)) != len(value):
        raise Unkeyable("holds several NaN")
    return (items,)


def _defaultdict(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    return (_form(value.default_factory, depth, room), *_mapping(value, depth, room))


def _deque(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    return (value.maxlen, *_all(value, depth, room))


def _pairs(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    return tuple(_all((part for item in value.items() for part in item), depth, room))


def _slice(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    return tuple(_all((value.start, value.stop, value.step), depth, room))


def _moment(value: Any, depth: int, room: list[int]) -> tuple[Any, ...]:
    # Two moments are equal when they are the same instant, but a function can tell their time zones apart.
    return (value.isoformat(), value.fold, _form(value.tzinfo, depth, room))


def _of_class(value: Any, kind: type[Any], depth: int, room: list[int]) -> tuple[Any, ...]:
    """The parts of an instance of a class that is not known by name."""
    if isinstance(value, _KNOWN_BY_IDENTITY):
        return (value,)
    if isinstance(value, enum.Enum):
        return (_form(value._value_, depth, room) if isinstance(value, enum.Flag) else value._name_,)
    if isinstance(value, pathlib.PurePath):
        return (str(value),)
    return _of_record(value, kind, depth, room) or _by_value(value, kind)


def _of_record(value: Any, kind: type[Any], depth: int, room: list[int]) -> tuple[Any, ...]:
    """The fields of a dataclass, pydantic model or named tuple; empty for anything else."""
    if hasattr(kind, "__dataclass_fields__"):
        fields = {name: getattr(value, name) for name in kind.__dataclass_fields__ if hasattr(value, name)}
        return _mapping(fields | getattr(value, "__dict__", {}), depth, room)
    if hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_dump"):
        # As pydantic compares: which fields were given, and which took their default, makes no difference.
        parts = (value.__dict__, value.__pydantic_extra__ or {}, value.__pydantic_private__ or {})
        return tuple(part for mapping in parts for part in _mapping(mapping, depth, room))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return (_ordered(value, depth, room),)
    return ()


def _by_value(value: Any, kind: Any) -> tuple[Any, ...]:
    if kind.__hash__ in {None, object.__hash__} or kind.__eq__ is object.__eq__:
        raise Unkeyable(f"{kind.__qualname__} compares by identity, or not at all")
    return (_ByValue(value),)


def _zone(value: zoneinfo.ZoneInfo) -> str:
    if value.key is None:
        raise Unkeyable("a time zone without a name")
    return value.key


def _same(value: Any) -> Any:
    return value


_KNOWN_BY_IDENTITY: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.EllipsisType)

_ATOMS: Final[dict[type[Any], Callable[[Any], Any]]] = {
    int: _same,
    bytes: _same,
    # As text, for that tells 0.0 from -0.0 and makes one NaN like another; 1.0 and 1.00 are two decimals.
    float: float.hex,
    complex: repr,
    decimal.Decimal: str,
    fractions.Fraction: str,
    bytearray: bytes,
    uuid.UUID: str,
    dt.date: dt.date.isoformat,
    dt.timedelta: repr,
    dt.timezone: repr,
    zoneinfo.ZoneInfo: _zone,
    ipaddress.IPv4Address: str,
    ipaddress.IPv6Address: str,
    range: repr,
}
"""Types of which an instance is known by one atom."""

_CONTAINERS: Final[dict[type[Any], Callable[[Any, int, list[int]], tuple[Any, ...]]]] = {
    list: _ordered,
    tuple: _ordered,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    Counter: _mapping,
    defaultdict: _defaultdict,
    OrderedDict: _pairs,
    deque: _deque,
    set: _unordered,
    frozenset: _unordered,
    slice: _slice,
    dt.datetime: _moment,
    dt.time: _moment,
}
"""Types of which an instance is known by the forms of its parts."""


def text(tree: Any) -> str:
    """A canonical form as text that is the same in every process.

    Raises:
        Unkeyable: It contains what has no name or no text that other processes would know: a lambda, a local class, an
            object that is known by its own hash.
    """
    if isinstance(tree, tuple):
        return f"({','.join([text(part) for part in tree])})"
    if isinstance(tree, frozenset):
        return f"{{{','.join(sorted([text(part) for part in tree]))}}}"
    if isinstance(tree, str):
        return json.dumps(tree)
    if tree is None or isinstance(tree, (bool, int, bytes)):
        return repr(tree)
    if isinstance(tree, _KNOWN_BY_IDENTITY):
        return _name(tree)
    raise Unkeyable(f"{type(tree).__qualname__} means nothing to another process")


def _name(known: Any) -> str:
    """The full name of a class, function or module, when it leads back to it."""
    if known in _UNNAMED:
        return repr(known)
    path = "" if isinstance(known, types.ModuleType) else known.__qualname__
    module = known.__name__ if isinstance(known, types.ModuleType) else known.__module__
    found: Any = sys.modules.get(module)
    for part in path.split(".") if path else ():
        found = getattr(found, part, None)
    if found is not known:
        raise Unkeyable(f"{path or module} cannot be imported by its name")
    return f"{module}:{path}"


_UNNAMED: Final = frozenset(
    {
        ...,
        type(...),
        types.FunctionType,
        types.BuiltinFunctionType,
        types.ModuleType,
        types.MappingProxyType,
    }
)
"""Python's own that no name leads to."""
