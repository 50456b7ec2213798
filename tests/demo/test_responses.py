"""The scripted model's Responses API and its streams, over HTTP and as the real client reads them."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from otel_tools._demo import responses
from otel_tools._demo.model import ScriptedModel
from otel_tools._demo.script import QUESTION

NAMES = ("get_weather", "get_stock_price", "search_web")
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": name}} for name in NAMES]
TOOLS: Any = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in NAMES]
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with ScriptedModel() as server:
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
def test_what_is_no_request_is_refused(client: OpenAI, changes: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**{"model": "scripted", "input": "hello"} | changes)

    assert message in refused.value.message
    assert str(refused.value.param).startswith(param)


def test_an_unknown_response_or_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="'resp_none' not found"):
        client.responses.retrieve("resp_none")
    with pytest.raises(NotFoundError, match="does not exist"):
        client.responses.create(model="gpt-4.1", input="hello")


def test_a_conversation_goes_on_from_the_response_before(client: OpenAI) -> None:
    first = client.responses.create(model="scripted", input=QUESTION, tools=TOOLS)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == list(NAMES)
    outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "[]"} for call in calls]
    second = client.responses.create(model="scripted", input=outputs, tools=TOOLS, previous_response_id=first.id)

    assert second.output_text == "get_weather says: []. get_stock_price says: []. search_web says: []."
    assert client.responses.retrieve(second.id) == second
    assert second.usage is not None
    assert second.usage.total_tokens == second.usage.input_tokens + second.usage.output_tokens


def test_the_conversation_may_be_sent_whole(client: OpenAI) -> None:
    messages: list[Any] = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
    ]
    first = client.responses.create(model="scripted", input=messages, tools=TOOLS, parallel_tool_calls=False)
    (call,) = (item for item in first.output if item.type == "function_call")
    messages += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = client.responses.create(model="scripted", input=messages, tools=TOOLS)

    assert [item.name for item in second.output if item.type == "function_call"] == list(NAMES[1:])


def test_old_conversations_are_forgotten(monkeypatch: pytest.MonkeyPatch, client: OpenAI) -> None:
    monkeypatch.setattr(responses, "_MAX_REMEMBERED", 1)
    first = client.responses.create(model="scripted", input="hello")
    client.responses.create(model="scripted", input="hello")

    with pytest.raises(NotFoundError):
        client.responses.retrieve(first.id)


@pytest.mark.parametrize("tools", [[], TOOLS])
def test_a_streamed_response_is_the_one_that_is_remembered(client: OpenAI, tools: Any) -> None:
    with client.responses.stream(model="scripted", input=QUESTION, tools=tools) as stream:
        events = list(stream)
        streamed = stream.get_final_response()

    assert [event.sequence_number for event in events] == list(range(len(events)))
    kept = client.responses.retrieve(streamed.id)
    assert streamed.output_text == kept.output_text
    calls = [[(i.call_id, i.arguments) for i in r.output if i.type == "function_call"] for r in (streamed, kept)]
    assert calls[0] == calls[1]
    assert len(calls[0]) == len(tools)


@pytest.mark.parametrize("tools", [None, CHAT_TOOLS])
def test_a_streamed_chat_says_what_a_whole_one_does(client: OpenAI, tools: Any) -> None:
    request: Any = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION}]}
    if tools:
        request["tools"] = tools
    whole = client.chat.completions.create(**request)
    with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        streamed = stream.get_final_completion()

    (said,), (wanted,) = streamed.choices, whole.choices
    assert said.finish_reason == wanted.finish_reason
    assert (said.message.content or None) == wanted.message.content
    calls = [
        [call.function.arguments for call in each.message.tool_calls or () if call.type == "function"]
        for each in (said, wanted)
    ]
    assert calls[0] == calls[1]
    assert streamed.usage is not None
    assert streamed.usage.prompt_tokens > 0


def test_a_client_may_hang_up_in_the_middle_of_a_stream(client: OpenAI) -> None:
    for _ in range(3):
        with client.responses.create(model="scripted", input=QUESTION, tools=TOOLS, stream=True) as stream:
            next(stream)
    assert client.responses.create(model="scripted", input="hello").status == "completed"


def test_the_connection_is_kept_over_a_stream(base_url: str) -> None:
    connection = HTTPConnection(urlsplit(base_url).netloc, timeout=60)
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "x"}], "stream": True})
    sockets = set()
    for _ in range(2):
        connection.request("POST", "/v1/chat/completions", body)
        with connection.getresponse() as response:
            assert response.read().endswith(b"data: [DONE]\n\n")
        sockets.add(connection.sock)
    connection.close()
    assert len(sockets) == 1
