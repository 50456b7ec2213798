"""Recorded arguments and results: off by default, by name, bounded, and always valid JSON."""

from __future__ import annotations

import json
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import tool
from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import (
    CAP,
    CAPTURE_MESSAGE_CONTENT,
    enabled_by_environment,
    redact_text,
    render,
)
from otel_tools._telemetry.content.jsonable import CUT
from tests.cpu import cpu_ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def content_of(seen: Captured, name: str) -> tuple[Any, Any]:
    """Arguments and result as the span has them; None where it has none."""
    attributes = dict(seen.span(name).attributes or {})
    found = (attributes.get(names.TOOL_CALL_ARGUMENTS), attributes.get(names.TOOL_CALL_RESULT))
    assert all(each is None or (isinstance(each, str) and len(each) <= CAP) for each in found)
    arguments, result = (None if each is None else json.loads(str(each)) for each in found)
    return arguments, result


def weather(city: str, *days: int, unit: str = "celsius", **more: Any) -> dict[str, Any]:
    """Tell the weather."""
    return {"city": city, "days": list(days), "unit": unit}


def test_content_is_off_by_default(seen: Captured, both: Flavour) -> None:
    both.call(tool(both.function(weather)), "Oslo")

    assert content_of(seen, "weather") == (None, None)


@pytest.mark.usefixtures("recorded")
def test_arguments_are_recorded_by_name(seen: Captured, both: Flavour) -> None:
    both.call(tool(both.function(weather)), "Oslo", 1, 2, unit="kelvin", hour=3)

    assert content_of(seen, "weather") == (
        {"city": "Oslo", "days": [1, 2], "unit": "kelvin", "more": {"hour": 3}},
        {"city": "Oslo", "days": [1, 2], "unit": "kelvin"},
    )


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("function", "args", "arguments"),
    [
        (partial(weather, "Oslo"), (1,), {"days": [1]}),
        (len, ([1, 2],), {"obj": [1, 2]}),
        (max, (1, 2), {"args": [1, 2]}),
        (lambda: 1, (), {}),
        (lambda this, /: this, (1,), {"this": 1}),
    ],
)
def test_arguments_of_every_callable_have_names(
    seen: Captured, function: Callable[..., Any], args: tuple[Any, ...], arguments: dict[str, Any]
) -> None:
    tool(name="any")(function)(*args)

    assert content_of(seen, "any")[0] == arguments


@pytest.mark.usefixtures("recorded")
def test_methods_are_recorded_without_their_instance_or_class(seen: Captured) -> None:
    class Station:
        @tool
        def plain(self, day: int) -> int:
            return day

        @classmethod
        @tool
        def of_class(cls, day: int) -> int:
            return day

    Station().plain(1)
    Station.of_class(day=2)

    assert content_of(seen, "plain") == ({"day": 1}, 1)
    assert content_of(seen, "of_class") == ({"day": 2}, 2)


@pytest.mark.usefixtures("recorded")
def test_arguments_that_do_not_fit_the_signature_are_recorded_without_names(seen: Captured) -> None:
    misfit: Any = tool(name="misfit")(lambda a: a)
    with pytest.raises(TypeError):
        misfit(1, 2, b=3)

    assert content_of(seen, "misfit") == ({"args": [1, 2], "kwargs": {"b": 3}}, None)


@pytest.mark.usefixtures("recorded")
def test_a_call_that_fails_has_arguments_and_no_result(seen: Captured, both: Flavour) -> None:
    with pytest.raises(ZeroDivisionError):
        both.call(tool(name="divide")(both.function(lambda a: a // 0)), 1)

    assert content_of(seen, "divide") == ({"a": 1}, None)


@pytest.mark.usefixtures("recorded")
def test_arguments_are_recorded_before_the_function_changes_them(seen: Captured) -> None:
    tool(name="emptied")(lambda items: items.clear())([1, 2])

    assert content_of(seen, "emptied") == ({"items": [1, 2]}, None)


@pytest.mark.usefixtures("recorded")
def test_generators_are_not_consumed(seen: Captured) -> None:
    def lazy() -> Any:
        yield from (1, 2, 3)

    given = lazy()
    result = tool(name="lazy")(lambda items: items)(given)

    assert result is given
    assert list(given) == [1, 2, 3]
    assert content_of(seen, "lazy") == ({"items": "<builtins.generator>"}, "<builtins.generator>")


@pytest.mark.parametrize(
    ("value", "on"),
    [
        ("SPAN_ONLY", True),
        ("span_and_event", True),
        (" Span_Only ", True),
        ("EVENT_ONLY", False),
        ("NO_CONTENT", False),
        ("", False),
        (None, False),
    ],
)
def test_the_conventions_environment_variable_turns_content_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str | None, on: bool
) -> None:
    monkeypatch.delenv(CAPTURE_MESSAGE_CONTENT, raising=False)
    if value is not None:
        monkeypatch.setenv(CAPTURE_MESSAGE_CONTENT, value)

    assert enabled_by_environment() is on
    assert caplog.records == []


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_an_unknown_value_of_the_variable_is_logged_and_content_stays_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv(CAPTURE_MESSAGE_CONTENT, value)

    assert enabled_by_environment() is False
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(rf"{CAPTURE_MESSAGE_CONTENT}={value}.* is unknown.*SPAN_ONLY", record.getMessage(), re.IGNORECASE)


LONG = {
    "text": "x" * 5_000_000,
    "words": "word " * 1_000_000,
    "escapes": '\x00\u2028"\\' * 1_000_000,
    "emoji": "🌍" * 1_000_000,
    "list": ["ab"] * 1_000_000,
    "numbers": list(range(1_000_000)),
    "mapping": {f"key {number}": number for number in range(300_000)},
    "long keys": {"k" * 100_000 + str(number): number for number in range(20)},
    "nested": [[[[]] * 100] * 100] * 100,
    "adversarial": "password=" * 500_000,
}


@pytest.mark.parametrize("value", LONG.values(), ids=list(LONG))
def test_long_content_is_cut_to_the_cap_in_little_time(value: Any) -> None:
    text = render({"value": value})

    assert len(text) <= CAP
    json.loads(text)
    assert CUT in text
    assert cpu_ratio(lambda: render({"value": value})) < 4


@pytest.mark.parametrize("length", [CAP - 3, CAP - 2, CAP - 1, CAP, CAP + 1, 4 * CAP - 1, 4 * CAP, 4 * CAP + 1])
def test_only_a_text_that_is_cut_ends_with_the_mark(length: int) -> None:
    text = render("x" * length)

    assert len(text) <= CAP
    assert json.loads(text).endswith(CUT) == (length > CAP - 2)


def test_a_cut_keeps_more_than_half_of_the_cap() -> None:
    assert len(render("x" * 100_000)) > CAP // 2
    assert len(render(["word"] * 10_000)) > CAP // 2
    assert json.loads(render({"first": 1, "long": "x" * 100_000, "last": 2}))["first"] == 1


def test_a_small_cap_is_kept() -> None:
    for cap in range(3, 60):
        text = render({"a": ["some text", 1.5, None], "b": {"c": "more"}}, cap)
        assert len(text) <= cap
        json.loads(text)


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 399, 400, 401, 100_000])
@pytest.mark.parametrize("keep", ["start", "end"])
def test_text_is_cut_to_the_cap_at_the_right_end(length: int, keep: Any) -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(length))

    kept = redact_text(text, 100, keep)

    assert len(kept) <= 100
    assert (kept == text) == (length <= 100)
    assert text.startswith(kept.rstrip(CUT)) if keep == "start" else text.endswith(kept.lstrip(CUT))
