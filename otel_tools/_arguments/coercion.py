"""How do the arguments of a call fill the parameters? By position, by name, or as the fields of a model."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import ValidationError

from otel_tools._arguments.validation_errors import Schema, described, unknown
from otel_tools.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel, TypeAdapter

    from otel_tools._arguments.parameters import ArgumentsModel
    from otel_tools._call.steps import Call

__all__ = ["Filling", "Returned", "Wrong"]

Wrong = list[FieldError]

_JSON_LEAVES: Final = (str, int, float, bool, type(None))
_DEEPEST: Final = 100


class Filling:
    """Validates the arguments of calls.

    Attributes:
        plain: Whether a dictionary of arguments by name can go through `validate` and to the function as it comes out.
        receivers: How many arguments by position are ``self`` or ``cls``.
        validate: Gives the validated dictionary of one of arguments by name, or raises `failure`.
        failure: The class of pydantic's error.
    """

    __slots__ = ("_defaults", "_names", "_schema", "failure", "model", "plain", "receiver", "receivers", "validate")

    def __init__(self, model: ArgumentsModel, receiver: str | None) -> None:
        self.model = model
        self.receiver = receiver
        self.receivers = 0 if receiver is None else 1
        self.validate: Callable[[Any], dict[str, Any]] = model.adapter.validator.validate_python
        self.failure = ValidationError
        self.plain = not (model.rest or model.extra or model.single or any(p.positional_only for p in model.parameters))
        self._defaults = {parameter.name: parameter.default for parameter in model.parameters}
        self._names = [parameter.alias or parameter.name for parameter in model.parameters]
        if model.rest:
            self._names.append(model.rest)
        self._schema: Schema | None = None

    def take_plain(self, call: Call) -> bool:
        """Validate arguments of which some are given by position, where nothing but `plain` ones can be given.

        Returns:
            Whether they could be put together. Where not, the call is untouched and for `take` to refuse.

        Raises:
            failure: They do not fit.
        """
        receivers, positional, args = self.receivers, self.model.positional, call.args
        by_position = len(args) - receivers
        if not 0 < by_position <= len(positional):
            return False
        given = dict(zip(positional, args[receivers:], strict=False))
        if call.kwargs:
            given.update(call.kwargs)
            if len(given) != by_position + len(call.kwargs):
                return False
        result = self.validate(given)
        call.args = (*args[:receivers], *[result.pop(name) for name in positional[:by_position]])
        call.kwargs = result
        return True

    def take(self, call: Call, failure: ValidationError | None) -> Wrong:
        """Validate the arguments of a call of any kind, and put what comes out in their place.

        Args:
            call: The call; untouched where something is wrong.
            failure: What `validate` already said of its arguments by name, where it was asked.

        Returns:
            What is wrong; nothing where nothing is.
        """
        model = self.model
        values = call.args[self.receivers :]
        given, extra = self._sorted_out(call.kwargs)
        by_position = dict(zip(model.positional, values, strict=False))
        beyond = values[len(model.positional) :]
        if beyond and model.rest:
            by_position[model.rest] = list(beyond)
        wrong = [FieldError(name, "is given twice") for name in by_position if name in given]
        if beyond and not model.more:
            most = len(model.positional)
            wrong.append(FieldError("(by position)", f"at most {most} argument{'s' * (most != 1)} can be given so"))
        if wrong:
            return wrong
        receiver = {self.receiver: given.pop(self.receiver)} if not call.args and self.receiver in given else {}
        given.update(by_position)

        wrong, result = self._validated(given, failure)
        if model.extra_adapter is not None and extra:
            extra_wrong, extra = self._through(model.extra_adapter, extra, self._names)
            wrong.extend(extra_wrong)
        if not wrong:
            call.args = (*call.args[: self.receivers], *self._by_position(result, len(values)))
            if not model.rest:
                call.args += beyond
            call.kwargs = {**receiver, **result, **extra}
        return wrong

    def _sorted_out(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments by name that are parameters, and those for ``**kwargs``."""
        if not self.model.extra:
            return dict(kwargs), {}
        named = {*self._defaults, *self._names, *self.model.bound, self.receiver}
        return (
            {name: value for name, value in kwargs.items() if name in named},
            {name: value for name, value in kwargs.items() if name not in named},
        )

    def _validated(self, given: dict[str, Any], failure: ValidationError | None) -> tuple[Wrong, dict[str, Any]]:
        model = self.model
        if model.single is None or not self._is_flat(given, model.single):
            return self._through(model.adapter, given, self._names, failure)
        # The fields of the one model in the place of the model itself.
        (parameter,) = model.parameters
        names = [*_names_of(model.single), parameter.name]
        wrong = []
        if model.single.model_config.get("extra") is None:
            wrong = [unknown(name, names) for name in given if name not in names]
            given = {name: value for name, value in given.items() if name in names}
        inner, result = self._through(model.adapter, {parameter.name: given}, names)
        return [*wrong, *inner], result

    def _through(
        self, adapter: TypeAdapter[Any], given: dict[str, Any], names: list[str], failure: ValidationError | None = None
    ) -> tuple[Wrong, dict[str, Any]]:
        """What is wrong, and what comes out; one of them is empty."""
        if failure is not None:
            errors = _told(failure)
        else:
            try:
                return [], adapter.validator.validate_python(given)
            except ValidationError as error:
                errors = _told(error)
        # What is strict takes a date from text in JSON alone, and JSON is what a model sends.
        if all(error["type"].endswith(("_type", "_of")) for error in errors) and _is_json(given, _DEEPEST):
            with contextlib.suppress(ValidationError):  # what was said first stands
                return [], adapter.validator.validate_json(json.dumps(given))
        if names is not self._names:
            (given,) = given.values()
            errors = [{**error, "loc": error["loc"][1:]} for error in errors]
        return described(errors, given, self._known(), names=names), {}

    def _is_flat(self, given: Mapping[str, Any], single: type[BaseModel]) -> bool:
        """Whether the names given are those of the model's fields and not that of the parameter."""
        (parameter,) = self.model.parameters
        own = given.keys() & {parameter.name, parameter.alias}
        if not own:
            return bool(given) or parameter.required
        if own.isdisjoint(_names_of(single)):
            return False
        # The model has a field of the parameter's own name: f(query="x", limit=3), f(query="x"), f(query={...}).
        values = [given[name] for name in own]
        return len(given) > 1 or not (values == [None] or isinstance(values[0], (dict, single)))

    def _by_position(self, result: dict[str, Any], given: int) -> list[Any]:
        """Take out of the result what the function must be given by position; more only where it has to be."""
        model = self.model
        rest = result.pop(model.rest, []) if model.rest else []
        count = len(model.positional) if rest else min(given, len(model.positional))
        for at, parameter in enumerate(model.parameters):
            if parameter.positional_only and parameter.name in result:
                count = max(count, at + 1)
        before = [result.pop(name) if name in result else self._defaults[name] for name in model.positional[:count]]
        return [*before, *rest]

    def _known(self) -> Schema:
        if self._schema is None:
            adapters = (self.model.adapter, self.model.extra_adapter)
            self._schema = Schema(*(adapter.core_schema for adapter in adapters if adapter is not None))
        return self._schema


class Returned:
    """Checks what the function returned, by the adapter of its annotation; without one, anything is right."""

    __slots__ = ("_adapter",)

    def __init__(self, adapter: TypeAdapter[Any] | None) -> None:
        self._adapter = adapter

    def wrong(self, value: Any) -> Wrong:
        """What is wrong with it; nothing where nothing is."""
        if self._adapter is None:
            return []
        try:
            self._adapter.validator.validate_python(value, strict=True)
        except ValidationError as error:
            return described(_told(error), value, Schema(self._adapter.core_schema), root="result")
        return []


def _told(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_input=False)


def _is_json(value: Any, deepest: int) -> bool:
    kind = type(value)
    if kind in _JSON_LEAVES:
        return True
    if kind is dict and deepest:
        return all(type(name) is str and _is_json(part, deepest - 1) for name, part in value.items())
    return kind is list and deepest > 0 and all(_is_json(part, deepest - 1) for part in value)


def _names_of(model: type[BaseModel]) -> dict[str, None]:
    """The names by which a model's fields may be given, in their order."""
    config = model.model_config
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    names: dict[str, None] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        if alias is None or by_name:
            names[name] = None
        choices = getattr(alias, "choices", [alias])
        # Of a path into nested objects, the first step is the name of an argument.
        names.update({each if isinstance(each, str) else each.path[0]: None for each in choices if each is not None})
    return names
