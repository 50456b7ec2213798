"""The parameters of a tool, declared by a pydantic model: ``@tool(args=WeatherRequest)``."""

from __future__ import annotations

import dataclasses
import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, RootModel, TypeAdapter

from otel_tools._arguments.adapters import arguments_adapter
from otel_tools._arguments.annotations import namespaces_of, partial_keywords, resolve_annotation
from otel_tools._arguments.parameters import EMPTY, ArgumentsModel, parameter_of
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from otel_tools._call.function_info import FunctionInfo

__all__ = ["arguments_class", "model_of_args"]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def arguments_class(tool: str, model: Any) -> type[BaseModel]:
    """A subclass of the model for the arguments of a call: it refuses unknown names and accepts field names as aliases.

    Raises:
        ConfigurationError: ``model`` is not a pydantic model with fields.
    """
    if not isinstance(model, type) or not issubclass(model, BaseModel) or issubclass(model, RootModel):
        raise ConfigurationError(f"tool {tool!r}: args={model!r}: a pydantic 2 model is needed, a class with fields")
    config = ConfigDict(populate_by_name=True, extra=model.model_config.get("extra") or "forbid")
    body = {"__module__": model.__module__, "__doc__": model.__doc__, "model_config": config}
    subclass = types.new_class(f"{model.__name__}Arguments", (model,), {}, lambda namespace: namespace.update(body))
    return cast("type[BaseModel]", subclass)


def model_of_args(info: FunctionInfo) -> ArgumentsModel:
    """The parameters that the model ``info.declared`` gives to a tool.

    The function takes the whole model where its one parameter has the model's type, or has no type and is not the name
    of a field. Else it takes the fields by name: all of them, as the model's validators return them, defaults included.

    Args:
        info: The tool.

    Raises:
        NotYetDefined: The annotation of the one parameter refers to a name that is not defined yet.
        ConfigurationError: The function cannot take the fields, or ``info.declared`` is not a model.
    """
    model = arguments_class(info.tool, info.declared)
    filled = partial_keywords(info.function)
    parameters = [
        parameter
        for parameter in info.arguments.signature.parameters.values()
        if parameter.name != info.arguments.receiver and parameter.name not in filled
    ]
    if _takes_whole_model(info, parameters):
        only = parameter_of(parameters[0], info.declared)
        return ArgumentsModel(
            parameters=(only,),
            adapter=arguments_adapter(info.tool, [only], None),
            positional=() if parameters[0].kind is inspect.Parameter.KEYWORD_ONLY else (only.name,),
            var_positional=None,
            has_var_positional=False,
            has_var_keyword=False,
            var_keyword_adapter=None,
            partial_keywords=filled,
            single_model=info.declared,
        )
    _check_signature(info, parameters, model)
    fields_by_name: Any = Annotated[model, AfterValidator(_fields_by_name)]
    positional_only = {item.name for item in parameters if item.kind is inspect.Parameter.POSITIONAL_ONLY}
    keyword_kinds = (*_VARIADIC, inspect.Parameter.KEYWORD_ONLY)
    return ArgumentsModel(
        parameters=tuple(
            dataclasses.replace(
                parameter_of(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY), Annotated[field.annotation, field]
                ),
                positional_only=name in positional_only,
            )
            for name, field in model.model_fields.items()
        ),
        adapter=TypeAdapter(fields_by_name),
        positional=tuple(item.name for item in parameters if item.kind not in keyword_kinds),
        var_positional=None,
        has_var_positional=False,
        # Names that the model allows beside its fields come out of the model itself.
        has_var_keyword=False,
        var_keyword_adapter=None,
        partial_keywords=filled,
        single_model=None,
    )


def _fields_by_name(instance: BaseModel) -> dict[str, Any]:
    fields = {name: getattr(instance, name) for name in type(instance).model_fields}
    return {**fields, **(instance.model_extra or {})}


def _takes_whole_model(info: FunctionInfo, parameters: list[inspect.Parameter]) -> bool:
    if len(parameters) != 1 or parameters[0].kind in _VARIADIC:
        return False
    (only,) = parameters
    if only.annotation is EMPTY:
        return only.name not in info.declared.model_fields
    namespaces = namespaces_of(info)
    annotation = resolve_annotation(info.tool, only.name, only.annotation, namespaces)
    alternatives = getattr(annotation, "__args__", (annotation,))
    return any(isinstance(item, type) and issubclass(info.declared, item) for item in alternatives)


def _check_signature(info: FunctionInfo, parameters: list[inspect.Parameter], model: type[BaseModel]) -> None:
    """Refuse a function that cannot be called with the model's fields."""
    subject = f"tool {info.tool!r}: args={info.declared.__name__}"
    names = {item.name for item in parameters if item.kind not in _VARIADIC}
    if not any(item.kind is item.VAR_KEYWORD for item in parameters):
        if missing := [name for name in model.model_fields if name not in names]:
            raise ConfigurationError(
                f"{subject}: the function has no parameter {missing[0]!r} for that field; give it one, **kwargs, or "
                f"one parameter of the type {info.declared.__name__}"
            )
        if model.model_config.get("extra") == "allow":
            raise ConfigurationError(
                f"{subject} allows names beside its fields, and the function does not take them; give it **kwargs"
            )
    for item in parameters:
        if item.default is EMPTY and item.kind not in _VARIADIC and item.name not in model.model_fields:
            raise ConfigurationError(
                f"{subject}: the function needs {item.name!r}, which is no field of the model; add the field, or fill "
                "the parameter with a default or functools.partial"
            )
