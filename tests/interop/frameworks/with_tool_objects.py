"""Frameworks whose decorators return an object: @tool goes below them, and above them it is a clear error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import smolagents
import strands
from llama_index.core.tools import FunctionTool

import otel_tools
from otel_tools.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable


def look(city: str) -> str:
    """Look up the weather.

    Args:
        city: The city.
    """
    return f"sunny in {city}"


def in_llama_index(function: Callable[..., Any]) -> tuple[Any, Callable[[], Any]]:
    made = FunctionTool.from_defaults(function)
    return made, lambda: made.call(city="Oslo").raw_output


def in_smolagents(function: Callable[..., Any]) -> tuple[Any, Callable[[], Any]]:
    made = smolagents.tool(function)
    return made, lambda: made(city="Oslo")


def in_strands(function: Callable[..., Any]) -> tuple[Any, Callable[[], Any]]:
    made = strands.tool(function)
    return made, lambda: made(city="Oslo")


@pytest.mark.parametrize("framework", [in_llama_index, in_smolagents, in_strands])
def test_the_decorator_goes_below_the_framework(framework: Callable[..., Any]) -> None:
    _, call = framework(otel_tools.tool(look))

    with capture() as seen:
        assert call() == "sunny in Oslo"
    assert [span.name for span in seen.spans] == ["execute_tool look"]


@pytest.mark.parametrize("framework", [in_llama_index, in_smolagents, in_strands])
@pytest.mark.parametrize(
    "decorate", [otel_tools.tool, otel_tools.tool(timeout=1), lambda made: otel_tools.ToolSet([made])]
)
def test_above_the_framework_it_is_a_clear_error(framework: Callable[..., Any], decorate: Callable[..., Any]) -> None:
    made, _ = framework(look)

    with pytest.raises(otel_tools.ConfigurationError, match="put @tool directly on the function, below") as raised:
        decorate(made)
    assert len(str(raised.value)) < 200
    assert "\n" not in str(raised.value)
