"""The options of `tool`: what they do, what they refuse, and what becomes of them when a tool is decorated again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import ConfigurationError, Objective, stats, tool
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from otel_tools.testing import Captured


def lookup(key: str) -> str:
    """Look a thing up.

    More, which nobody reads.
    """
    return key


def test_the_description_is_the_first_paragraph_of_the_docstring_on_one_line(seen: Captured) -> None:
    @tool
    def long() -> None:
        """Look a thing up,
        wherever it is.

        More, which nobody reads.
        """  # noqa: D205 - as people write them

    long()

    assert seen.span("long").attributes is not None
    assert seen.span("long").attributes[names.TOOL_DESCRIPTION] == "Look a thing up, wherever it is."  # type: ignore[index] # above
    assert long.tool.description == "Look a thing up, wherever it is."


def test_a_description_of_its_own_wins(seen: Captured) -> None:
    tool(description="Ask the oracle.")(lookup)("x")

    assert dict(seen.span("lookup").attributes or {})[names.TOOL_DESCRIPTION] == "Ask the oracle."


def test_without_docstring_there_is_no_description(seen: Captured) -> None:
    tool(name="silent")(lambda: None)()

    assert names.TOOL_DESCRIPTION not in dict(seen.span("silent").attributes or {})


@pytest.mark.parametrize("name", ["", "get weather", "tab\t", "new\nline", "x" * 129, 3, b"bytes"])
def test_a_name_that_no_model_could_call_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tool\(name=.*\): a name is what a model calls: 1 to 128 printable"):
        tool(name=name)(lookup)


@pytest.mark.parametrize("name", ["get_weather", "weather.get", "wetter-für", "天気", "x" * 128])
def test_any_printable_name_goes(seen: Captured, name: str) -> None:
    tool(name=name)(lookup)("x")

    assert seen.span(name).name == f"execute_tool {name}"


@pytest.mark.parametrize("success", [0, 1, 0.0, 1.0, -0.5, 99, 1.01, True, "0.99", None, float("nan"), float("inf")])
def test_an_objective_is_a_ratio_that_leaves_a_budget(success: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Objective\(success=.*\): a ratio above 0 and below 1 is needed"):
        Objective(success=success)


def test_the_objective_is_exported_as_a_gauge(seen: Captured) -> None:
    tool(name="kept", objective=Objective(success=0.995))(lookup)
    tool(name="unkept")(lookup)

    assert seen.value(names.OBJECTIVE.name, {names.TOOL_NAME: "kept"}) == 0.995
    assert "unkept" not in {point.attributes[names.TOOL_NAME] for point in seen.points(names.OBJECTIVE.name)}


async def _later(_: Any) -> bool:
    return True


class _Later:
    async def __call__(self, _: Any) -> bool:
        return True


@pytest.mark.parametrize("predicate", [3, "error", _later, _Later(), functools.partial(_later)])
def test_a_predicate_that_cannot_judge_is_refused(predicate: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"tool 'refused': failed_if=.* must be a plain function of the result"
    ):
        tool(name="refused", failed_if=predicate)(lookup)
    assert "refused" not in stats()


def test_a_predicate_cannot_judge_a_generator() -> None:
    def items() -> Iterator[int]:
        yield 1

    async def items_later() -> AsyncIterator[int]:
        yield 1

    for function in (items, items_later):
        with pytest.raises(ConfigurationError, match="failed_if is about one result, and a generator gives many"):
            tool(failed_if=bool)(function)


def test_an_unknown_option_is_an_error_at_decoration() -> None:
    with pytest.raises(ConfigurationError, match=r"retries.*did you mean retry="):
        tool(retries=3)  # type: ignore[call-overload] # that is the point


def test_decorating_again_replaces_what_is_given_and_keeps_the_rest(seen: Captured) -> None:
    first = tool(name="first", description="Of the first.", failed_if=lambda value: value == "bad")(lookup)
    second = tool(name="second", objective=Objective(success=0.9))(first)

    assert second("bad") == "bad"

    attributes = dict(seen.span("second").attributes or {})
    assert [span.name for span in seen.spans] == ["execute_tool second"]
    assert attributes[names.TOOL_DESCRIPTION] == "Of the first."
    assert attributes[names.OUTCOME] == "error"
    assert second.tool.options.objective is not None
    assert first.tool.name == "first"


def test_decorating_again_without_options_changes_nothing() -> None:
    decorated = tool(lookup)

    assert tool(decorated) is decorated
    assert tool()(decorated) is decorated


def test_a_partial_of_a_tool_is_one_span(seen: Captured) -> None:
    decorated = tool(name="lookup_any", failed_if=lambda value: value == "bad")(lookup)

    assert tool(functools.partial(decorated, "bad"))() == "bad"

    assert dict(seen.span("lookup_any").attributes or {})[names.OUTCOME] == "error"


def test_two_functions_of_one_name_share_their_numbers_and_lose_none(seen: Captured) -> None:
    one, other = tool(name="shared")(lookup), tool(name="shared")(lambda: 1 // 0)
    one("x")
    one("y")
    with pytest.raises(ZeroDivisionError):
        other()

    assert one.tool.stats() == other.tool.stats() == stats()["shared"]
    assert (one.tool.stats().calls.ok, one.tool.stats().calls.error) == (2, 1)
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "shared", names.OUTCOME: "ok"}) == 2
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "shared", names.OUTCOME: "error"}) == 1
