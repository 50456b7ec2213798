"""The private names of pydantic that the package uses, and what is done without them. No other file uses any."""

from __future__ import annotations

import copy
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field
from pydantic_core import PydanticUndefined

from otel_tools._call.safe_logging import log_safely

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["missing_names", "without_default"]

_logger = logging.getLogger("otel_tools")

_DEFAULTS: Final = ("default", "default_factory")
_PUBLIC: Final = (
    "alias",
    "alias_priority",
    "validation_alias",
    "serialization_alias",
    "title",
    "field_title_generator",
    "description",
    "examples",
    "discriminator",
    "deprecated",
    "json_schema_extra",
    "validate_default",
)
"""Attributes of a `FieldInfo` that are arguments of ``Field``; its constraints are in ``metadata``."""


def missing_names() -> list[str]:
    """The private names that the installed pydantic does not have any more; empty while all are there."""
    has_name = isinstance(getattr(Field(1), "_attributes_set", None), dict)
    return [] if has_name else ["pydantic.fields.FieldInfo._attributes_set"]


def without_default(field: FieldInfo) -> list[Any]:
    """The metadata of an ``Annotated`` that say what the field says, but give no default.

    pydantic merges fields by the attributes that were set, and has no public way to unset one.
    """
    attributes = getattr(field, "_attributes_set", None)
    if not isinstance(attributes, dict):
        _log_reduced()
        public = {name: getattr(field, name, None) for name in _PUBLIC}
        return [*field.metadata, Field(**{name: value for name, value in public.items() if value is not None})]
    copied: Any = copy.copy(field)
    copied.default, copied.default_factory = PydanticUndefined, None
    copied._attributes_set = {name: value for name, value in attributes.items() if name not in _DEFAULTS}  # noqa: SLF001 - this file is for it
    return [copied]


@functools.cache
def _log_reduced() -> None:
    """Say once what is reduced."""
    log_safely(
        _logger,
        logging.WARNING,
        "pydantic has no FieldInfo._attributes_set any more: of a Field whose default the function replaces, "
        "only constraints, names and descriptions are kept",
    )
