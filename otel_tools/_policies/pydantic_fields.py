"""`FieldOfModels`: options classes that can be fields of pydantic models, such as an application's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_tools.errors import ConfigurationError

__all__ = ["FieldOfModels"]


class FieldOfModels:
    """An options class that pydantic makes from a dictionary of its options.

    What it refuses is refused in the words that it has by itself. Without this, pydantic would look at the fields of
    the dataclass, and put its own words before ours.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema  # noqa: PLC0415 - only pydantic calls this

        def validate(value: Any) -> Any:
            if isinstance(value, cls):
                return value
            if not isinstance(value, Mapping):
                text = f"{cls.__name__}: a {cls.__name__} is needed, or a dictionary of its options"
                raise PydanticCustomError("otel_tools_option", "{text}", {"text": text})
            try:
                return cls(**value)
            except ConfigurationError as error:
                raise PydanticCustomError("otel_tools_option", "{text}", {"text": str(error)}) from None

        return core_schema.no_info_plain_validator_function(validate)
