"""`instrument`: a dictionary, a list or a module of functions becomes tools in one line."""

from __future__ import annotations

import functools
import math
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import ConfigurationError, instrument, tool
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured

MODULE = """
import json
from math import sqrt
from functools import partial

def weather(city):
    return f"sunny in {city}"

def prices(symbol):
    return 3.5

def _private():
    return 1

def unlisted():
    return 2

half = lambda x: x / 2
CONSTANT = 3

class Thing:
    pass
"""


def module(source: str = MODULE) -> types.ModuleType:
    made = types.ModuleType("agent_tools")
    exec(source, vars(made))  # noqa: S102 - our own text
    return made


def weather(city: str) -> str:
    return f"sunny in {city}"


async def prices(symbol: str) -> float:
    return 3.5


def test_a_dictionary_gives_a_new_one_of_tools_named_by_their_keys(seen: Captured) -> None:
    available: dict[str, Callable[..., Any]] = {"get_weather": weather, "half": lambda x: x / 2, "sqrt": math.sqrt}

    tools = instrument(available)

    assert tools is not available
    assert available["get_weather"] is weather
    assert list(tools) == list(available)
    assert (tools["get_weather"]("Oslo"), tools["half"](4), tools["sqrt"](4)) == ("sunny in Oslo", 2, 2)
    assert [span.name for span in seen.spans] == [f"execute_tool {name}" for name in available]


def test_a_tool_in_a_dictionary_keeps_its_options_and_has_one_span(seen: Captured) -> None:
    decorated = tool(name="before", description="Kept.", failed_if=lambda _: True)(weather)

    available: dict[str, Callable[..., Any]] = {"after": decorated, "partial": functools.partial(decorated, "Oslo")}
    tools = instrument(available)
    tools["after"]("Oslo")
    tools["partial"]()

    assert [span.name for span in seen.spans] == ["execute_tool after", "execute_tool partial"]
    for span in seen.spans:
        attributes = dict(span.attributes or {})
        assert attributes[names.TOOL_DESCRIPTION] == "Kept."
        assert attributes[names.OUTCOME] == "error"


def test_a_list_gives_a_list(seen: Captured) -> None:
    functions: list[Callable[..., Any]] = [weather, tool(name="named")(weather)]
    listed = instrument(functions)

    assert [function("Oslo") for function in listed] == ["sunny in Oslo"] * 2
    assert [span.name for span in seen.spans] == ["execute_tool weather", "execute_tool named"]
    assert isinstance(instrument(each for each in (weather,)), list)


async def test_async_functions_stay_async(seen: Captured) -> None:
    tools: dict[str, Any] = instrument({"prices": prices})

    assert await tools["prices"]("ACME") == 3.5
    seen.span("prices")


def test_the_public_functions_of_a_module_are_replaced_in_place(seen: Captured) -> None:
    made = module()
    before = dict(vars(made))

    assert instrument(made) is made

    replaced = {name for name, value in vars(made).items() if value is not before.get(name)}
    assert replaced == {"weather", "prices", "unlisted", "half"}
    assert made.weather("Oslo") == "sunny in Oslo"
    assert made.half(3) == 1.5
    assert [span.name for span in seen.spans] == ["execute_tool weather", "execute_tool half"]


def test_all_says_which_functions_of_a_module_are_public() -> None:
    made = module(MODULE + "\n__all__ = ['weather', '_private', 'CONSTANT', 'sqrt', 'missing']")
    before = dict(vars(made))

    instrument(made)

    assert {name for name, value in vars(made).items() if value is not before.get(name)} == {"weather", "_private"}


def test_a_module_instrumented_twice_has_one_span_a_call(seen: Captured) -> None:
    made = instrument(instrument(module()))

    made.weather("Oslo")

    seen.span("weather")


def test_a_module_with_a_function_that_cannot_be_a_tool_stays_as_it_was() -> None:
    made = module(MODULE + "\nweather.__name__ = 'two words'")
    before = dict(vars(made))

    with pytest.raises(ConfigurationError, match="two words"):
        instrument(made)

    assert vars(made) == before


def test_an_imported_module_can_be_instrumented_by_its_owner(monkeypatch: pytest.MonkeyPatch, seen: Captured) -> None:
    monkeypatch.setitem(sys.modules, "agent_tools", module())

    import agent_tools  # type: ignore[import-not-found] # noqa: PLC0415 - made above

    instrument(agent_tools)

    from agent_tools import prices as imported  # noqa: PLC0415 - as a program does after it

    assert imported("ACME") == 3.5
    seen.span("prices")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"get_weather": 3}, "instrument.*'get_weather' is 3, which is not a function"),
        ([weather, "weather"], "instrument.*1 is 'weather', which is not a function"),
        ({"Thing": int}, "which is not a function"),
        ({"two words": weather}, "a name is what a model calls"),
        ({3: weather}, "a name is what a model calls"),
        ([lambda x: x], "a lambda has no name"),
        ("weather", "a dictionary of names and functions, a list of functions or a module is needed"),
        (weather, r"for one function there is tool\(function\)"),
        (None, "a dictionary of names and functions"),
    ],
)
def test_what_cannot_be_instrumented_is_an_error_that_says_so(mistake: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        instrument(mistake)
