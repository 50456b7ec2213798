"""The chat completions API as the scripted model speaks it: what a proper request is, and its response."""

import json
import time
import uuid
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from otel_tools.demo.script import Call, Done, reply

MODEL = "scripted"


class BadRequest(Exception):  # noqa: N818  (the name that HTTP gives it)
    """A request that this server refuses, as OpenAI words such a thing."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


_Content = str | list[_TextPart]
_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class _FunctionCall(BaseModel):
    name: _Name
    arguments: str


class _ToolCall(BaseModel):
    id: Annotated[str, Field(min_length=1)]
    type: Literal["function"]
    function: _FunctionCall


class _Instructions(BaseModel):
    role: Literal["system", "developer"]
    content: _Content


class _User(BaseModel):
    role: Literal["user"]
    content: _Content


class _Assistant(BaseModel):
    role: Literal["assistant"]
    content: _Content | None = None
    tool_calls: Annotated[list[_ToolCall], Field(min_length=1)] | None = None


class _ToolResult(BaseModel):
    role: Literal["tool"]
    tool_call_id: str
    content: _Content


class _FunctionDefinition(BaseModel):
    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(BaseModel):
    type: Literal["function"]
    function: _FunctionDefinition


class _Request(BaseModel):
    model: str
    messages: Annotated[
        list[Annotated[_Instructions | _User | _Assistant | _ToolResult, Field(discriminator="role")]],
        Field(min_length=1),
    ]
    tools: Annotated[list[_Tool], Field(min_length=1)] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None


def complete(body: bytes) -> dict[str, Any]:
    """Answer one `POST /v1/chat/completions`.

    Args:
        body: the request, a JSON object.

    Returns:
        The response, a `chat.completion` object.

    Raises:
        BadRequest: the request is not what the API takes.
    """
    request = _parse(body)
    done = _calls_since_the_question(request)
    offered = frozenset(tool.function.name for tool in request.tools or ())
    said = reply(done, offered)
    if not isinstance(said, str) and request.parallel_tool_calls is False:
        said = said[:1]
    message = {"role": "assistant", "refusal": None} | (
        {"content": said} if isinstance(said, str) else {"content": None, "tool_calls": [*map(_ask, said)]}
    )
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": "stop" if isinstance(said, str) else "tool_calls",
            }
        ],
    }


def _ask(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _parse(body: bytes) -> _Request:
    try:
        request = _Request.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        param = where.removeprefix(".") or None
        raise BadRequest(f"Invalid {param or 'request'}: {first['msg']}.", param=param) from error
    if request.model != MODEL:
        raise BadRequest(
            f"The model {request.model!r} does not exist; this server has {MODEL!r}.",
            param="model",
            code="model_not_found",
            status=HTTPStatus.NOT_FOUND,
        )
    if request.stream:
        raise BadRequest("The scripted model does not stream: leave `stream` out.", param="stream")
    if request.parallel_tool_calls is not None and not request.tools:
        raise BadRequest("'parallel_tool_calls' is only allowed with 'tools'.", param="parallel_tool_calls")
    return request


def _calls_since_the_question(request: _Request) -> list[Done]:
    """Pair each tool call with its result; one without the other is the application's mistake."""
    done: list[Done] = []
    open_calls: dict[str, Call] = {}
    for position, message in enumerate(request.messages):
        param = f"messages[{position}]"
        if isinstance(message, _ToolResult):
            call = open_calls.pop(message.tool_call_id, None)
            if call is None:
                raise BadRequest(
                    f"Invalid {param}: no tool call before it has the id {message.tool_call_id!r}.",
                    param=param,
                )
            done.append(Done(call, _value(message.content)))
            continue
        _refuse_open(open_calls, param)
        if isinstance(message, _User):
            done = []
        if isinstance(message, _Assistant):
            if message.content is None and message.tool_calls is None:
                raise BadRequest(f"Invalid {param}: it has neither content nor tool calls.", param=param)
            for asked in message.tool_calls or ():
                arguments = _value(asked.function.arguments)
                known = arguments if isinstance(arguments, dict) else {}
                open_calls[asked.id] = Call(asked.function.name, known)
    _refuse_open(open_calls, f"messages[{len(request.messages)}]")
    return done


def _refuse_open(open_calls: dict[str, Call], param: str) -> None:
    if open_calls:
        ids = ", ".join(open_calls)
        raise BadRequest(f"Each tool call must be followed by its result; missing: {ids}.", param=param)


def _value(content: _Content) -> Any:
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    try:
        return json.loads(text)
    except ValueError:
        return text
