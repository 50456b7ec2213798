"""The scripted model's server: refused requests, streams, connections."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import OpenAI

from otel_tools._demo.model import ScriptedModel
from otel_tools._demo.script import QUESTION

USER = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "1"}
NAMES = ("get_weather", "get_stock_price", "search_web")
SCRIPT_TOOLS: Any = [{"type": "function", "function": {"name": name}} for name in NAMES]


def chat(**changes: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [USER]} | changes


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with ScriptedModel() as server:
        yield server.base_url


@pytest.fixture(scope="module")
def connection(base_url: str) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(urlsplit(base_url).netloc, timeout=60)
    yield connection
    connection.close()


@pytest.fixture
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def post(connection: HTTPConnection, body: Any) -> tuple[int, dict[str, Any]]:
    connection.request("POST", "/v1/chat/completions", body if isinstance(body, bytes) else json.dumps(body))
    with connection.getresponse() as response:
        return response.status, json.loads(response.read())


@pytest.mark.parametrize(
    ("request_body", "status", "param", "message"),
    [
        (b"{not json", 400, None, "Invalid JSON"),
        (b"[]", 400, None, "Invalid request"),
        ({"messages": [USER]}, 400, "model", "Field required"),
        ({"model": "scripted"}, 400, "messages", "Field required"),
        (chat(model="gpt-4.1"), 404, "model", "'gpt-4.1' does not exist; this server has 'scripted'"),
        (chat(messages=[]), 400, "messages", "at least 1"),
        (chat(messages=[{"role": "robot", "content": "x"}]), 400, "messages[0]", "'robot'"),
        (chat(messages=[{"role": "user"}]), 400, "messages[0].user.content", "required"),
        (chat(messages=[USER, {"role": "assistant"}]), 400, "messages[1]", "neither content nor tool calls"),
        (chat(tools=[]), 400, "tools", "at least 1"),
        (chat(tools=[TOOL | {"type": "hammer"}]), 400, "tools[0].type", "'function'"),
        (
            chat(tools=[{"type": "function", "function": {"name": "a b"}}]),
            400,
            "tools[0].function.name",
            "pattern",
        ),
        (chat(parallel_tool_calls=True), 400, "parallel_tool_calls", "only allowed with 'tools'"),
        (chat(messages=[USER, ASSISTANT]), 400, "messages[2]", "missing: c1"),
        (chat(messages=[USER, ASSISTANT, USER]), 400, "messages[2]", "missing: c1"),
        (chat(messages=[USER, RESULT]), 400, "messages[1]", "no tool call before it has the id 'c1'"),
        (chat(messages=[USER, ASSISTANT, RESULT, RESULT]), 400, "messages[3]", "no tool call before it"),
    ],
)
def test_an_invalid_chat_request_gets_openais_error_body(
    connection: HTTPConnection, request_body: Any, status: int, param: str | None, message: str
) -> None:
    got, body = post(connection, request_body)
    assert got == status
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["param"] == param
    assert message in body["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_names_the_known_ones(connection: HTTPConnection, method: str) -> None:
    connection.request(method, "/v1/embeddings")
    with connection.getresponse() as response:
        body = json.loads(response.read())
    assert response.status == 404
    assert "/v1/" in body["error"]["message"].split(";")[1]


def test_the_model_is_listed_as_scripted(connection: HTTPConnection) -> None:
    connection.request("GET", "/v1/models")
    with connection.getresponse() as response:
        assert [model["id"] for model in json.loads(response.read())["data"]] == ["scripted"]


def test_a_refused_request_keeps_the_connection_alive(connection: HTTPConnection) -> None:
    post(connection, chat())
    socket = connection.sock
    assert post(connection, b"{")[0] == 400
    assert post(connection, chat())[0] == 200
    assert connection.sock is socket


def test_results_may_be_text_json_or_content_parts(connection: HTTPConnection) -> None:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in NAMES]
    results: list[Any] = ["it rains", json.dumps({"price": 1}), [{"type": "text", "text": "[]"}]]
    messages = [
        USER,
        {"role": "assistant", "tool_calls": calls},
        *({"role": "tool", "tool_call_id": name, "content": each} for name, each in zip(NAMES, results, strict=True)),
    ]
    _, body = post(connection, chat(messages=messages, tools=SCRIPT_TOOLS))
    assert body["choices"][0]["message"]["content"] == (
        'get_weather says: "it rains". get_stock_price says: {"price": 1}. search_web says: [].'
    )


def test_a_second_question_starts_the_script_again(connection: HTTPConnection) -> None:
    before = [USER, ASSISTANT, RESULT, {"role": "assistant", "content": [{"type": "text", "text": "so"}]}]
    _, body = post(connection, chat(messages=[*before, USER], tools=SCRIPT_TOOLS))
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == list(NAMES)


@pytest.mark.parametrize("tools", [None, SCRIPT_TOOLS])
def test_a_streamed_response_equals_the_whole_one(client: OpenAI, tools: Any) -> None:
    request: Any = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION}]}
    if tools:
        request["tools"] = tools
    whole = client.chat.completions.create(**request)
    with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        streamed = stream.get_final_completion()

    (got,), (wanted,) = streamed.choices, whole.choices
    assert got.finish_reason == wanted.finish_reason
    assert (got.message.content or None) == wanted.message.content
    calls = [
        [call.function.arguments for call in each.message.tool_calls or () if call.type == "function"]
        for each in (got, wanted)
    ]
    assert calls[0] == calls[1]
    assert streamed.usage is not None
    assert streamed.usage.prompt_tokens > 0


def test_a_client_may_close_the_connection_in_the_middle_of_a_stream(client: OpenAI) -> None:
    request: Any = {"model": "scripted", "messages": [USER]}
    for _ in range(3):
        with client.chat.completions.create(**request, tools=SCRIPT_TOOLS, stream=True) as stream:
            next(stream)
    assert client.chat.completions.create(**request).choices[0].finish_reason == "stop"


def test_a_stream_keeps_the_connection_alive(base_url: str) -> None:
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


def test_the_server_stops_while_a_client_keeps_its_connection() -> None:
    with ScriptedModel() as server:
        connection = HTTPConnection(urlsplit(server.base_url).netloc, timeout=60)
        assert post(connection, chat())[0] == 200
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        post(connection, chat())
