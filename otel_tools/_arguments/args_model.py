"""The parameters of a tool that a pydantic model declares: ``@tool(args=WeatherRequest)``."""

from __future__ import annotations

import dataclasses
import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, RootModel, TypeAdapter

from otel_tools._arguments.annotations import bound_names, names_for, resolved
from otel_tools._arguments.parameters import ArgumentsModel, adapter_of, parameter_of
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from otel_tools._call.function_info import FunctionInfo

__all__ = ["closed", "declared_model"]

_EMPTY = inspect.Parameter.empty
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def closed(tool: str, model: Any) -> type[BaseModel]:
    """The model as the arguments of a call: names that it does not know are refused, own names work beside aliases.

    Raises:
        ConfigurationError: It is no pydantic model with fields.
    """
    if not isinstance(model, type) or not issubclass(model, BaseModel) or issubclass(model, RootModel):
        raise ConfigurationError(f"tool {tool!r}: args={model!r}: a pydantic model is needed, a class with fields")
    config = ConfigDict(populate_by_name=True, extra=model.model_config.get("extra") or "forbid")
    body = {"__module__": model.__module__, "__doc__": model.__doc__, "model_config": config}
    made = types.new_class(f"{model.__name__}Arguments", (model,), {}, lambda it: it.update(body))
    return cast("type[BaseModel]", made)


def declared_model(info: FunctionInfo, *, decorating: bool = False) -> ArgumentsModel:
    """The parameters that the model ``info.declared`` gives to a tool.

    The function takes the whole model where its one parameter has that type, or has no type and is no field. Else it
    takes the fields by name: all of them, with the model's defaults, as the model's validators left them.

    Raises:
        NotYetDefined: The annotation that tells refers to what is not defined so far.
        ConfigurationError: The function cannot take the fields, or there is no model.
    """
    model = closed(info.tool, info.declared)
    bound = bound_names(info.function)
    parameters = [
        each
        for each in info.arguments.signature.parameters.values()
        if each.name != info.arguments.receiver and each.name not in bound
    ]
    if _takes_the_whole(info, parameters, decorating=decorating):
        only = parameter_of(parameters[0], info.declared)
        return ArgumentsModel(
            parameters=(only,),
            adapter=adapter_of(info.tool, [only], None),
            positional=() if parameters[0].kind is inspect.Parameter.KEYWORD_ONLY else (only.name,),
            rest=None,
            more=False,
            extra=False,
            extra_adapter=None,
            bound=bound,
            single=info.declared,
        )
    _check(info, parameters, model)
    values: Any = Annotated[model, AfterValidator(_values)]
    by_position = [each.name for each in parameters if each.kind is inspect.Parameter.POSITIONAL_ONLY]
    return ArgumentsModel(
        parameters=tuple(
            dataclasses.replace(
                parameter_of(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY), Annotated[field.annotation, field]
                ),
                positional_only=name in by_position,
            )
            for name, field in model.model_fields.items()
        ),
        adapter=TypeAdapter(values),
        positional=tuple(each.name for each in parameters if each.kind not in (*_REST, inspect.Parameter.KEYWORD_ONLY)),
        rest=None,
        more=False,
        # What the model allows beside its fields comes out of the model itself.
        extra=False,
        extra_adapter=None,
        bound=bound,
        single=None,
    )


def _values(given: BaseModel) -> dict[str, Any]:
    return {**{name: getattr(given, name) for name in type(given).model_fields}, **(given.model_extra or {})}


def _takes_the_whole(info: FunctionInfo, parameters: list[inspect.Parameter], *, decorating: bool) -> bool:
    if len(parameters) != 1 or parameters[0].kind in _REST:
        return False
    (only,) = parameters
    if only.annotation is _EMPTY:
        return only.name not in info.declared.model_fields
    annotation = resolved(info.tool, only.name, only.annotation, names_for(info.function, decorating=decorating))
    alternatives = getattr(annotation, "__args__", (annotation,))
    return any(isinstance(each, type) and issubclass(info.declared, each) for each in alternatives)


def _check(info: FunctionInfo, parameters: list[inspect.Parameter], model: type[BaseModel]) -> None:
    """Refuse a function that could not be called with the fields."""
    named = f"tool {info.tool!r}: args={info.declared.__name__}"
    taken = {each.name for each in parameters if each.kind not in _REST}
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        if missing := [name for name in model.model_fields if name not in taken]:
            raise ConfigurationError(
                f"{named}: the function has no parameter {missing[0]!r} for that field; give it one, **kwargs, or one "
                f"parameter of the type {info.declared.__name__}"
            )
        if model.model_config.get("extra") == "allow":
            raise ConfigurationError(
                f"{named} allows names beside its fields, and the function does not take them; give it **kwargs"
            )
    for each in parameters:
        if each.default is _EMPTY and each.kind not in _REST and each.name not in model.model_fields:
            raise ConfigurationError(
                f"{named}: the function needs {each.name!r}, which is no field of the model; add the field, or fill "
                "the parameter with a default or functools.partial"
            )
