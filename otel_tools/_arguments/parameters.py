"""What may a tool be called with? The parameters of a function as one pydantic type, for validation and for schemas.

It imports pydantic: import it where a tool asks for validation or for a schema, and not before.
"""

from __future__ import annotations

import collections
import copy
import inspect
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, NotRequired, Required, cast

import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, PydanticSchemaGenerationError, RootModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from otel_tools._arguments.annotations import NotYetDefined, bound_names, names_for, resolved, undefined, unusable
from otel_tools._arguments.enum_literals import by_value
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._call.function_info import FunctionInfo

__all__ = ["ArgumentsModel", "Parameter", "adapter_of", "arguments_model", "parameter_of", "result_adapter"]

EMPTY: Final = inspect.Parameter.empty
"""No default, no annotation."""

_UNIONS: Final = (typing.Union, types.UnionType)
_UNPACKED: Final = (typing.Unpack, typing_extensions.Unpack)
_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ABOUT_THE_WHOLE: Final = ("alias", "validation_alias", "title", "description", "examples", "deprecated")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a call may fill.

    Attributes:
        name: Its name in the signature.
        positional_only: Whether the function takes it by position alone; validation takes it by name too.
        annotation: Its type, all names resolved; ``typing.Any`` where there is none.
        default: What the function itself uses when the argument is left out; ``inspect.Parameter.empty`` where it has
            none, or where the default is pydantic's to make (``Field(default_factory=...)``).
        required: Whether a call must give it.
        alias: What the model calls it, where that is not the name.
    """

    name: str
    positional_only: bool
    annotation: Any
    default: Any
    required: bool
    alias: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ArgumentsModel:
    """The parameters of a function, without ``self`` and ``cls`` and without what a partial has already filled.

    Attributes:
        parameters: Those that are given by name, in their order; of ``**options: Unpack[SomeTypedDict]`` each key.
        adapter: Of a `TypedDict` of them all, with no other key allowed. It gives a new dictionary with those that
            were given, and those whose default is in a ``Field``. ``*values: T`` is its key ``values``, a list of T.
        positional: The names of those that may be given by position, in order.
        rest: The name of ``*values`` where it is a key of ``adapter``.
        more: Whether arguments by position beyond ``positional`` are allowed.
        extra: Whether names that are no parameter are allowed: there are ``**kwargs``.
        extra_adapter: Of a dictionary of these; None where their type is not said.
        bound: What a partial has filled by name: not for a call to change.
        single: The pydantic model that is the type of the only parameter: its fields may be given in its place.
    """

    parameters: tuple[Parameter, ...]
    adapter: TypeAdapter[Any]
    positional: tuple[str, ...]
    rest: str | None
    more: bool
    extra: bool
    extra_adapter: TypeAdapter[Any] | None
    bound: frozenset[str]
    single: type[BaseModel] | None


def arguments_model(info: FunctionInfo, *, decorating: bool = False) -> ArgumentsModel:
    """Build the model of a tool's parameters.

    Names in annotations are looked up where the function was defined: in its module, in its closure and, while it is
    being decorated, in the scopes around it, so that classes of a function body are found too.

    Args:
        info: The tool.
        decorating: Whether this is its decoration: the frames that define it are on the stack.

    Raises:
        NotYetDefined: An annotation, or a class that it names, refers to what is not defined so far.
        ConfigurationError: pydantic cannot check an annotation.
    """
    names = names_for(info.function, decorating=decorating)
    bound = bound_names(info.function)
    parameters: list[Parameter] = []
    rest: Parameter | None = None
    extra: Parameter | None = None
    for parameter in info.arguments.signature.parameters.values():
        if parameter.name == info.arguments.receiver or parameter.name in bound:
            continue
        annotation = by_value(resolved(info.tool, parameter.name, parameter.annotation, names))
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            rest = _optional(parameter.name, annotation)
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            parameters.append(parameter_of(parameter, annotation))
        elif typing.get_origin(annotation) in _UNPACKED:
            parameters.extend(_keys(info.tool, parameter.name, typing.get_args(annotation)[0]))
        else:
            extra = _optional(parameter.name, annotation)

    single = _single(parameters[0].annotation) if len(parameters) == 1 and rest is extra is None else None
    more = rest is not None
    if extra is not None and rest is not None and rest.annotation is Any:
        # Of (*args, **kwargs) without types, any name must stay free for **kwargs, also "args".
        rest = None
    return ArgumentsModel(
        parameters=tuple(parameters),
        adapter=adapter_of(info.tool, parameters, rest),
        positional=tuple(
            parameter.name
            for parameter in info.arguments.signature.parameters.values()
            if parameter.kind in _BY_POSITION and parameter.name != info.arguments.receiver
        ),
        rest=rest.name if rest else None,
        more=more,
        extra=extra is not None,
        extra_adapter=_dictionary(info.tool, extra),
        bound=bound,
        single=single,
    )


def result_adapter(info: FunctionInfo, *, decorating: bool = False) -> TypeAdapter[Any] | None:
    """The type that the function says it returns; of an awaitable, what is awaited.

    A class that pydantic does not know is checked with `isinstance`.

    Returns:
        None where anything may be returned.

    Raises:
        NotYetDefined: As `arguments_model`.
        ConfigurationError: There is no such annotation, or pydantic cannot check it.
    """
    declared = info.arguments.signature.return_annotation
    if declared is EMPTY:
        raise ConfigurationError(
            f"tool {info.tool!r}: validate='both' checks the result by its annotation, and there is none: "
            "annotate what the function returns, or use validate=True"
        )
    annotation = resolved(info.tool, "return", declared, names_for(info.function, decorating=decorating))
    if typing.get_origin(annotation) in (collections.abc.Awaitable, collections.abc.Coroutine):
        annotation = typing.get_args(annotation)[-1]
    if annotation in (Any, object):
        return None

    def build() -> TypeAdapter[Any]:
        try:
            return TypeAdapter(annotation)
        except PydanticSchemaGenerationError:
            return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))

    return _built(info.tool, build, [_optional("return", annotation)])


def parameter_of(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    """Where the default comes from: the function's own is left to it, one in a ``Field`` is pydantic's to fill in."""
    default = parameter.default
    if isinstance(default, FieldInfo):
        # f(x: int = Field(gt=0)): without validation the function would be given the FieldInfo itself.
        annotation, default = Annotated[annotation, default], EMPTY
    elif default is None and not _takes_none(annotation):
        # What the function takes when nothing is given it also takes when null is given, as models like to.
        annotation = Annotated[(typing.Union[annotation, None], *_descriptions(annotation))]  # noqa: UP007 - not all have "|"
    fields = [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, FieldInfo)]
    fills_in = not all(field.is_required() for field in fields)
    if fills_in and default is not EMPTY:
        annotation = _without_defaults(annotation)
    aliases = [alias for field in fields for alias in (field.validation_alias, field.alias) if isinstance(alias, str)]
    return Parameter(
        name=parameter.name,
        positional_only=parameter.kind is inspect.Parameter.POSITIONAL_ONLY,
        annotation=annotation,
        default=default,
        required=default is EMPTY and not fills_in,
        alias=aliases[0] if aliases else None,
    )


def _optional(name: str, annotation: Any) -> Parameter:
    return Parameter(name, positional_only=False, annotation=annotation, default=EMPTY, required=False)


def _keys(tool: str, parameter: str, typed: Any) -> Iterator[Parameter]:
    """The keys of the TypedDict that a function unpacks: parameters by keyword, but in name."""
    try:
        hints = typing_extensions.get_type_hints(typed, include_extras=True)
    except (NameError, AttributeError) as error:
        raise NotYetDefined(undefined(tool, parameter, error)) from None
    for name, hint in hints.items():
        bare: Any = hint
        required = name in typed.__required_keys__
        while (mark := typing.get_origin(bare)) in (Required, NotRequired):
            # The class itself does not know of marks in annotations that are text.
            required = mark is Required
            (bare,) = typing.get_args(bare)
        yield Parameter(name, positional_only=False, annotation=by_value(bare), default=EMPTY, required=required)


def _takes_none(annotation: Any) -> bool:
    bare = annotation.__origin__ if typing.get_origin(annotation) is Annotated else annotation
    if typing.get_origin(bare) in _UNIONS:
        return types.NoneType in typing.get_args(bare)
    return bare in (Any, object, types.NoneType)


def _descriptions(annotation: Any) -> Iterator[Any]:
    """What a Field says of the parameter as a whole; its constraints stay with the type that is made optional."""
    yield Field()
    for each in getattr(annotation, "__metadata__", ()):
        if isinstance(each, FieldInfo):
            said = {name: getattr(each, name) for name in _ABOUT_THE_WHOLE}
            yield Field(**{name: value for name, value in said.items() if value is not None})


def _without_defaults(annotation: Any) -> Any:
    """The annotation with fields that have no default: the function's own is used."""
    metadata = []
    for each in annotation.__metadata__:
        field = each
        if isinstance(each, FieldInfo):
            field = copy.copy(each)
            field.default, field.default_factory = PydanticUndefined, None
            # pydantic merges fields by what was set, and offers no way to unset.
            was_set = each._attributes_set.items()  # noqa: SLF001 - as above
            field._attributes_set = {  # noqa: SLF001 - as above
                name: value for name, value in was_set if name not in {"default", "default_factory"}
            }
        metadata.append(field)
    return Annotated[(annotation.__origin__, *metadata)]


def _single(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model in ``T``, ``Annotated[T, ...]`` or ``T | None``."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif typing.get_origin(annotation) in _UNIONS:
            alternatives = [each for each in typing.get_args(annotation) if each is not types.NoneType]
            if len(alternatives) != 1:
                return None
            (annotation,) = alternatives
        else:
            break
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not issubclass(annotation, RootModel):
        return annotation
    return None


def adapter_of(tool: str, parameters: list[Parameter], rest: Parameter | None) -> TypeAdapter[Any]:
    """Of a dictionary of these parameters and no others."""
    fields = {each.name: each.annotation if each.required else NotRequired[each.annotation] for each in parameters}
    if rest is not None:
        fields[rest.name] = NotRequired[types.GenericAlias(list, (rest.annotation,))]

    def build() -> TypeAdapter[Any]:
        # The keys are known at run time only, so this is no TypedDict that a type checker could read.
        arguments = cast("Any", typing_extensions.TypedDict)(tool, fields)
        # What a nested dataclass or TypedDict does not know would be lost without a word: they inherit "forbid".
        arguments.__pydantic_config__ = ConfigDict(extra="forbid", populate_by_name=True)
        return TypeAdapter(arguments)

    return _built(tool, build, parameters if rest is None else [*parameters, rest])


def _dictionary(tool: str, extra: Parameter | None) -> TypeAdapter[Any] | None:
    if extra is None or extra.annotation is Any:
        return None
    of: Any = types.GenericAlias(dict, (str, extra.annotation))
    return _built(tool, lambda: TypeAdapter(of), [extra])


def _built(tool: str, build: Callable[[], TypeAdapter[Any]], parameters: list[Parameter]) -> TypeAdapter[Any]:
    """Build an adapter; where that fails, find out which parameter is to blame."""
    try:
        return build()
    except Exception as error:  # noqa: BLE001 - pydantic raises many kinds, and types raise their own
        failure, culprit = error, parameters[0]
    for parameter in parameters:
        try:
            TypeAdapter(parameter.annotation)
        except Exception as error:  # noqa: BLE001 - as above
            failure, culprit = error, parameter
            break
    code = getattr(failure, "code", None)
    if isinstance(failure, NameError) or code in {"undefined-annotation", "class-not-fully-defined"}:
        raise NotYetDefined(undefined(tool, culprit.name, failure))
    raise ConfigurationError(unusable(tool, culprit.name, culprit.annotation, failure)) from failure
