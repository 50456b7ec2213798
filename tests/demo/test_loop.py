"""The demo's application: its own loop and tools, with the real client over HTTP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionMessage

from otel_tools._demo import loop
from otel_tools._demo.model import ScriptedModel
from otel_tools._demo.script import QUESTION
from otel_tools._demo.tools import available_functions, tools


@pytest.fixture
def client() -> Iterator[OpenAI]:
    with (
        ScriptedModel() as server,
        DefaultHttpxClient(trust_env=False) as http,
        OpenAI(base_url=server.base_url, api_key="none", max_retries=0, http_client=http) as client,
    ):
        yield client


def requested(messages: list[Any]) -> list[list[str]]:
    """The names of the functions that the model asked for, turn by turn."""
    return [
        [call.function.name for call in message.tool_calls if call.type == "function"]
        for message in messages
        if isinstance(message, ChatCompletionMessage) and message.tool_calls
    ]


def results(messages: list[Any]) -> list[Any]:
    return [json.loads(message["content"]) for message in messages if isinstance(message, dict)][1:]


@pytest.fixture
def messages() -> list[Any]:
    return [{"role": "user", "content": json.dumps(QUESTION)}]


@pytest.mark.parametrize("file", ["loop.py", "tools.py"])
def test_the_application_does_not_mention_telemetry(file: str) -> None:
    source = (Path(loop.__file__).parent / file).read_text(encoding="utf-8")
    assert re.findall(r"(?i)otel|telemetry|trac(?:e|ing)|\bspan|metric|instrument|observ", source) == []


def test_the_model_calls_in_parallel_corrects_failed_calls_and_answers(client: OpenAI, messages: list[Any]) -> None:
    answer = loop.run_conversation(client, "scripted", messages, tools, available_functions)

    assert requested(messages) == [
        ["get_weather", "get_stock_price", "search_web"],
        ["get_stock_price", "search_web"],
        ["get_stock_price"],
    ]
    errors = [result["error"] for result in results(messages) if "error" in result]
    assert len(errors) == 2
    assert "no prices for 'GOOGLE'; known symbols:" in errors[0]
    assert "no price of GOOG in 2015-07" in errors[1]
    assert "Seattle on 2015-07-04: sun, 15.0 to 33.3 °C." in answer
    assert "One GOOG share cost 560.19 USD in 2010-03" in answer


def test_without_parallel_calls_a_turn_has_one_call(client: OpenAI, messages: list[Any]) -> None:
    response = client.chat.completions.create(
        model="scripted", messages=messages, tools=tools, parallel_tool_calls=False
    )
    assert requested([response.choices[0].message]) == [["get_weather"]]


def test_the_answer_reports_failed_functions_and_empty_results(client: OpenAI, messages: list[Any]) -> None:
    def broken(**_: Any) -> None:
        raise ConnectionError("the exchange is closed")

    functions = available_functions | {
        "get_stock_price": broken,
        "search_web": lambda **_: {"results": [], "query": "x"},
    }
    answer = loop.run_conversation(client, "scripted", messages, tools, functions)
    assert "I could not get an answer from get_stock_price: ConnectionError: the exchange is closed." in answer
    assert 'Nothing was found for "x".' in answer


def test_a_symbol_without_a_close_match_is_not_tried_again(client: OpenAI, messages: list[Any]) -> None:
    def strange(**_: Any) -> None:
        raise LookupError("known symbols: XYZ")

    answer = loop.run_conversation(
        client, "scripted", messages, tools, available_functions | {"get_stock_price": strange}
    )
    assert "LookupError: known symbols: XYZ" in answer


def test_an_unknown_function_is_an_error_result_for_the_model(client: OpenAI, messages: list[Any]) -> None:
    functions = {name: each for name, each in available_functions.items() if name != "get_weather"}
    loop.run_conversation(client, "scripted", messages, tools, functions)
    assert results(messages)[0] == {"error": "KeyError: 'get_weather'"}


def test_without_its_functions_the_model_names_those_it_needs(client: OpenAI, messages: list[Any]) -> None:
    answer = loop.run_conversation(client, "scripted", messages, tools[:1], available_functions)
    assert answer.endswith("needs the functions get_stock_price, search_web.")


def test_a_model_that_never_answers_ends_the_loop(
    client: OpenAI, messages: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_TURNS", 2)
    with pytest.raises(RuntimeError, match="after 2 turns"):
        loop.run_conversation(client, "scripted", messages, tools, available_functions)
