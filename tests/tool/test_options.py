"""The option table: one row and one line of types for each option of `tool`, seen in `help(tool)` and by IDEs."""

from __future__ import annotations

import ast
import inspect
import typing
from datetime import timedelta
from pathlib import Path

import pytest

import otel_tools
from otel_tools import ConfigurationError, Retry, tool
from otel_tools._policies.build import in_order
from otel_tools._policies.options import ORDER, POLICY_OPTIONS
from otel_tools._tool import option_types
from otel_tools._tool.options import TOOL_OPTIONS

NAMES = [option.name for option in TOOL_OPTIONS]


def typed_options() -> dict[str, tuple[str, str]]:
    """The type and the text of each keyword, as they stand in the source that type checkers and IDEs read."""
    found = {}
    for node in ast.parse(Path(option_types.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for line, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(line, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found[ast.unparse(line.target)] = (ast.unparse(line.annotation), ast.literal_eval(text.value))
    return found


def test_each_option_has_one_row_and_one_line_of_types() -> None:
    assert sorted(typed_options()) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("option", TOOL_OPTIONS, ids=lambda option: option.name)
def test_an_ide_shows_the_text_of_the_table(option: typing.Any) -> None:
    assert " ".join(typed_options()[option.name][1].split()) == option.text


def test_the_signature_shows_every_option_with_its_type() -> None:
    parameters = list(inspect.signature(tool).parameters.values())

    assert parameters[0].kind is inspect.Parameter.POSITIONAL_ONLY
    assert [each.name for each in parameters[1:]] == NAMES
    for each in parameters[1:]:
        assert each.kind is inspect.Parameter.KEYWORD_ONLY
        assert each.default is None
        assert ast.unparse(ast.parse(each.annotation)) == typed_options()[each.name][0]


@pytest.mark.parametrize("option", TOOL_OPTIONS, ids=lambda option: option.name)
def test_help_shows_every_option_with_its_text(option: typing.Any) -> None:
    assert f"{option.name}: {option.text}" in " ".join((inspect.getdoc(tool) or "").split())


def test_every_place_in_the_order_is_that_of_an_option() -> None:
    places = [place for option in POLICY_OPTIONS for place in option.places]

    # The policies of a function that was decorated before it became a tool are no option.
    assert sorted([*places, "third_party"]) == sorted(ORDER)


def test_the_order_is_that_of_the_design() -> None:
    assert ORDER == (
        "validate",
        "fallback",
        "deadline",
        "cache",
        "retry",
        "circuit_breaker",
        "concurrency",
        "rate_limit",
        "circuit_breaker_after_wait",
        "validate_result",
        "failed_if",
        "third_party",
        "timeout",
    )


def test_policies_are_sorted_by_the_order() -> None:
    policies: dict[str, typing.Any] = {"timeout": "inner", "validate": "outer", "cache": "middle"}

    ordered: list[typing.Any] = list(in_order(policies))

    assert ordered == ["outer", "middle", "inner"]


def test_a_policy_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no place in ORDER for \['laundry'\]"):
        in_order({"laundry": typing.cast("typing.Any", None)})


def test_help_shows_the_order() -> None:
    text = " ".join((inspect.getdoc(tool) or "").split())

    assert (
        "outermost first, whatever the order of the keywords: ``validate``, ``fallback``, ``cache``, ``retry``, "
        "``circuit_breaker``, ``concurrency``, ``rate_limit``, ``failed_if``, ``timeout``. Generators take "
        "``validate=True``, ``circuit_breaker``, ``concurrency`` and ``rate_limit``." in text
    )


@pytest.mark.parametrize("option", [each for each in TOOL_OPTIONS if each.kind], ids=lambda option: option.name)
def test_a_value_of_another_class_is_refused_with_an_example(option: typing.Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        tool(**{"name": "work", option.name: typing.cast("typing.Any", object())})(lambda: None)

    line = str(refused.value).rpartition(" is needed: ")[2]
    assert line == f"{option.name}={option.example}"
    tool(**{"name": "work", option.name: getattr(otel_tools, option.kind.__name__)(**options_in(line))})(lambda: None)


def options_in(line: str) -> dict[str, typing.Any]:
    """The keywords of the call on the right of ``option=Class(...)``."""
    call = ast.parse(line).body[0].value  # type: ignore[attr-defined] # an assignment of a call
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("retry", 3, "retry=Retry(attempts=3)"),
        ("retry", "3", "retry=Retry(attempts=3)"),
        ("retry", 0, "retry=Retry(attempts=3)"),
        ("retry", True, "retry=Retry(attempts=3)"),
        ("retry", False, "retry=None"),
        ("retry", Retry, "retry=Retry(attempts=3)"),
        ("retry", {"attempts": 5, "max": 2}, "retry=Retry(attempts=5, max=2)"),
        ("retry", {"max_attempts": 5}, "retry=Retry(attempts=3)"),
        ("retry", ConnectionError, "retry=Retry(attempts=3)"),
        ("cache", 300, "cache=Cache(ttl=300)"),
        ("cache", 0.5, "cache=Cache(ttl=0.5)"),
        ("cache", "5m", "cache=Cache(ttl=300)"),
        ("cache", "1 hour", "cache=Cache(ttl=3600)"),
        ("cache", timedelta(minutes=5), "cache=Cache(ttl=300)"),
        ("cache", {}, "cache=Cache(ttl=300)"),
        ("concurrency", 8, "concurrency=Concurrency(limit=8)"),
        ("concurrency", "8", "concurrency=Concurrency(limit=8)"),
        ("circuit_breaker", 7, "circuit_breaker=CircuitBreaker(failures=7)"),
        ("rate_limit", 10, "rate_limit=RateLimit(rate=10)"),
        ("rate_limit", "10/s", "rate_limit=RateLimit(rate=10, per=1)"),
        ("rate_limit", "10/sec", "rate_limit=RateLimit(rate=10, per=1)"),
        ("rate_limit", "60/min", "rate_limit=RateLimit(rate=60, per=60)"),
        ("rate_limit", "500/hour", "rate_limit=RateLimit(rate=500, per=3600)"),
        ("rate_limit", "100 per hour", "rate_limit=RateLimit(rate=100, per=3600)"),
        ("rate_limit", "100 calls a day", "rate_limit=RateLimit(rate=100, per=86400)"),
        ("rate_limit", "10/5 minutes", "rate_limit=RateLimit(rate=10, per=300)"),
        ("rate_limit", (10, 60), "rate_limit=RateLimit(rate=10, per=60)"),
        ("rate_limit", "fast", "rate_limit=RateLimit(rate=10, per=1)"),
        ("objective", 0.995, "objective=Objective(success=0.995)"),
        ("objective", 99, "objective=Objective(success=0.99)"),
    ],
)
def test_a_plain_value_is_answered_with_the_line_to_write(option: str, value: typing.Any, line: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        tool(**{"name": "work", option: value})(lambda: None)

    assert str(refused.value).endswith(f" is needed: {line}")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("5s", "timeout=5"),
        ("5", "timeout=5"),
        ("500ms", "timeout=0.5"),
        ("1.5 minutes", "timeout=90"),
        (timedelta(seconds=2.5), "timeout=2.5"),
        ("soon", "such as 5.0"),
        ("-5s", "such as 5.0"),
        ([5], "such as 5.0"),
        (True, "such as 5.0"),
    ],
)
def test_a_timeout_in_other_words_is_answered_in_seconds(value: typing.Any, line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"a positive number of seconds is needed, ") as refused:
        tool(name="work", timeout=value)(lambda: None)

    assert str(refused.value).endswith(line)


def test_a_long_value_is_shown_in_short() -> None:
    with pytest.raises(ConfigurationError) as refused:
        tool(name="work", cache=typing.cast("typing.Any", "x" * 5000))(lambda: None)

    assert len(str(refused.value)) < 200
