"""Schemas that OpenAI's strict mode refuses for their size are refused before; the largest that it takes are not."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from otel_tools import ConfigurationError, schema_from_model


def nested(levels: int) -> type[BaseModel]:
    model = create_model("Level1", value=(int, ...))
    for level in range(2, levels + 1):
        model = create_model(f"Level{level}", inner=(model, ...))
    return model


def wide(count: int) -> type[BaseModel]:
    return create_model("Wide", **dict.fromkeys((f"p{number}" for number in range(count)), (int, ...)))  # type: ignore[call-overload,no-any-return] # its fields are computed


def enum_of(count: int, length: int = 4) -> type[BaseModel]:
    kind = Enum("Kind", {f"v{number}": str(number).zfill(length) for number in range(count)})  # type: ignore[misc] # as above
    return create_model("Chosen", kind=(kind, ...))


def fans(levels: int) -> type[BaseModel]:
    """Each level refers to the next twice."""
    model = create_model("Fan1", value=(int, ...))
    for level in range(2, levels + 1):
        model = create_model(f"Fan{level}", left=(model, ...), right=(list[model], ...))  # type: ignore[valid-type] # a variable
    return model


@pytest.mark.parametrize(
    ("make", "most", "problem"),
    [
        (nested, 10, "11 levels of nested objects"),
        (fans, 10, "11 levels of nested objects"),
        (wide, 5000, "5,001 properties"),
        (enum_of, 1000, "1,001 values of enums"),
        (lambda count: enum_of(count, 60), 250, "15,060 characters in an enum"),
        (lambda length: enum_of(100, length), 1199, "characters of names and enums"),
    ],
    ids=["levels", "fans", "properties", "enum values", "long enum", "text"],
)
def test_the_servers_limits(make: Any, most: int, problem: str) -> None:
    assert schema_from_model(make(most), strict=True)
    schema_from_model(make(most + 1))
    with pytest.raises(ConfigurationError, match=f"{problem}.*strict=False"):
        schema_from_model(make(most + 1), strict=True)


def test_a_recursive_type_has_the_levels_of_its_own() -> None:
    class Node(BaseModel):
        value: int
        next: Node | None

    Node.model_rebuild(_types_namespace={"Node": Node})
    assert schema_from_model(Node, strict=True)
