"""Whether a tool was called with the arguments that a model sent, whatever the way that they took to it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from inspect import Parameter, Signature
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from otel_tools._call.binding import RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Received", "Sent", "sent"]

Sent = Mapping[str, str]
"""What a model sent: each argument's value as canonical JSON, a long one as its digest."""

_LONGEST_TEXT: Final = 1_000_000
"""Characters of JSON beyond which a call is not remembered."""

_LONGEST_VALUE: Final = 64
_LONGEST_NAME: Final = 256
_MAX_ARGUMENTS: Final = 256
_FREE_FORM: Final = ""
"""The name of the one argument of a tool that takes text instead of JSON."""

_NULL: Final = "null"
_NO_JSON: Final = ""
"""In the place of the text of what has none; no JSON is empty."""


def sent(arguments: Any, *, free_form: bool = False) -> Sent | None:
    """Read what a model sent.

    Args:
        arguments: A JSON object as text; an empty text is an empty object. Some servers send the object itself.
        free_form: It is no JSON, but the text that a custom tool takes.

    Returns:
        The arguments; None where they are none that a function could be called with.
    """
    try:
        if isinstance(arguments, str):
            if len(arguments) > _LONGEST_TEXT:
                return None
            if free_form:
                return {_FREE_FORM: _canonical(arguments)}
            arguments = json.loads(arguments) if arguments.strip() else {}
        if not isinstance(arguments, dict) or len(arguments) > _MAX_ARGUMENTS:
            return None
        if any(len(name) > _LONGEST_NAME for name in arguments):
            return None
        return {name: _canonical(value) for name, value in arguments.items()}
    except (TypeError, ValueError, RecursionError):
        return None


class Received:
    """What a function was called with.

    It is what a model sent where the values are equal as JSON (1 and 1.0 are; the order of keys is nothing). What is
    missing on one side may be null, or the parameter's default, on the other. A model or dataclass that is the one
    argument stands for its fields.

    Args:
        args: The call's positional arguments.
        kwargs: The call's keyword arguments.
        signature: Gives the function's signature; asked only where it is needed.
    """

    __slots__ = ("_args", "_defaults", "_forms", "_kwargs", "_signature")

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], signature: Callable[[], Signature]) -> None:
        self._args = args
        self._kwargs = kwargs
        self._signature = signature
        self._forms: list[_Texts] | None = None
        self._defaults: _Texts | None = None

    def equals(self, sent: Sent) -> bool:
        """Whether that is what a model sent."""
        try:
            if self._forms is None:
                self._forms = self._in_all_forms()
            return any(self._matches(form, sent) for form in self._forms)
        except Exception:  # noqa: BLE001 - arguments that do not fit, or that raise when they are looked into
            self._forms = []
            return False

    def _matches(self, form: _Texts, sent: Sent) -> bool:
        if _FREE_FORM in sent:
            return len(form.of) == 1 and form[next(iter(form.of))] == sent[_FREE_FORM]
        for name, text in sent.items():
            if name in form.of:
                if form[name] != text:
                    return False
            elif text not in {_NULL, self._default(name)}:
                return False
        return all(
            value is None or name in sent or form[name] == self._default(name) != _NO_JSON
            for name, value in form.of.items()
        )

    def _in_all_forms(self) -> list[_Texts]:
        arguments = self._named()
        forms = [arguments]
        if len(arguments) == 1:
            fields = _fields_of(next(iter(arguments.values())))
            if fields is not None:
                forms.append(fields)
        return [_Texts(form) for form in forms]

    def _named(self) -> Mapping[str, Any]:
        if not self._args:
            return self._kwargs
        signature = self._signature()
        named: dict[str, Any] = {}
        for name, value in signature.bind(*self._args, **self._kwargs).arguments.items():
            if signature.parameters[name].kind is Parameter.VAR_KEYWORD:
                named.update(value)
            elif name not in RECEIVERS:
                named[name] = value
        return named

    def _default(self, name: str) -> str:
        if self._defaults is None:
            parameters = self._signature().parameters.values()
            self._defaults = _Texts({each.name: each.default for each in parameters})
        return self._defaults[name] if name in self._defaults.of else _NO_JSON


class _Texts(dict[str, str]):
    """The canonical JSON of arguments by name, made when it is asked for.

    Attributes:
        of: The arguments.
    """

    __slots__ = ("of",)

    def __init__(self, of: Mapping[str, Any]) -> None:
        super().__init__()
        self.of = of

    def __missing__(self, name: str) -> str:
        try:
            text = _canonical(self.of[name])
        except Exception:  # noqa: BLE001 - a foreign object may raise anything when it is looked into
            text = _NO_JSON
        self[name] = text
        return text


def _canonical(value: Any) -> str:
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= _LONGEST_VALUE:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """The JSON value that was made into this one on its way from the model."""
    if value is None or isinstance(value, (str, bool)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    fields = _fields_of(value)
    if fields is None:
        raise TypeError(type(value).__name__)
    return _plain(fields)


def _number(value: float | Decimal) -> int | float:
    whole = int(value) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - what a NaN is not
    return whole if whole is not None and whole == value else float(value)


def _fields_of(value: Any) -> Mapping[str, Any] | None:
    """The fields of a pydantic model that were set, or those of a dataclass."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(type(value), "model_dump", None)
    if dump is None:
        return None
    fields = dump(value, mode="json", exclude_unset=True, warnings=False)
    return fields if isinstance(fields, Mapping) else None
