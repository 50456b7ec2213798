"""Validates and coerces the arguments of a call and checks its result, with pydantic."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import ValidationError

from otel_tools._arguments.validation_errors import SchemaNames, field_errors, unknown_argument
from otel_tools.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel, TypeAdapter

    from otel_tools._arguments.parameters import ArgumentsModel
    from otel_tools._call.call import Call

__all__ = ["ArgumentValidator", "FieldErrors", "ResultValidator"]

FieldErrors: TypeAlias = list[FieldError]

_JSON_SCALARS: Final = (str, int, float, bool, type(None))
_MAX_DEPTH: Final = 100
"""Nesting of arguments beyond which they are not tried as JSON."""


class ArgumentValidator:
    """Validates and coerces the arguments of calls: by position, by name, or as the fields of a single model.

    Attributes:
        model: The parameters.
        receiver: ``self`` or ``cls``, where the function has it.
        receiver_count: How many arguments by position are the receiver: 0 or 1.
        is_simple: Whether a dictionary of arguments by name can go through `validate` and on to the function as it
            comes out. It cannot with ``*args``, ``**kwargs``, positional-only parameters or a single model.
        validate: Takes a dictionary of arguments by name and returns the validated one, or raises `error_class`.
        error_class: pydantic's ``ValidationError``.
    """

    __slots__ = (
        "_defaults",
        "_names",
        "_schema_names",
        "error_class",
        "is_simple",
        "model",
        "receiver",
        "receiver_count",
        "validate",
    )

    def __init__(self, model: ArgumentsModel, receiver: str | None) -> None:
        self.model = model
        self.receiver = receiver
        self.receiver_count = 0 if receiver is None else 1
        self.validate: Callable[[Any], dict[str, Any]] = model.adapter.validator.validate_python
        self.error_class = ValidationError
        self.is_simple = not (
            model.var_positional
            or model.has_var_keyword
            or model.single_model
            or any(parameter.positional_only for parameter in model.parameters)
        )
        self._defaults = {parameter.name: parameter.default for parameter in model.parameters}
        self._names = [parameter.alias or parameter.name for parameter in model.parameters]
        if model.var_positional:
            self._names.append(model.var_positional)
        self._schema_names: SchemaNames | None = None

    def coerce_simple(self, call: Call) -> bool:
        """Validate and coerce arguments of which some are given by position. For `is_simple` parameters alone.

        Returns:
            Whether the arguments could be put together. Where not, the call is unchanged, and `coerce` says why.

        Raises:
            error_class: An argument does not fit its parameter.
        """
        receiver_count, positional, args = self.receiver_count, self.model.positional, call.args
        by_position = len(args) - receiver_count
        if not 0 < by_position <= len(positional):
            return False
        arguments = dict(zip(positional, args[receiver_count:], strict=False))
        if call.kwargs:
            arguments.update(call.kwargs)
            if len(arguments) != by_position + len(call.kwargs):
                return False
        result = self.validate(arguments)
        call.args = (*args[:receiver_count], *[result.pop(name) for name in positional[:by_position]])
        call.kwargs = result
        return True

    def coerce(self, call: Call, failure: ValidationError | None) -> FieldErrors:
        """Validate the arguments of any call, and replace them by the coerced ones.

        Args:
            call: The call; unchanged where there are errors.
            failure: The error that `validate` already raised for the call's arguments by name, if any.

        Returns:
            The errors; empty where all arguments fit.
        """
        model = self.model
        values = call.args[self.receiver_count :]
        arguments, var_keyword = self._split_keywords(call.kwargs)
        by_position = dict(zip(model.positional, values, strict=False))
        surplus = values[len(model.positional) :]
        if surplus and model.var_positional:
            by_position[model.var_positional] = list(surplus)
        errors = [FieldError(name, "is given twice") for name in by_position if name in arguments]
        if surplus and not model.has_var_positional:
            limit = len(model.positional)
            errors.append(FieldError("(by position)", f"at most {limit} argument{'s' * (limit != 1)} can be given so"))
        if errors:
            return errors
        receiver: dict[str, Any] = {}
        if self.receiver is not None and not call.args and self.receiver in arguments:
            receiver[self.receiver] = arguments.pop(self.receiver)
        arguments.update(by_position)

        errors, result = self._validate(arguments, failure)
        if model.var_keyword_adapter is not None and var_keyword:
            keyword_errors, var_keyword = self._run(model.var_keyword_adapter, var_keyword, self._names)
            errors.extend(keyword_errors)
        if not errors:
            call.args = (*call.args[: self.receiver_count], *self._pop_positional(result, len(values)))
            if not model.var_positional:
                call.args += surplus
            call.kwargs = {**receiver, **result, **var_keyword}
        return errors

    def _split_keywords(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments by name that are parameters, and those for ``**kwargs``."""
        if not self.model.has_var_keyword:
            return dict(kwargs), {}
        named = {*self._defaults, *self._names, *self.model.partial_keywords, self.receiver}
        return (
            {name: value for name, value in kwargs.items() if name in named},
            {name: value for name, value in kwargs.items() if name not in named},
        )

    def _validate(
        self, arguments: dict[str, Any], failure: ValidationError | None
    ) -> tuple[FieldErrors, dict[str, Any]]:
        model = self.model
        if model.single_model is None or not self._are_model_fields(arguments, model.single_model):
            return self._run(model.adapter, arguments, self._names, failure)
        # The fields of the single model are given in place of the model.
        (parameter,) = model.parameters
        names = [*_field_names(model.single_model), parameter.name]
        errors = []
        if model.single_model.model_config.get("extra") is None:
            errors = [unknown_argument(name, names) for name in arguments if name not in names]
            arguments = {name: value for name, value in arguments.items() if name in names}
        model_errors, result = self._run(model.adapter, {parameter.name: arguments}, names)
        return [*errors, *model_errors], result

    def _run(
        self,
        adapter: TypeAdapter[Any],
        arguments: dict[str, Any],
        names: list[str],
        failure: ValidationError | None = None,
    ) -> tuple[FieldErrors, dict[str, Any]]:
        """Validate with an adapter: the errors and the result, of which one is empty."""
        if failure is not None:
            details = _details(failure)
        else:
            try:
                return [], adapter.validator.validate_python(arguments)
            except ValidationError as error:
                details = _details(error)
        # A strict type takes a date from text only in JSON, and a model sends JSON.
        if all(detail["type"].endswith(("_type", "_of")) for detail in details) and _is_json(arguments, _MAX_DEPTH):
            with contextlib.suppress(ValidationError):  # the first errors stay
                return [], adapter.validator.validate_json(json.dumps(arguments))
        if names is not self._names:
            (arguments,) = arguments.values()
            details = [{**detail, "loc": detail["loc"][1:]} for detail in details]
        return field_errors(details, arguments, self._known_names(), names=names), {}

    def _are_model_fields(self, arguments: Mapping[str, Any], single_model: type[BaseModel]) -> bool:
        """Whether the names are those of the model's fields and not that of the one parameter."""
        (parameter,) = self.model.parameters
        own = arguments.keys() & {parameter.name, parameter.alias}
        if not own:
            return bool(arguments) or parameter.required
        if own.isdisjoint(_field_names(single_model)):
            return False
        # The model has a field of the parameter's own name: f(query="x", limit=3), f(query="x"), f(query={...}).
        values = [arguments[name] for name in own]
        return len(arguments) > 1 or not (values == [None] or isinstance(values[0], (dict, single_model)))

    def _pop_positional(self, result: dict[str, Any], given: int) -> list[Any]:
        """Take the arguments by position out of the result.

        These are the ones that were given by position, and more where the function has positional-only parameters.
        """
        model = self.model
        surplus = result.pop(model.var_positional, []) if model.var_positional else []
        count = len(model.positional) if surplus else min(given, len(model.positional))
        for index, parameter in enumerate(model.parameters):
            if parameter.positional_only and parameter.name in result:
                count = max(count, index + 1)
        named = [result.pop(name) if name in result else self._defaults[name] for name in model.positional[:count]]
        return [*named, *surplus]

    def _known_names(self) -> SchemaNames:
        if self._schema_names is None:
            adapters = (self.model.adapter, self.model.var_keyword_adapter)
            self._schema_names = SchemaNames(*(adapter.core_schema for adapter in adapters if adapter is not None))
        return self._schema_names


class ResultValidator:
    """Checks what the function returned against its return annotation.

    Args:
        adapter: Of the annotation; None accepts anything.
    """

    __slots__ = ("_adapter",)

    def __init__(self, adapter: TypeAdapter[Any] | None) -> None:
        self._adapter = adapter

    def errors(self, value: Any) -> FieldErrors:
        """What is wrong with the value; empty where it fits."""
        if self._adapter is None:
            return []
        try:
            self._adapter.validator.validate_python(value, strict=True)
        except ValidationError as error:
            return field_errors(_details(error), value, SchemaNames(self._adapter.core_schema), root="result")
        return []


def _details(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_input=False)


def _is_json(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _JSON_SCALARS:
        return True
    if kind is dict and depth:
        return all(type(name) is str and _is_json(part, depth - 1) for name, part in value.items())
    return kind is list and depth > 0 and all(_is_json(part, depth - 1) for part in value)


def _field_names(model: type[BaseModel]) -> dict[str, None]:
    """The names by which a model's fields may be given, in order."""
    config = model.model_config
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    names: dict[str, None] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        if alias is None or by_name:
            names[name] = None
        choices = getattr(alias, "choices", [alias])
        # The first step of a path into nested objects is the name of an argument.
        names.update({item if isinstance(item, str) else item.path[0]: None for item in choices if item is not None})
    return names
