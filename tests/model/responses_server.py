"""The demo's scripted model with the Responses API added: checks requests, answers them, keeps its responses."""

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from threading import Lock
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from otel_tools._demo.model import Endpoint, ScriptedModel
from otel_tools._demo.protocol import (
    MODEL,
    BadRequest,
    CallPairing,
    Event,
    Name,
    estimate_tokens,
    json_or_text,
    parse_request,
    stream_pieces,
)
from otel_tools._demo.script import CompletedCall, FunctionCall, NextTurn

_MAX_STORED = 256


class _Part(BaseModel):
    type: Literal["input_text", "output_text"]
    text: str


class _Message(BaseModel):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]


class _FunctionCall(BaseModel):
    type: Literal["function_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Name
    arguments: str


class _FunctionCallOutput(BaseModel):
    type: Literal["function_call_output"]
    call_id: str
    output: str | list[_Part]


def _item_type(item: Any) -> Any:
    """The type of an item, which a message may leave out."""
    return item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", None)


_Item = Annotated[
    Annotated[_Message, Tag("message")]
    | Annotated[_FunctionCall, Tag("function_call")]
    | Annotated[_FunctionCallOutput, Tag("function_call_output")],
    Discriminator(_item_type),
]


def _messages(value: Any) -> Any:
    """The input as a list of items: a bare text stands for one message of the user."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


class _Tool(BaseModel):
    type: Literal["function"]
    name: Name
    parameters: dict[str, Any] | None = None


class _Request(BaseModel):
    model: str
    input: Annotated[list[_Item], Field(min_length=1), BeforeValidator(_messages)]
    tools: list[_Tool] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    stream: bool | None = None


class ModelServer(ScriptedModel):
    """The scripted model of the demo; it also serves the Responses API, whole or streamed."""

    def routes(self, decide: NextTurn) -> dict[str, Endpoint]:
        responses = Responses(decide)
        return super().routes(decide) | {
            "POST /v1/responses": lambda _path, body: responses.create(body),
            "GET /v1/responses/": lambda path, _body: responses.retrieve(path.removeprefix("/v1/responses/")),
        }


class Responses:
    """The Responses API, with a store of the responses that it has given.

    Args:
        decide: decides each turn of the model.
    """

    def __init__(self, decide: NextTurn) -> None:
        self._decide = decide
        self._lock = Lock()
        self._conversations: OrderedDict[str, list[_Item]] = OrderedDict()
        self._responses: dict[str, dict[str, Any]] = {}

    def create(self, body: bytes) -> dict[str, Any] | Iterator[Event]:
        """Answer one `POST /v1/responses`.

        Returns:
            The response; where the request asks for a stream, its events.

        Raises:
            BadRequest: the request is invalid.
        """
        request = parse_request(_Request, body)
        conversation = [*self._conversation(request.previous_response_id), *request.input]
        offered = frozenset(tool.name for tool in request.tools or ())
        turn = self._decide(_calls_since_question(conversation), offered)
        if not isinstance(turn, str) and request.parallel_tool_calls is False:
            turn = turn[:1]
        output = [_output_message(turn)] if isinstance(turn, str) else [_function_call(call) for call in turn]
        response = _response(request, output, estimate_tokens(body.decode()))
        self._store(response, [*conversation, *map(_input_item, output)])
        return _events(response) if request.stream else response

    def retrieve(self, response_id: str) -> dict[str, Any]:
        """Answer one `GET /v1/responses/ID`.

        Raises:
            BadRequest: no response has that id.
        """
        with self._lock:
            response = self._responses.get(response_id)
        if response is None:
            raise BadRequest(f"Response with id {response_id!r} not found.", status=HTTPStatus.NOT_FOUND)
        return response

    def _conversation(self, response_id: str | None) -> list[_Item]:
        with self._lock:
            conversation = [] if response_id is None else self._conversations.get(response_id)
        if conversation is None:
            raise BadRequest(
                f"Previous response with id {response_id!r} not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return conversation

    def _store(self, response: dict[str, Any], conversation: list[_Item]) -> None:
        with self._lock:
            self._responses[response["id"]] = response
            self._conversations[response["id"]] = conversation
            while len(self._conversations) > _MAX_STORED:
                oldest, _ = self._conversations.popitem(last=False)
                del self._responses[oldest]


def _calls_since_question(conversation: Sequence[_Item]) -> Sequence[CompletedCall]:
    calls = CallPairing()
    for position, item in enumerate(conversation):
        if isinstance(item, _FunctionCall):
            calls.add_call(item.call_id, item.name, json_or_text(item.arguments))
        elif isinstance(item, _FunctionCallOutput):
            calls.add_result(item.call_id, _text(item.output), f"input[{position}]")
        elif item.role == "user":
            calls.require_all_completed(f"input[{position}]")
            calls.completed.clear()
    calls.require_all_completed("input")
    return calls.completed


def _text(content: str | list[_Part]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _input_item(output: dict[str, Any]) -> _Item:
    return (_Message if output["type"] == "message" else _FunctionCall).model_validate(output)


def _output_message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _function_call(call: FunctionCall) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{uuid.uuid4().hex}",
        "call_id": call.call_id or f"call_{uuid.uuid4().hex[:24]}",
        "name": call.name,
        "arguments": call.arguments_text(),
        "status": "completed",
    }


def _response(request: _Request, output: list[dict[str, Any]], input_tokens: int) -> dict[str, Any]:
    output_tokens = sum(estimate_tokens(str(item)) for item in output)
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        },
    }


def _events(response: dict[str, Any]) -> Iterator[Event]:
    started = response | {"status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for index, item in enumerate(response["output"]):
        events += (_message_events if item["type"] == "message" else _call_events)(item, index)
    events.append({"type": "response.completed", "response": response})
    for number, event in enumerate(events):
        yield event["type"], event | {"sequence_number": number}


def _message_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    (part,) = item["content"]
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    started = item | {"status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": started}
    yield {"type": "response.content_part.added", **where, "part": part | {"text": ""}}
    for piece in stream_pieces(part["text"]):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": index}
    started = item | {"status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": started}
    for piece in stream_pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield {"type": "response.function_call_arguments.done", **where, **done}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
