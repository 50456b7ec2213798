"""`PickledByOptions`: options classes that are pickled by their values, without what they count and keep."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from otel_tools._policies.pydantic_fields import FieldOfModels

__all__ = ["PickledByOptions"]


class PickledByOptions(FieldOfModels):
    """A dataclass that is pickled by the values it was made from.

    What it counts and keeps (tokens, slots, entries) is of one process. Another process begins anew, as it would if it
    imported the module.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        given = {item.name: getattr(self, item.name) for item in fields(self) if item.init}  # type: ignore[arg-type] # subclasses are dataclasses
        return _made_of, (type(self), given)


def _made_of(options_class: type[Any], given: dict[str, Any]) -> Any:
    return options_class(**given)
