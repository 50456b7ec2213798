"""How does a model name an enum's member in a ``Literal``? By its value, as schemas do; pydantic wants the member."""

from __future__ import annotations

import enum
import types
import typing
from typing import Annotated, Any

from pydantic import BeforeValidator

__all__ = ["by_value"]


def by_value(annotation: Any) -> Any:
    """The annotation, in which each ``Literal[Enum.MEMBER]`` takes the member's value too.

    In lists, unions and other generic types also; the fields of models are their own affair.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        members = {each.value: each for each in arguments if isinstance(each, enum.Enum)}
        return Annotated[annotation, BeforeValidator(_member_of(members))] if members else annotation
    if origin is Annotated:
        inner = by_value(annotation.__origin__)
        return annotation if inner is annotation.__origin__ else Annotated[(inner, *annotation.__metadata__)]
    if origin is None or any(isinstance(each, list) for each in arguments):  # those of a Callable
        return annotation
    changed = tuple(map(by_value, arguments))
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    return typing.Union[changed] if origin in (typing.Union, types.UnionType) else origin[changed]  # noqa: UP007 - of a tuple


def _member_of(members: dict[Any, enum.Enum]) -> Any:
    def member(value: Any) -> Any:
        try:
            return members.get(value, value)
        except TypeError:  # it cannot be hashed, so it is no value of theirs
            return value

    return member
