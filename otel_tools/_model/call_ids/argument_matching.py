"""Compares the arguments that a tool was called with to those that a model sent, whatever was done to them between."""

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
    from collections.abc import Callable, Collection, Iterator

__all__ = ["NULL", "ReceivedArguments", "SentArguments", "sent_arguments"]

SentArguments = Mapping[str, str]
"""The arguments that a model sent: each value as canonical JSON, a long one as its digest."""

_MAX_TEXT_LENGTH: Final = 1_000_000
"""Characters of JSON beyond which a call is not remembered."""

_MAX_VALUE_LENGTH: Final = 64
_MAX_NAME_LENGTH: Final = 256
_MAX_ARGUMENTS: Final = 256
_FREE_FORM: Final = ""
"""The name of the one argument of a tool that takes text instead of JSON."""

NULL: Final = "null"
_NO_JSON: Final = ""
"""The text of a value that has no JSON. No JSON is empty."""


def sent_arguments(arguments: Any, *, free_form: bool = False) -> SentArguments | None:
    """The arguments that a model sent, in canonical form.

    Args:
        arguments: A JSON object as text; an empty text is an empty object. Some servers send the object itself.
        free_form: Whether the arguments are the text of a custom tool and not JSON.

    Returns:
        None where no function could be called with them, or where they are too large to be remembered.
    """
    try:
        if isinstance(arguments, str):
            if len(arguments) > _MAX_TEXT_LENGTH:
                return None
            if free_form:
                return {_FREE_FORM: _canonical(arguments)}
            # Models write null, too, for a tool without parameters.
            arguments = json.loads(arguments) if arguments.strip() else None
            arguments = {} if arguments is None else arguments
        if not isinstance(arguments, dict) or len(arguments) > _MAX_ARGUMENTS:
            return None
        if any(len(name) > _MAX_NAME_LENGTH for name in arguments):
            return None
        return {name: _canonical(value) for name, value in arguments.items()}
    except (TypeError, ValueError, RecursionError):
        return None


class ReceivedArguments:
    """The arguments that a function was called with.

    They match what a model sent if the values are equal as JSON: 1 equals 1.0, and the order of keys does not count. An
    argument that is missing on one side may be null, or the parameter's default, on the other. A pydantic model or
    dataclass that is the only argument stands for its fields.

    Args:
        args: The call's positional arguments.
        kwargs: The call's keyword arguments.
        signature: Returns the function's signature; called only where it is needed.
    """

    __slots__ = ("_args", "_defaults", "_forms", "_kwargs", "_parameters", "_signature")

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], signature: Callable[[], Signature]) -> None:
        self._args = args
        self._kwargs = kwargs
        self._signature = signature
        self._forms: list[_CanonicalTexts] | None = None
        self._defaults: dict[str, str] | None = None
        self._parameters: Mapping[str, Parameter] = {}

    def match(self, sent: SentArguments, offered: Collection[str] | None = None) -> bool:
        """Whether a model sent these arguments.

        Args:
            sent: What it sent.
            offered: The parameters that the model was told of: others were added by the application or a framework, and
                do not count. None where that is unknown.
        """
        try:
            if self._forms is None:
                self._forms = self._all_forms()
            return any(self._matches(form, sent, offered) for form in self._forms)
        except Exception:  # noqa: BLE001 - arguments that do not fit, or that raise when they are looked into
            self._forms = []
            return False

    def required(self, names: Collection[str]) -> list[Iterator[tuple[str, str]]] | None:
        """For each form of the arguments, those that a model must have sent: no null, and no default.

        Args:
            names: The parameters that models were told of, or sent; others do not count.

        Returns:
            Names and canonical texts; None where the arguments do not fit the signature.
        """
        try:
            if self._forms is None:
                self._forms = self._all_forms()
            return [
                (
                    (name, text)
                    for name, value in form.values_by_name.items()
                    if value is not None
                    and (name in names or _FREE_FORM in names)
                    and (text := form[name]) != self.default(name)
                )
                for form in self._forms
            ]
        except Exception:  # noqa: BLE001 - as in match
            self._forms = []
            return None

    def _matches(self, form: _CanonicalTexts, sent: SentArguments, offered: Collection[str] | None) -> bool:
        if _FREE_FORM in sent:
            return len(form.values_by_name) == 1 and form[next(iter(form.values_by_name))] == sent[_FREE_FORM]
        for name, text in sent.items():
            if name in form.values_by_name:
                if form[name] != text:
                    return False
            elif text not in {NULL, self.default(name)}:
                return False
        return all(
            value is None
            or name in sent
            or (offered is not None and name not in offered)
            or form[name] == self.default(name) != _NO_JSON
            for name, value in form.values_by_name.items()
        )

    def _all_forms(self) -> list[_CanonicalTexts]:
        arguments = self._by_name()
        forms = [arguments]
        if len(arguments) == 1:
            fields = _fields_of(next(iter(arguments.values())))
            if fields is not None:
                forms.append(fields)
        return [_CanonicalTexts(form) for form in forms]

    def _by_name(self) -> Mapping[str, Any]:
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

    def default(self, name: str) -> str:
        """The canonical text of a parameter's default; empty where there is none, or it is no JSON."""
        if self._defaults is None:
            self._parameters = self._parameters or self._signature().parameters
            self._defaults = {}
        text = self._defaults.get(name)
        if text is None:
            parameter = self._parameters.get(name)
            is_given = parameter is not None and parameter.default is not Parameter.empty
            text = self._defaults[name] = (
                _text_of(parameter.default) if parameter is not None and is_given else _NO_JSON
            )
        return text


class _CanonicalTexts(dict[str, str]):
    """The canonical JSON of arguments by name, made on first use.

    Attributes:
        values_by_name: The arguments.
    """

    __slots__ = ("values_by_name",)

    def __init__(self, values_by_name: Mapping[str, Any]) -> None:
        super().__init__()
        self.values_by_name = values_by_name

    def __missing__(self, name: str) -> str:
        text = self[name] = _text_of(self.values_by_name[name])
        return text


def _text_of(value: Any) -> str:
    try:
        return _canonical(value)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything when it is looked into
        return _NO_JSON


_encode: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def _canonical(value: Any) -> str:
    kind = type(value)
    text = str(value) if kind is int else _encode(value if kind is str else _json_value(value))
    if len(text) <= _MAX_VALUE_LENGTH:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _json_value(value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """The JSON value from which this one was made."""
    if value is None or isinstance(value, (str, bool)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return _json_value(value.value)
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _json_value(item) for name, item in value.items()}
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    fields = _fields_of(value)
    if fields is None:
        raise TypeError(type(value).__name__)
    return _json_value(fields)


def _number(value: float | Decimal) -> int | float:
    whole = int(value) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - a NaN is not equal to itself
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
