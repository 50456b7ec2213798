"""Reading tool calls out of what a model said, in either API, as objects or dictionaries."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.responses import Response, ResponseFunctionToolCall

from otel_tools._model.formats.openai import ModelCall, UnreadableArguments, arguments_of, calls_in

CHAT = [
    {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}},
    {"id": "b", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
]
MESSAGE = {"role": "assistant", "content": None, "tool_calls": CHAT}
ITEMS: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs", "summary": []},
    {"type": "function_call", "id": "fc", "call_id": "a", "name": "get_weather", "arguments": '{"city": "Oslo"}'},
    {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": []},
    {"type": "function_call", "call_id": "b", "name": "get_time", "arguments": "{}"},
]
RESPONSE = {
    "id": "r",
    "object": "response",
    "created_at": 0,
    "model": "m",
    "output": ITEMS,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": MESSAGE}],
}


def namespace(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: namespace(each) for key, each in value.items()})
    return [namespace(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("said", "api"),
    [
        (MESSAGE, "chat"),
        (ChatCompletionMessage.model_validate(MESSAGE), "chat"),
        (namespace(MESSAGE), "chat"),
        (CHAT, "chat"),
        (tuple(CHAT), "chat"),
        (namespace(CHAT), "chat"),
        (ChatCompletionMessage.model_validate(MESSAGE).tool_calls, "chat"),
        (COMPLETION, "chat"),
        (ChatCompletion.model_validate(COMPLETION), "chat"),
        (RESPONSE, "responses"),
        (Response.model_validate(RESPONSE), "responses"),
        (namespace(RESPONSE), "responses"),
        (ITEMS, "responses"),
        (Response.model_validate(RESPONSE).output, "responses"),
    ],
)
def test_calls_are_found_in_every_form(said: Any, api: str) -> None:
    calls = calls_in(said)

    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("a", "get_weather", '{"city": "Oslo"}'),
        ("b", "get_time", "{}"),
    ]
    assert {call.api for call in calls} == {api}


@pytest.mark.parametrize(
    "said", [CHAT[0], namespace(CHAT[0]), ITEMS[1], ResponseFunctionToolCall.model_validate(ITEMS[1])]
)
def test_a_single_call_is_accepted(said: Any) -> None:
    assert [call.id for call in calls_in(said)] == ["a"]


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        (),
        {"role": "assistant", "content": "Hello."},
        {"role": "assistant", "content": "Hello.", "tool_calls": None},
        {"role": "assistant", "tool_calls": []},
        ChatCompletionMessage(role="assistant", content="Hello."),
        {**RESPONSE, "output": []},
        {**RESPONSE, "output": ITEMS[:1]},
        ITEMS[:1],
        {**COMPLETION, "choices": []},
        [{"role": "user", "content": "Hello."}, {"type": "message", "role": "assistant", "content": []}],
    ],
)
def test_messages_without_calls_give_no_calls(said: Any) -> None:
    assert calls_in(said) == []


@pytest.mark.parametrize("said", [5, 1.5, True, "get_weather()", b"{}", object(), {}, {"a": 1}, SimpleNamespace()])
def test_values_that_no_model_returns_raise_a_type_error(said: Any) -> None:
    with pytest.raises(TypeError, match="chat message"):
        calls_in(said)


@pytest.mark.parametrize("said", [[MESSAGE], COMPLETION["choices"], ChatCompletion.model_validate(COMPLETION).choices])
def test_a_list_of_messages_raises_a_type_error(said: Any) -> None:
    with pytest.raises(TypeError, match="list of messages"):
        calls_in(said)


def test_calls_that_are_already_answered_are_left_out() -> None:
    answered = {"type": "function_call_output", "call_id": "a", "output": "rain"}

    assert [call.id for call in calls_in([*ITEMS, answered])] == ["b"]


def test_answers_have_the_form_of_the_api() -> None:
    assert [call.answer("x") for call in calls_in(MESSAGE)] == [
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "tool", "tool_call_id": "b", "content": "x"},
    ]
    assert [call.answer("x") for call in calls_in(RESPONSE)] == [
        {"type": "function_call_output", "call_id": "a", "output": "x"},
        {"type": "function_call_output", "call_id": "b", "output": "x"},
    ]


def test_custom_tools_are_answered_in_their_own_form() -> None:
    chat, response = (
        {"id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
        {"type": "custom_tool_call", "call_id": "b", "name": "shell", "input": "ls"},
    )

    assert [(call.name, call.function) for call in calls_in([chat])] == [("shell", False)]
    assert calls_in([chat])[0].answer("x") == {"role": "tool", "tool_call_id": "a", "content": "x"}
    assert calls_in([response])[0].answer("x") == {"type": "custom_tool_call_output", "call_id": "b", "output": "x"}


def test_a_call_by_the_models_own_program_is_answered_to_it() -> None:
    caller = {"type": "program", "caller_id": "p"}
    (call,) = calls_in([{**ITEMS[1], "caller": caller}])
    (direct,) = calls_in([{**ITEMS[1], "caller": {"type": "direct"}}])

    assert call.answer("x")["caller"] == caller
    assert "caller" not in direct.answer("x")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        (' {"a": [null, true, "é"]} ', {"a": [None, True, "é"]}),
        ("", {}),
        (None, {}),
        ("  ", {}),
        ("null", {}),
        (b" null ", {}),
        ({"a": 1}, {"a": 1}),
        (b'{"a": 1}', {"a": 1}),
    ],
)
def test_arguments_are_an_object(given: Any, expected: Any) -> None:
    assert arguments_of(ModelCall("", "f", given)) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"a": 1', r"line 1, column 8"),
        ('{\n"a": oops}', r"at character 7 \(line 2, column 6\)\.$"),
        ('{"a": 1}{"b": 2}', r"Extra data"),
        ("[1]", "an array"),
        ("5", "a number"),
        ("true", "a boolean"),
        ('"text"', "a string"),
        ('{"a": NaN}', "NaN"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "too long"),
        (b'{"a": "\xff"}', "UTF-8"),
        ([1], "an array"),
        (object(), "something else"),
        ({1: 2}, "names are texts"),
    ],
)
def test_the_error_for_the_model_says_why_arguments_are_no_object(given: Any, told: str) -> None:
    with pytest.raises(UnreadableArguments, match=told):
        arguments_of(ModelCall("", "f", given))
