"""Servers that are no OpenAI: what the client makes of their bodies is what it made of them before."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from otel_tools._model.call_ids import pending_calls
from otel_tools._model.call_ids.openai_client import instrument_openai, uninstrument_openai
from tests.model.response_readers import CHAT, RESPONSES, WITH_MODEL_SPANS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    WITH_MODEL_SPANS, reason="OpenTelemetry's instrumentation 1.3b0 itself raises on some of these"
)

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CUSTOM = {"id": "c2", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}


def message(*calls: Any) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [*calls]}}]}


def delta(*calls: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [*calls]}, "finish_reason": finish, **more}]}


def item(**more: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "i1", "call_id": "c1", "name": "f", "arguments": '{"x": 1}', **more}


@contextmanager
def serving(body: bytes, kind: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def heard(base_url: str, *, responses: bool, stream: bool) -> tuple[str, Any]:
    """What a user of the client gets."""
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        try:
            create: Any = client.responses.create if responses else client.chat.completions.create
            got = create(**(RESPONSES if responses else CHAT), stream=stream)
            return "value", repr(list(got)) if stream else repr(got)
        except Exception as error:
            return type(error).__name__, str(error)


def calls_pending() -> set[tuple[str, str]]:
    return {(call.call_id, call.tool) for call in pending_calls._store.all}


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    uninstrument_openai()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (message(CALL), {("c1", "f")}),
        (message(CUSTOM, CALL), {("c1", "f"), ("c2", "run")}),
        (message(CALL | {"id": ""}), set()),
        (message(CALL | {"id": None}), set()),
        (message(CALL | {"id": 7}), set()),
        (message(CALL | {"function": {"name": "f", "arguments": {"x": 1}}}), {("c1", "f")}),
        (message(CALL | {"function": {"name": None, "arguments": None}}), set()),
        (message(CALL | {"function": None}), set()),
        (message(7), set()),
        (message(None), set()),
        ({"choices": [{"message": None}]}, set()),
        ({"choices": [7]}, set()),
        ({"choices": 7}, set()),
        ({"choices": None}, set()),
        ({"error": {"message": "overloaded"}}, set()),
        ({}, set()),
        ([], set()),
        (7, set()),
        (None, set()),
        ("text", set()),
    ],
)
def test_a_whole_chat_completion(body: Any, expected: set[Any]) -> None:
    with serving(json.dumps(body).encode(), "application/json") as base_url:
        before = heard(base_url, responses=False, stream=False)
        instrument_openai()
        assert heard(base_url, responses=False, stream=False) == before
    assert calls_pending() == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"output": [item()]}, {("c1", "f")}),
        (
            {"output": [item(), item(type="custom_tool_call", call_id="c2", name="run", input="x")]},
            {("c1", "f"), ("c2", "run")},
        ),
        ({"output": [{"type": "function_call"}]}, set()),
        ({"output": [{"type": "reasoning"}, item()]}, {("c1", "f")}),
        ({"output": [7, None]}, set()),
        ({"output": 7}, set()),
        ({}, set()),
    ],
)
def test_a_whole_response(body: Any, expected: set[Any]) -> None:
    with serving(json.dumps(body).encode(), "application/json") as base_url:
        before = heard(base_url, responses=True, stream=False)
        instrument_openai()
        assert heard(base_url, responses=True, stream=False) == before
    assert calls_pending() == expected


PIECE = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"x"'}}
REST = {"index": 0, "function": {"arguments": ": 1}"}}
BOTH = {("c1", "f"), ("c2", "f")}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([delta(PIECE), delta(REST), delta(finish="tool_calls")], {("c1", "f")}),
        ([delta(PIECE), delta(REST)], {("c1", "f")}),
        ([delta(PIECE, REST, finish="tool_calls")], {("c1", "f")}),
        ([delta(PIECE), delta(REST), delta(PIECE | {"id": "c2"}), delta(REST, finish="stop")], BOTH),
        ([delta(PIECE), delta(REST | {"id": "c1"}, finish="stop")], {("c1", "f")}),
        ([delta(PIECE | {"index": None}), delta(REST | {"index": None}, finish="stop")], {("c1", "f")}),
        ([delta(PIECE), delta(PIECE | {"index": 1, "id": "c2"}), delta(REST), delta(REST | {"index": 1})], BOTH),
        ([delta(CUSTOM | {"index": 0}, finish="tool_calls")], {("c2", "run")}),
        ([delta(PIECE), delta(finish="length")], set()),
        ([{"choices": [{"index": 0, "delta": None}]}, delta(PIECE), delta(REST)], {("c1", "f")}),
        ([{"choices": []}, {"choices": None}, {}], set()),
        ([delta(7), delta(None), delta({"index": 0})], set()),
        ([7, "x", None], set()),
        ([{"error": {"message": "overloaded"}}], set()),
    ],
)
def test_a_streamed_chat_completion(chunks: list[Any], expected: set[Any]) -> None:
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    with serving(body.encode(), "text/event-stream") as base_url:
        before = heard(base_url, responses=False, stream=True)
        instrument_openai()
        assert heard(base_url, responses=False, stream=True) == before
    assert calls_pending() == expected


ADDED = {"type": "response.output_item.added", "item": item(arguments="")}
DONE = {"type": "response.function_call_arguments.done", "item_id": "i1", "arguments": '{"x": 1}'}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ADDED, DONE], {("c1", "f")}),
        ([{"type": "response.output_item.done", "item": item()}], {("c1", "f")}),
        ([{"type": "response.completed", "response": {"output": [item()]}}], {("c1", "f")}),
        ([{"type": "response.incomplete", "response": {"output": [item(call_id="c2")]}}], {("c2", "f")}),
        ([ADDED, DONE | {"item_id": "i2"}], set()),
        ([DONE], set()),
        ([ADDED], set()),
        ([{"type": "response.output_item.added", "item": None}, ADDED, DONE], {("c1", "f")}),
        ([{"type": "response.completed", "response": None}, {"type": "response.new"}, {"type": 7}, {}], set()),
    ],
)
def test_a_streamed_response(events: list[Any], expected: set[Any]) -> None:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    with serving(body.encode(), "text/event-stream") as base_url:
        before = heard(base_url, responses=True, stream=True)
        instrument_openai()
        assert heard(base_url, responses=True, stream=True) == before
    assert calls_pending() == expected
    assert pending_calls._store.count == len(expected)


def test_what_could_not_be_read_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    instrument_openai()
    with (
        serving(json.dumps(message(7)).encode(), "application/json") as base_url,
        caplog.at_level(logging.WARNING, "otel_tools"),
    ):
        for _ in range(3):
            heard(base_url, responses=False, stream=False)

    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "telemetry failed while remembering what the model asked for"
    ]
