"""The parameters of a tool: one `Parameter` each, and together an `ArgumentsModel` for validation and for schemas.

It imports pydantic: import it where a tool needs validation or a schema, and not before.
"""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field
from pydantic.fields import FieldInfo

from otel_tools._arguments.pydantic_private import without_default

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, TypeAdapter

__all__ = ["EMPTY", "UNIONS", "ArgumentsModel", "Parameter", "optional_parameter", "parameter_of"]

EMPTY: Final = inspect.Parameter.empty
"""No default, no annotation."""

UNIONS: Final = (typing.Union, types.UnionType)

_DESCRIPTIVE: Final = ("alias", "validation_alias", "title", "description", "examples", "deprecated")
"""Attributes of a ``Field`` that describe the parameter and do not constrain its values."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a call may fill.

    Attributes:
        name: Its name in the signature.
        positional_only: Whether the function takes it by position alone; validation takes it by name too.
        annotation: Its type with all names resolved; ``typing.Any`` where there is none.
        default: The function's own default; ``inspect.Parameter.empty`` where there is none, or where pydantic fills
            the default in (``Field(default_factory=...)``).
        required: Whether a call must give it.
        alias: The name that the model uses, where that is another one.
    """

    name: str
    positional_only: bool
    annotation: Any
    default: Any
    required: bool
    alias: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ArgumentsModel:
    """The parameters of a tool, without ``self`` and ``cls`` and without those that a partial has filled.

    Attributes:
        parameters: The named parameters, in order; each key of ``**options: Unpack[SomeTypedDict]`` is one.
        adapter: Validates a dictionary of the arguments by name and refuses other keys. It returns a new dictionary of
            the arguments that were given, and of those whose default is in a ``Field``. ``*values: T`` is its key
            ``values``, a list of T.
        positional: The names of the parameters that may be given by position, in order.
        var_positional: The name of ``*values`` where it is a key of ``adapter``.
        has_var_positional: Whether more arguments by position than ``positional`` are allowed.
        has_var_keyword: Whether names that are no parameter are allowed: the function has ``**kwargs``.
        var_keyword_adapter: Validates the dictionary of these; None where they have no type.
        partial_keywords: The parameters that a partial has filled by name. A call must not change them.
        single_model: The pydantic model that is the type of the only parameter. A call may give its fields in its
            place.
    """

    parameters: tuple[Parameter, ...]
    adapter: TypeAdapter[Any]
    positional: tuple[str, ...]
    var_positional: str | None
    has_var_positional: bool
    has_var_keyword: bool
    var_keyword_adapter: TypeAdapter[Any] | None
    partial_keywords: frozenset[str]
    single_model: type[BaseModel] | None


def parameter_of(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    """The parameter, and where its default comes from.

    The function applies its own default. pydantic fills in a default that stands in a ``Field``.

    Args:
        parameter: As the signature has it.
        annotation: Its type, with all names resolved.
    """
    default = parameter.default
    if isinstance(default, FieldInfo):
        # f(x: int = Field(gt=0)): without validation the function would be given the FieldInfo itself.
        annotation, default = Annotated[annotation, default], EMPTY
    elif default is None and not _accepts_none(annotation):
        # Models like to send null for "not given". The function's default is None, so null means the same.
        annotation = Annotated[(typing.Union[annotation, None], *_descriptive_fields(annotation))]  # noqa: UP007 - not all have "|"
    fields = [item for item in getattr(annotation, "__metadata__", ()) if isinstance(item, FieldInfo)]
    has_field_default = not all(field.is_required() for field in fields)
    if has_field_default and default is not EMPTY:
        annotation = _without_field_defaults(annotation)
    aliases = [alias for field in fields for alias in (field.validation_alias, field.alias) if isinstance(alias, str)]
    return Parameter(
        name=parameter.name,
        positional_only=parameter.kind is inspect.Parameter.POSITIONAL_ONLY,
        annotation=annotation,
        default=default,
        required=default is EMPTY and not has_field_default,
        alias=aliases[0] if aliases else None,
    )


def optional_parameter(name: str, annotation: Any) -> Parameter:
    """A parameter without a default that may be left out, as ``*args`` may."""
    return Parameter(name, positional_only=False, annotation=annotation, default=EMPTY, required=False)


def _accepts_none(annotation: Any) -> bool:
    bare = annotation.__origin__ if typing.get_origin(annotation) is Annotated else annotation
    if typing.get_origin(bare) in UNIONS:
        return types.NoneType in typing.get_args(bare)
    return bare in (Any, object, types.NoneType)


def _descriptive_fields(annotation: Any) -> Iterator[Any]:
    """Fields that describe the parameter as a whole; the constraints stay with the type that is made optional."""
    yield Field()
    for item in getattr(annotation, "__metadata__", ()):
        if isinstance(item, FieldInfo):
            attributes = {name: getattr(item, name) for name in _DESCRIPTIVE}
            yield Field(**{name: value for name, value in attributes.items() if value is not None})


def _without_field_defaults(annotation: Any) -> Any:
    """The annotation with fields that have no default: the function's own default applies."""
    metadata: list[Any] = []
    for item in annotation.__metadata__:
        metadata.extend(without_default(item) if isinstance(item, FieldInfo) else [item])
    return Annotated[(annotation.__origin__, *metadata)]
