"""How a loop ends, what it sends and what it keeps: the real client over HTTP, with canned answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from otel_tools import ConfigurationError, Tool, ToolSet, arun_loop, run_loop, tool
from otel_tools.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools import LoopResult


@tool
def get_time() -> str:
    """The time."""
    return "noon"


@contextmanager
def serving(*answers: dict[str, Any] | int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives one answer after the other, or fails with a status; yields its URL and the requests."""
    rest = list(answers)
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = rest.pop(0)
            body = json.dumps(answer if isinstance(answer, dict) else {"error": {"message": "no"}}).encode()
            self.send_response(200 if isinstance(answer, dict) else answer)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Not to stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(params=["sync", "async"])
def loop(request: pytest.FixtureRequest) -> Callable[..., LoopResult]:
    def run(base_url: str, **options: Any) -> LoopResult:
        with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            return run_loop(client, "?", [get_time], model="m", **options)

    async def arun(base_url: str, **options: Any) -> LoopResult:
        async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            return await arun_loop(client, "?", [get_time], model="m", **options)

    return run if request.param == "sync" else lambda *args, **options: asyncio.run(arun(*args, **options))


USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13} | {
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSE_USAGE = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13} | {
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 2},
}


def chat(content: Any = "Hello.", finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "finish_reason": finish_reason, "message": message}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": USAGE}


def response(*parts: dict[str, Any], status: str | None = "completed", reason: str | None = None) -> dict[str, Any]:
    items = [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": list(parts)}]
    return {
        "id": "r",
        "object": "response",
        "created_at": 0,
        "model": "m",
        "status": status,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": items if parts else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE,
    }


def text(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": []}


CHAT_CALL = chat(
    None,
    "tool_calls",
    tool_calls=[{"id": "t", "type": "function", "function": {"name": "get_time", "arguments": "null"}}],
)
RESPONSE_CALL = response() | {
    "output": [{"type": "function_call", "id": "f", "call_id": "t", "name": "get_time", "arguments": ""}]
}
ONE_TOOL = {"type": "function", "function": {"name": "get_time"}}
CALLS = {"chat": CHAT_CALL, "responses": RESPONSE_CALL}
REFUSAL = {"type": "refusal", "refusal": "I will not."}


@pytest.mark.parametrize(
    ("api", "last", "outcome", "said"),
    [
        ("chat", chat(), "answered", "Hello."),
        ("chat", chat(finish_reason=None), "answered", "Hello."),
        ("chat", chat(finish_reason="length"), "length", "Hello."),
        ("chat", chat("", "content_filter"), "content_filter", ""),
        ("chat", chat(None, refusal="I will not."), "refused", "I will not."),
        ("chat", chat(finish_reason="error"), "incomplete", "Hello."),
        ("chat", chat() | {"choices": []}, "incomplete", ""),
        ("chat", chat([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]), "answered", "Hello."),
        ("chat", chat(["Hel", "lo.", {"type": "thinking"}]), "answered", "Hello."),
        ("responses", response(text("Hel"), text("lo.")), "answered", "Hello."),
        ("responses", response(text("Hello."), status=None), "answered", "Hello."),
        ("responses", response(text("He"), status="incomplete", reason="max_output_tokens"), "length", "He"),
        ("responses", response(status="incomplete", reason="content_filter"), "content_filter", ""),
        ("responses", response(REFUSAL), "refused", "I will not."),
        ("responses", response(status="incomplete", reason="new"), "incomplete", ""),
        ("responses", response(status="failed"), "incomplete", ""),
        ("responses", response(status="cancelled"), "incomplete", ""),
    ],
)
def test_the_outcome_says_how_the_last_response_ended(
    api: str, last: dict[str, Any], outcome: str, said: str, loop: Callable[..., LoopResult]
) -> None:
    with serving(CALLS[api], last) as (base_url, requests):
        result = loop(base_url, api=api)

    assert (result.outcome, result.text, result.turns) == (outcome, said, 2)
    assert result.usage == {
        "input_tokens": 20,
        "output_tokens": 6,
        "total_tokens": 26,
        "cached_tokens": 8,
        "reasoning_tokens": 4,
    }
    assert "noon" in json.dumps(requests[1])
    assert not any("parallel_tool_calls" in request for request in requests)


def test_usage_is_zero_where_the_server_counts_nothing(loop: Callable[..., LoopResult]) -> None:
    with serving(chat() | {"usage": None}) as (base_url, _):
        assert set(loop(base_url).usage.values()) == {0}


@pytest.mark.parametrize("parallel", [True, False])
def test_parallel_tool_calls_is_sent_when_asked(loop: Callable[..., LoopResult], *, parallel: bool) -> None:
    with serving(chat()) as (base_url, requests):
        loop(base_url, parallel=parallel)

    assert requests[0]["parallel_tool_calls"] is parallel


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", ["required", None]),
        (ONE_TOOL, [ONE_TOOL, None]),
        ("auto", ["auto", "auto"]),
        ("none", ["none", "none"]),
    ],
)
def test_a_forced_call_is_for_the_first_turn_alone(choice: Any, sent: Any, loop: Callable[..., LoopResult]) -> None:
    with serving(CHAT_CALL, chat()) as (base_url, requests):
        assert loop(base_url, tool_choice=choice).outcome == "answered"

    assert [request.get("tool_choice") for request in requests] == sent


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_error_of_the_client_carries_the_conversation(api: str, loop: Callable[..., LoopResult]) -> None:
    with serving(CALLS[api], 500, chat() if api == "chat" else response(text("Hello."))) as (base_url, requests):
        with pytest.raises(openai.InternalServerError) as failed:
            loop(base_url, api=api)
        messages = failed.value.messages  # type: ignore[attr-defined] # run_loop sets it
        with OpenAI(base_url=base_url, api_key="none") as client:
            result = run_loop(client, messages, [get_time], model="m", api=api)  # type: ignore[arg-type] # one of the two

    assert result.text == "Hello."
    key = "messages" if api == "chat" else "input"
    assert requests[2][key] == requests[1][key]
    assert len(messages) == 3


def test_arguments_are_checked_without_a_call() -> None:
    calls = []

    @tool
    def book(city: str, /, nights: int = 1, *guests: str, **more: int) -> None:
        """Book a room."""
        calls.append(city)

    class Hotel:
        @tool
        def rate(self, stars: int) -> int:
            return stars

    before = book.tool.stats()
    assert book.tool.validate({"city": "Oslo", "nights": "3", "floor": "4"}) == {
        "city": "Oslo",
        "nights": 3,
        "guests": (),
        "floor": 4,
    }
    assert Tool.of(Hotel.rate).validate('{"stars": "5"}') == {"stars": 5}
    assert get_time.tool.validate("") == {}
    for wrong in ({}, {"city": "Oslo", "nights": "many"}, "{", "[]", [1], {1: 2}):
        with pytest.raises(InvalidArguments):
            book.tool.validate(wrong)  # type: ignore[arg-type] # what a model may have sent
    assert calls == []
    assert book.tool.stats() == before


def test_a_request_that_openai_refuses_is_refused_before() -> None:
    def named(number: int) -> Any:
        return tool(name=f"tool_{number}")(lambda: None)

    with pytest.raises(ConfigurationError, match=r"129 tools: OpenAI takes 128"):
        ToolSet([named(number) for number in range(129)]).schemas()
    assert len(ToolSet([named(number) for number in range(128)]).schemas()) == 128
    for api in ("chat", "responses"):
        assert tool(name="long", description="x" * 1024)(lambda: None).tool.schema(api=api)
        with pytest.raises(ConfigurationError, match=r"1,025 characters, and OpenAI takes 1,024.*description="):
            tool(name="long", description="x" * 1025)(lambda: None).tool.schema(api=api)
