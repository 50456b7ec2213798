"""Canonical forms of arguments, for cache keys.

`canonical_form` turns a value into a tree of tuples. Two trees are equal when a function could not tell the two values
apart: types count (``1``, ``1.0`` and ``True`` differ), the order of a dictionary or set does not. `canonical_text`
writes such a tree as text that is the same in every process. Both raise `NoCacheKeyError` for a value that has none.
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

__all__ = ["NoCacheKeyError", "canonical_form", "canonical_text"]

_MAX_DEPTH: Final = 100
_MAX_PARTS: Final = 100_000


class NoCacheKeyError(Exception):
    """A value has no canonical form: it compares by identity, is too deep or too large, or raises.

    This exception never leaves the cache.
    """


class _ByValue:
    """A value compared by its own ``__eq__``; where that raises, it equals nothing.

    The hash is computed once: an object that changes must not confuse the dictionary that it is a key of.
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


def canonical_form(value: Any) -> Any:
    """The canonical form of a value: text, None and booleans themselves, all else a tuple that begins with its type.

    Raises:
        NoCacheKeyError: There is none.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return (int, value)
    try:
        return _form(value, _MAX_DEPTH, [_MAX_PARTS])
    except NoCacheKeyError:
        raise
    except Exception as error:
        # Hostile or merely broken objects raise anything when they are hashed, compared or read.
        raise NoCacheKeyError(f"{kind.__qualname__}: {type(error).__qualname__}") from error


def _form(value: Any, depth: int, parts_left: list[int]) -> Any:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if (atom := _ATOMS.get(kind)) is not None:
        return (kind, atom(value))
    if depth == 0:
        raise NoCacheKeyError("too deep, or contains itself")
    if (parts := _CONTAINERS.get(kind)) is not None:
        return (kind, *parts(value, depth - 1, parts_left))
    return (kind, *_of_class(value, kind, depth - 1, parts_left))


def _all(values: Iterable[Any], depth: int, parts_left: list[int]) -> Iterable[Any]:
    for value in values:
        # Counted one by one: a few lists that contain each other twice hold more items than any memory has room for.
        parts_left[0] -= 1
        if parts_left[0] < 0:
            raise NoCacheKeyError(f"more than {_MAX_PARTS} parts")
        yield _form(value, depth, parts_left)


def _ordered(value: Iterable[Any], depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    return tuple(_all(value, depth, parts_left))


def _unordered(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    forms = frozenset(_all(value, depth, parts_left))
    if len(forms) != len(value):
        raise NoCacheKeyError("holds several NaN")
    return (forms,)


def _mapping(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    keys = tuple(_all(value.keys(), depth, parts_left))
    items = frozenset(zip(keys, _all(value.values(), depth, parts_left), strict=True))
    if len(set(keys)) != len(value):
        raise NoCacheKeyError("holds several NaN")
    return (items,)


def _defaultdict(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    return (_form(value.default_factory, depth, parts_left), *_mapping(value, depth, parts_left))


def _deque(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    return (value.maxlen, *_all(value, depth, parts_left))


def _pairs(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    return tuple(_all((part for item in value.items() for part in item), depth, parts_left))


def _slice(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    return tuple(_all((value.start, value.stop, value.step), depth, parts_left))


def _moment(value: Any, depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    # Two moments are equal when they are the same instant, but a function can tell their time zones apart.
    return (value.isoformat(), value.fold, _form(value.tzinfo, depth, parts_left))


def _of_class(value: Any, kind: type[Any], depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    """The parts of an instance of a class that is not in the tables below."""
    if isinstance(value, _KNOWN_BY_IDENTITY):
        return (value,)
    if isinstance(value, enum.Enum):
        return (_form(value._value_, depth, parts_left) if isinstance(value, enum.Flag) else value._name_,)
    if isinstance(value, pathlib.PurePath):
        return (str(value),)
    return _of_record(value, kind, depth, parts_left) or _by_value(value, kind)


def _of_record(value: Any, kind: type[Any], depth: int, parts_left: list[int]) -> tuple[Any, ...]:
    """The fields of a dataclass, pydantic model or named tuple; empty for anything else."""
    if hasattr(kind, "__dataclass_fields__"):
        fields = {name: getattr(value, name) for name in kind.__dataclass_fields__ if hasattr(value, name)}
        return _mapping(fields | getattr(value, "__dict__", {}), depth, parts_left)
    if hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_dump"):
        # As pydantic compares: it makes no difference which fields were given and which took their default.
        parts = (value.__dict__, value.__pydantic_extra__ or {}, value.__pydantic_private__ or {})
        return tuple(part for mapping in parts for part in _mapping(mapping, depth, parts_left))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return (_ordered(value, depth, parts_left),)
    return ()


def _by_value(value: Any, kind: Any) -> tuple[Any, ...]:
    if kind.__hash__ in {None, object.__hash__} or kind.__eq__ is object.__eq__:
        raise NoCacheKeyError(f"{kind.__qualname__} compares by identity, or not at all")
    return (_ByValue(value),)


def _zone(value: zoneinfo.ZoneInfo) -> str:
    if value.key is None:
        raise NoCacheKeyError("a time zone without a name")
    return value.key


def _same(value: Any) -> Any:
    return value


_KNOWN_BY_IDENTITY: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.EllipsisType)

_ATOMS: Final[dict[type[Any], Callable[[Any], Any]]] = {
    int: _same,
    bytes: _same,
    # As text: that tells 0.0 from -0.0 and makes one NaN equal another; 1.0 and 1.00 are two decimals.
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
"""Types whose instances are told apart by one hashable value, which the function gives."""

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
"""Types whose instances are told apart by the canonical forms of their parts."""


def canonical_text(tree: Any) -> str:
    """A canonical form as text that is the same in every process.

    Raises:
        NoCacheKeyError: It contains an object that has no name or text in other processes: a lambda, a local class, an
            object that is compared by its own ``__eq__``.
    """
    if isinstance(tree, tuple):
        return f"({','.join([canonical_text(part) for part in tree])})"
    if isinstance(tree, frozenset):
        return f"{{{','.join(sorted([canonical_text(part) for part in tree]))}}}"
    if isinstance(tree, str):
        return json.dumps(tree)
    if tree is None or isinstance(tree, (bool, int, bytes)):
        return repr(tree)
    if isinstance(tree, _KNOWN_BY_IDENTITY):
        return _importable_name(tree)
    raise NoCacheKeyError(f"{type(tree).__qualname__} means nothing to another process")


def _importable_name(item: Any) -> str:
    """The full name of a class, function or module, by which it can be imported."""
    if item in _NOT_IMPORTABLE:
        return repr(item)
    path = "" if isinstance(item, types.ModuleType) else item.__qualname__
    module = item.__name__ if isinstance(item, types.ModuleType) else item.__module__
    found: Any = sys.modules.get(module)
    for part in path.split(".") if path else ():
        found = getattr(found, part, None)
    if found is not item:
        raise NoCacheKeyError(f"{path or module} cannot be imported by its name")
    return f"{module}:{path}"


_NOT_IMPORTABLE: Final = frozenset(
    {
        ...,
        type(...),
        types.FunctionType,
        types.BuiltinFunctionType,
        types.ModuleType,
        types.MappingProxyType,
    }
)
"""Objects of Python itself that cannot be imported by their name."""
