"""Whatever a model or a server writes, each of its calls gets one answer, in valid JSON, and nothing is raised."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from otel_tools import tool
from otel_tools._model.toolset.failure_kinds import FAILURE_KINDS
from otel_tools._model.toolset.toolset import ToolSet

OK = None
"""The call succeeds."""


@tool
def get_weather(city: str, unit: str = "celsius") -> dict[str, Any]:
    return {"city": city, "unit": unit}


@tool
async def get_time() -> str:
    return "12:00"


@tool
def echo(**values: Any) -> Any:
    return values


@tool(validate=True)
def book(seats: int, names: list[str]) -> int:
    return seats


@tool
def broken() -> Any:
    return object()


@tool
def raises() -> Any:
    raise type("Bad", (Exception,), {"__str__": lambda _: 1 / 0})


TOOLS = ToolSet([get_weather, get_time, echo, book, broken, raises], max_characters=4000)


class Hostile:
    """Every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError


class Everything:
    """Has every attribute, and each is of no use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Everything()


def chat(name: Any = "get_weather", arguments: Any = '{"city": "Oslo"}', **more: Any) -> dict[str, Any]:
    return {"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def item(name: Any = "get_weather", arguments: Any = '{"city": "Oslo"}', **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "a", "name": name, "arguments": arguments, **more}


BAD_ARGUMENTS: dict[str, Any] = {
    "truncated": '{"city": "Oslo',
    "truncated after a name": '{"city"',
    "one brace": "{",
    "single quotes": "{'city': 'Oslo'}",
    "trailing comma": '{"city": "Oslo",}',
    "unquoted name": '{city: "Oslo"}',
    "two objects": '{"city": "Oslo"}{"city": "Rome"}',
    "markdown": '```json\n{"city": "Oslo"}\n```',
    "words": "The weather in Oslo",
    "Python": '{"city": None}',
    "a comment": '{"city": "Oslo"} // the capital',
    "NaN": '{"city": NaN}',
    "Infinity": '{"city": -Infinity}',
    "a list": '["Oslo"]',
    "a text": '"Oslo"',
    "a number": "5",
    "true": "true",
    "null": "null",
    "an object inside a text": '"{\\"city\\": \\"Oslo\\"}"',
    "nested too deeply": "[" * 200_000,
    "objects nested too deeply": '{"city":' * 100_000,
    "a number without end": '{"city": ' + "9" * 10_000 + "}",
    "a byte order mark": '\ufeff{"city": "Oslo"}',
    "a raw newline": '{"city": "Os\nlo"}',
    "a null byte": "\x00",
    "a surrogate outside of a text": "\ud800",
    "bytes that are not UTF-8": b"\xff\xfe",
    "spaces": "   ",
    "no arguments": "{}",
    "an empty text": "",
    "not there": None,
    "a wrong name": '{"town": "Oslo"}',
    "a name too many": '{"city": "Oslo", "country": "Norway"}',
    "a name in capitals": '{"CITY": "Oslo"}',
    "self": '{"self": 1, "city": "Oslo"}',
    "names of the language": '{"city": "Oslo", "__class__": 1}',
    "an empty name": '{"": "Oslo"}',
    "a name that is a surrogate": '{"\\ud800": 1}',
    "a long name": json.dumps({"x" * 100_000: 1}),
    "ten thousand names": json.dumps({f"n{each}": each for each in range(10_000)}),
    "a number instead": 5,
    "a list instead": [1, 2],
    "NaN instead": float("nan"),
    "an object that raises": Hostile(),
    "a dictionary of numbers": {1: 2},
}

GOOD_ARGUMENTS: dict[str, Any] = {
    "as it should be": '{"city": "Oslo"}',
    "spaces around": ' \n{"city": "Oslo"}\t',
    "already a dictionary": {"city": "Oslo"},
    "a name twice": '{"city": "Rome", "city": "Oslo"}',
    "a surrogate inside": '{"city": "\\ud800"}',
    "a long text": json.dumps({"city": "x" * 1_000_000}),
    "a secret": '{"city": "sk-abcdefghijklmnopqrstuvwx"}',
    "an escape": '{"city": "\\u0000"}',
}

ITEMS: dict[str, tuple[Any, str | None]] = {
    "a misspelt name": (chat("get_wether"), "unknown_tool"),
    "a name with its namespace": (chat("functions.get_weather"), "unknown_tool"),
    "an empty name": (chat(""), "unknown_tool"),
    "no name": (chat(None), "unknown_tool"),
    "a name that is a number": (chat(5), "unknown_tool"),
    "a name that is a list": (chat(["get_weather"]), "unknown_tool"),
    "a name of a method": (chat("__init__"), "unknown_tool"),
    "a name without end": (chat("get_weather" * 100_000), "unknown_tool"),
    "a name with a newline": (chat("get_weather\n"), "unknown_tool"),
    "a name that is a surrogate": (chat("\ud800"), "unknown_tool"),
    "a name that is markup": (chat('<b>"get_weather"</b>'), "unknown_tool"),
    "a secret for a name": (chat("sk-abcdefghijklmnopqrstuvwx"), "unknown_tool"),
    "no type": ({"id": "a", "function": {"name": "get_time", "arguments": "{}"}}, OK),
    "a type that is none": (chat(type=None), OK),
    "a type that is a number": (chat(type=5), OK),
    "a type that nobody knows": (chat(type="telepathy"), "unknown_tool"),
    "a custom tool": ({"id": "a", "type": "custom", "custom": {"name": "get_time", "input": "x"}}, "unknown_tool"),
    "a custom tool without anything": ({"id": "a", "type": "custom"}, "unknown_tool"),
    "a function that is none": ({"id": "a", "type": "function", "function": None}, "unknown_tool"),
    "a function that is a text": ({"id": "a", "type": "function", "function": "get_time"}, "unknown_tool"),
    "a function without anything": ({"id": "a", "type": "function", "function": {}}, "unknown_tool"),
    "an index, as in a stream": (chat("get_time", "{}", index=0), OK),
    "an empty dictionary": ({}, "unknown_tool"),
    "None": (None, "unknown_tool"),
    "a text": ("get_weather", "unknown_tool"),
    "a number": (5, "unknown_tool"),
    "a list": ([], "unknown_tool"),
    "an object that raises": (Hostile(), "unknown_tool"),
    "an object that has everything": (Everything(), "unknown_tool"),
    "an object": (SimpleNamespace(id="a", function=SimpleNamespace(name="get_time", arguments="{}")), OK),
    "wrong types for a validated tool": (chat("book", '{"seats": "many", "names": 5}'), "invalid_arguments"),
    "a field missing for a validated tool": (chat("book", '{"seats": 2}'), "invalid_arguments"),
    "a field too many for a validated tool": (chat("book", '{"seats": 2, "names": [], "x": 1}'), "invalid_arguments"),
    "null for a validated tool": (chat("book", '{"seats": null, "names": null}'), "invalid_arguments"),
    "numbers as texts for a validated tool": (chat("book", '{"seats": "2", "names": []}'), OK),
    "arguments for a tool that has none": (chat("get_time", '{"zone": "UTC"}'), "invalid_arguments"),
    "any name for a tool that takes all": (chat("echo", '{"": 1, "self": 2, "a b": 3, "values": 4}'), OK),
    "surrogates back from a tool": (chat("echo", '{"a": "\\ud800"}'), OK),
    "a secret back from a tool": (chat("echo", '{"password": "sk-abcdefabcdefabcdefabcdef"}'), OK),
    "a result that is no JSON": (chat("broken", "{}"), "bad_result"),
    "an error that cannot be told": (chat("raises", "{}"), "other"),
}

IDS: dict[str, Any] = {
    "missing": ...,
    "None": None,
    "a number": 5,
    "true": True,
    "a float": 1.5,
    "a list": ["a"],
    "empty": "",
    "long": "a" * 100_000,
    "a surrogate": "\ud800",
    "a newline": "a\nb",
    "a huge number": 10**5000,
}


def asked(said: Any) -> list[dict[str, Any]]:
    """The answers from sync code, after those from async code, which are to be the same but for the time."""

    async def main() -> Any:
        return await TOOLS.arun(said)

    of_arun, of_run = asyncio.run(main()), TOOLS.run(said)
    assert [shape(each) for each in of_arun] == [shape(each) for each in of_run]
    return of_run


def shape(answer: dict[str, Any]) -> Any:
    text = json.loads(answer.get("content", answer.get("output", "")), parse_constant=pytest.fail)
    text.pop("timestamp", None)
    return text, {key: value for key, value in answer.items() if key not in {"content", "output"}}


def check(answer: dict[str, Any], kind: str | None) -> None:
    """It is a message of the right form with a result of the right form, and of the right kind."""
    if answer.get("role") == "tool":
        assert answer.keys() == {"role", "tool_call_id", "content"}
        assert isinstance(answer["tool_call_id"], str)
        content = answer["content"]
    else:
        assert answer.keys() == {"type", "call_id", "output"}
        assert isinstance(answer["call_id"], str)
        content = answer["output"]
    content.encode()
    assert len(content) <= 4000
    for secret in ("hunter2", "sk-abcdef", "Traceback"):
        assert secret not in content
    result = json.loads(content, parse_constant=pytest.fail)
    if kind is None:
        assert result["success"] is True, result
        assert "data" in result
    else:
        assert result.keys() == {"success", "error", "suggestion", "timestamp"}
        assert result["error"].keys() == {"kind", "message", "retryable", "retry_after"}
        assert result["error"]["kind"] == kind, result
        assert kind in FAILURE_KINDS
        assert result["error"]["message"]
        assert result["suggestion"]


def test_the_table_is_long_enough() -> None:
    assert len(BAD_ARGUMENTS) + len(GOOD_ARGUMENTS) + len(ITEMS) + len(IDS) >= 60


@pytest.mark.parametrize("form", [chat, item])
@pytest.mark.parametrize("arguments", BAD_ARGUMENTS.values(), ids=list(BAD_ARGUMENTS))
def test_arguments_that_do_not_fit_are_answered(form: Any, arguments: Any) -> None:
    (answer,) = asked([form(arguments=arguments)])

    check(answer, "invalid_arguments")


@pytest.mark.parametrize("form", [chat, item])
@pytest.mark.parametrize("arguments", GOOD_ARGUMENTS.values(), ids=list(GOOD_ARGUMENTS))
def test_unusual_arguments_that_fit_are_accepted(form: Any, arguments: Any) -> None:
    (answer,) = asked([form(arguments=arguments)])

    check(answer, OK)


@pytest.mark.parametrize(("called", "kind"), ITEMS.values(), ids=list(ITEMS))
def test_every_item_of_a_message_is_answered_and_spoils_no_other(called: Any, kind: str | None) -> None:
    good = chat("get_time", "{}", id="good")
    first, answer, last = asked({"role": "assistant", "tool_calls": [good, called, good]})

    check(first, OK)
    check(answer, kind)
    check(last, OK)
    assert first["tool_call_id"] == last["tool_call_id"] == "good"


@pytest.mark.parametrize("form", [chat, item])
@pytest.mark.parametrize("call_id", IDS.values(), ids=list(IDS))
def test_calls_are_answered_whatever_their_id(form: Any, call_id: Any) -> None:
    called = form("get_time", "{}")
    key = "id" if form is chat else "call_id"
    called[key] = call_id
    if call_id is ...:
        del called[key]
    (answer,) = asked([called])

    check(answer, OK)
    given = answer["tool_call_id" if form is chat else "call_id"]
    assert given == (call_id if isinstance(call_id, str) else "5" if call_id == 5 else "")


def test_the_same_id_twice_is_answered_twice() -> None:
    for form in (chat, item):
        answers = asked([form("get_time", "{}"), form(), form("nothing")])
        assert len(answers) == 3
        for answer, kind in zip(answers, (OK, OK, "unknown_tool"), strict=True):
            check(answer, kind)
            assert "a" in {answer.get("tool_call_id"), answer.get("call_id")}


def test_items_of_a_response_that_are_no_function_calls_are_left_out() -> None:
    items = [
        {"type": "reasoning"},
        {"type": "web_search_call", "id": "w"},
        {"type": "computer_call", "call_id": "c"},
        {"type": "message", "role": "assistant"},
        None,
        "text",
        5,
        {},
        {"type": 5},
        item("get_time", "{}"),
        {"type": "custom_tool_call", "call_id": "b", "name": "get_time", "input": "x"},
        {"type": "custom_tool_call"},
    ]
    answers = asked({"output": items})

    assert [each["type"] for each in answers] == ["function_call_output", *["custom_tool_call_output"] * 2]
    check(answers[0], OK)
    check(answers[1], "unknown_tool")
    check(answers[2], "unknown_tool")


def test_both_forms_in_one_list_are_each_answered_in_their_own() -> None:
    first, second = asked([chat("get_time", "{}"), item("get_time", "{}")])

    assert (first["role"], second["type"]) == ("tool", "function_call_output")


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"role": "assistant"},
        {"role": "assistant", "tool_calls": None},
        {"role": "assistant", "tool_calls": []},
        {"output": None, "role": ""},
        {"output": []},
        {"choices": []},
        {"choices": [{"message": None}]},
        {"choices": [None]},
        ChatCompletionMessage(role="assistant", content=None),
    ],
)
def test_a_message_without_calls_needs_no_answer(said: Any) -> None:
    assert asked(said) == []


def test_the_answer_lists_the_most_similar_names() -> None:
    for name in ("get_wether", "getWeather", "functions.get_weather", "GET-WEATHER", "weather_get"):
        (answer,) = asked([chat(name)])
        assert " The nearest: get_weather" in json.loads(answer["content"])["error"]["message"]


def test_the_answer_has_the_position_of_a_json_error() -> None:
    (answer,) = asked([chat(arguments='{"city": oops}')])

    message = json.loads(answer["content"])["error"]["message"]
    assert "line 1, column 10" in message
    assert "oops" not in message, "it may be half a secret"


def test_a_thousand_hostile_calls_at_once_are_all_answered() -> None:
    calls = [called for called, _ in ITEMS.values()] + [chat(arguments=each) for each in GOOD_ARGUMENTS.values()]
    calls = (calls * 25)[:1000]

    assert len(TOOLS.run({"role": "assistant", "tool_calls": calls})) == 1000
