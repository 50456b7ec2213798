"""Lets a ``Literal[Enum.MEMBER]`` accept the member's value.

A JSON Schema lists the values, so a model sends a value. pydantic accepts only the member itself.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import Annotated, Any

from pydantic import BeforeValidator

__all__ = ["accept_enum_values"]


def accept_enum_values(annotation: Any) -> Any:
    """The annotation, changed so that each ``Literal[Enum.MEMBER]`` also accepts the member's value.

    Works inside lists, unions and other generic types too. The fields of pydantic models are not changed.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        members = {each.value: each for each in arguments if isinstance(each, enum.Enum)}
        return Annotated[annotation, BeforeValidator(_to_member(members))] if members else annotation
    if origin is Annotated:
        inner = accept_enum_values(annotation.__origin__)
        return annotation if inner is annotation.__origin__ else Annotated[(inner, *annotation.__metadata__)]
    if origin is None or any(isinstance(each, list) for each in arguments):  # the parameters of a Callable
        return annotation
    changed = tuple(map(accept_enum_values, arguments))
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    return typing.Union[changed] if origin in (typing.Union, types.UnionType) else origin[changed]  # noqa: UP007 - the alternatives are a tuple


def _to_member(members: dict[Any, enum.Enum]) -> Any:
    def member(value: Any) -> Any:
        try:
            return members.get(value, value)
        except TypeError:  # not hashable, so it is not the value of a member
            return value

    return member
