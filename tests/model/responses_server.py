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
from otel_tools._demo.script import Call, Done, Mind
from otel_tools._demo.wire import MODEL, BadRequest, Event, Name, OpenCalls, parsed, pieces, tokens, value_of

_MAX_REMEMBERED = 256


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


def _kind(item: Any) -> Any:
    """The type of an item, which a message may leave out."""
    return item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", None)


_Item = Annotated[
    Annotated[_Message, Tag("message")]
    | Annotated[_FunctionCall, Tag("function_call")]
    | Annotated[_FunctionCallOutput, Tag("function_call_output")],
    Discriminator(_kind),
]


def _messages(value: Any) -> Any:
    """A text is the user's message."""
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

    def routes(self, mind: Mind) -> dict[str, Endpoint]:
        responses = Responses(mind)
        return super().routes(mind) | {
            "POST /v1/responses": lambda _path, body: responses.create(body),
            "GET /v1/responses/": lambda path, _body: responses.retrieve(path.removeprefix("/v1/responses/")),
        }


class Responses:
    """The API, with the responses that it gave.

    Args:
        mind: decides what is said.
    """

    def __init__(self, mind: Mind) -> None:
        self._mind = mind
        self._lock = Lock()
        self._conversations: OrderedDict[str, list[_Item]] = OrderedDict()
        self._given: dict[str, dict[str, Any]] = {}

    def create(self, body: bytes) -> dict[str, Any] | Iterator[Event]:
        """Answer one `POST /v1/responses`.

        Returns:
            The response, or its events where it is to be streamed.

        Raises:
            BadRequest: the request is not what the API takes.
        """
        request = parsed(_Request, body)
        conversation = [*self._before(request.previous_response_id), *request.input]
        offered = frozenset(tool.name for tool in request.tools or ())
        said = self._mind(_calls_since_the_question(conversation), offered)
        if not isinstance(said, str) and request.parallel_tool_calls is False:
            said = said[:1]
        output = [_speak(said)] if isinstance(said, str) else [_ask(call) for call in said]
        response = _response(request, output, tokens(body.decode()))
        self._remember(response, [*conversation, *map(_item, output)])
        return _events(response) if request.stream else response

    def retrieve(self, response_id: str) -> dict[str, Any]:
        """Answer one `GET /v1/responses/ID`.

        Raises:
            BadRequest: there is none of that id.
        """
        with self._lock:
            response = self._given.get(response_id)
        if response is None:
            raise BadRequest(f"Response with id {response_id!r} not found.", status=HTTPStatus.NOT_FOUND)
        return response

    def _before(self, response_id: str | None) -> list[_Item]:
        with self._lock:
            conversation = [] if response_id is None else self._conversations.get(response_id)
        if conversation is None:
            raise BadRequest(
                f"Previous response with id {response_id!r} not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return conversation

    def _remember(self, response: dict[str, Any], conversation: list[_Item]) -> None:
        with self._lock:
            self._given[response["id"]] = response
            self._conversations[response["id"]] = conversation
            while len(self._conversations) > _MAX_REMEMBERED:
                forgotten, _ = self._conversations.popitem(last=False)
                del self._given[forgotten]


def _calls_since_the_question(conversation: Sequence[_Item]) -> Sequence[Done]:
    calls = OpenCalls()
    for position, item in enumerate(conversation):
        if isinstance(item, _FunctionCall):
            calls.ask(item.call_id, item.name, value_of(item.arguments))
        elif isinstance(item, _FunctionCallOutput):
            calls.answer(item.call_id, _text(item.output), f"input[{position}]")
        elif item.role == "user":
            calls.refuse_open(f"input[{position}]")
            calls.done.clear()
    calls.refuse_open("input")
    return calls.done


def _text(content: str | list[_Part]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _item(output: dict[str, Any]) -> _Item:
    return (_Message if output["type"] == "message" else _FunctionCall).model_validate(output)


def _speak(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _ask(call: Call) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{uuid.uuid4().hex}",
        "call_id": call.call_id or f"call_{uuid.uuid4().hex[:24]}",
        "name": call.name,
        "arguments": call.written(),
        "status": "completed",
    }


def _response(request: _Request, output: list[dict[str, Any]], asked: int) -> dict[str, Any]:
    answered = sum(tokens(str(item)) for item in output)
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
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answered,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + answered,
        },
    }


def _events(response: dict[str, Any]) -> Iterator[Event]:
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(response["output"]):
        events += (_message_events if item["type"] == "message" else _call_events)(item, index)
    events.append({"type": "response.completed", "response": response})
    for number, event in enumerate(events):
        yield event["type"], event | {"sequence_number": number}


def _message_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    (part,) = item["content"]
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    begun = item | {"status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    yield {"type": "response.content_part.added", **where, "part": part | {"text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": index}
    begun = item | {"status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for piece in pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield {"type": "response.function_call_arguments.done", **where, **done}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
