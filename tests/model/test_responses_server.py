"""The test server's Responses API, whole and streamed, as the real client reads it."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from otel_tools._demo.script import QUESTION
from tests.model import responses_server
from tests.model.responses_server import ModelServer

NAMES = ("get_weather", "get_stock_price", "search_web")
TOOLS: Any = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in NAMES]
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with ModelServer() as server:
        yield server.base_url


@pytest.fixture
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("changes", "param", "message"),
    [
        ({"input": []}, "input", "at least 1"),
        ({"input": [OUTPUT]}, "input[0]", "no tool call before it has the id 'c1'"),
        ({"input": [CALL]}, "input", "missing: c1"),
        ({"input": [CALL, {"role": "user", "content": "x"}]}, "input[1]", "missing: c1"),
        ({"input": [{"type": "hammer"}]}, "input", "hammer"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "Field required"),
        ({"previous_response_id": "resp_none"}, "previous_response_id", "'resp_none' not found"),
    ],
)
def test_an_invalid_request_is_refused(client: OpenAI, changes: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**{"model": "scripted", "input": "hello"} | changes)

    assert message in refused.value.message
    assert str(refused.value.param).startswith(param)


def test_an_unknown_response_or_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="'resp_none' not found"):
        client.responses.retrieve("resp_none")
    with pytest.raises(NotFoundError, match="does not exist"):
        client.responses.create(model="gpt-4.1", input="hello")


def test_a_request_continues_the_conversation_of_an_earlier_response(client: OpenAI) -> None:
    first = client.responses.create(model="scripted", input=QUESTION, tools=TOOLS)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == list(NAMES)
    outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "[]"} for call in calls]
    second = client.responses.create(model="scripted", input=outputs, tools=TOOLS, previous_response_id=first.id)

    assert second.output_text == "get_weather says: []. get_stock_price says: []. search_web says: []."
    assert client.responses.retrieve(second.id) == second
    assert second.usage is not None
    assert second.usage.total_tokens == second.usage.input_tokens + second.usage.output_tokens


def test_a_request_may_carry_the_whole_conversation(client: OpenAI) -> None:
    messages: list[Any] = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
    ]
    first = client.responses.create(model="scripted", input=messages, tools=TOOLS, parallel_tool_calls=False)
    (call,) = (item for item in first.output if item.type == "function_call")
    messages += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = client.responses.create(model="scripted", input=messages, tools=TOOLS)

    assert [item.name for item in second.output if item.type == "function_call"] == list(NAMES[1:])


def test_the_oldest_response_is_dropped_first(monkeypatch: pytest.MonkeyPatch, client: OpenAI) -> None:
    monkeypatch.setattr(responses_server, "_MAX_STORED", 1)
    first = client.responses.create(model="scripted", input="hello")
    client.responses.create(model="scripted", input="hello")

    with pytest.raises(NotFoundError):
        client.responses.retrieve(first.id)


@pytest.mark.parametrize("tools", [[], TOOLS])
def test_a_streamed_response_equals_the_stored_one(client: OpenAI, tools: Any) -> None:
    with client.responses.stream(model="scripted", input=QUESTION, tools=tools) as stream:
        events = list(stream)
        streamed = stream.get_final_response()

    assert [event.sequence_number for event in events] == list(range(len(events)))
    kept = client.responses.retrieve(streamed.id)
    assert streamed.output_text == kept.output_text
    calls = [[(i.call_id, i.arguments) for i in r.output if i.type == "function_call"] for r in (streamed, kept)]
    assert calls[0] == calls[1]
    assert len(calls[0]) == len(tools)


def test_a_client_may_close_the_connection_in_the_middle_of_a_stream(client: OpenAI) -> None:
    for _ in range(3):
        with client.responses.create(model="scripted", input=QUESTION, tools=TOOLS, stream=True) as stream:
            next(stream)
    assert client.responses.create(model="scripted", input="hello").status == "completed"
