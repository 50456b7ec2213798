"""The scripted model's chat completions API: validates requests, builds responses and their stream chunks."""

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

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
from otel_tools._demo.script import CompletedCall, FunctionCall, NextTurn, next_turn


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


_Content = str | list[_TextPart]


class _Function(BaseModel):
    name: Name
    arguments: str


class _ToolCall(BaseModel):
    id: Annotated[str, Field(min_length=1)]
    type: Literal["function"]
    function: _Function


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
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(BaseModel):
    type: Literal["function"]
    function: _FunctionDefinition


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class _Request(BaseModel):
    model: str
    messages: Annotated[
        list[Annotated[_Instructions | _User | _Assistant | _ToolResult, Field(discriminator="role")]],
        Field(min_length=1),
    ]
    tools: Annotated[list[_Tool], Field(min_length=1)] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


def complete(body: bytes, decide: NextTurn = next_turn) -> dict[str, Any] | Iterator[Event]:
    """Answer one `POST /v1/chat/completions`.

    Args:
        body: the request, a JSON object.
        decide: decides the model's turn.

    Returns:
        The response, a `chat.completion` object; where the request asks for a stream, its chunks.

    Raises:
        BadRequest: the request is invalid.
    """
    request = _parse(body)
    turn = decide(_calls_since_question(request), frozenset(tool.function.name for tool in request.tools or ()))
    if not isinstance(turn, str) and request.parallel_tool_calls is False:
        turn = turn[:1]
    response = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
    }
    text = turn if isinstance(turn, str) else "".join(call.arguments_text() for call in turn)
    prompt_tokens, completion_tokens = estimate_tokens(body.decode()), estimate_tokens(text)
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    message = {"role": "assistant", "refusal": None} | (
        {"content": turn} if isinstance(turn, str) else {"content": None, "tool_calls": [*map(_tool_call, turn)]}
    )
    reason = "stop" if isinstance(turn, str) else "tool_calls"
    if request.stream:
        with_usage = request.stream_options is not None and request.stream_options.include_usage
        chunk = response | {"object": "chat.completion.chunk"}
        return _chunks(chunk, message, reason, usage if with_usage else None)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return response | {"choices": [choice], "usage": usage}


def _chunks(
    chunk: dict[str, Any], message: dict[str, Any], reason: str, usage: dict[str, int] | None
) -> Iterator[Event]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    deltas += ({"content": piece} for piece in stream_pieces(message["content"] or ""))
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        first = call | {"index": index, "function": function | {"arguments": ""}}
        deltas.append({"tool_calls": [first]})
        deltas += (
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in stream_pieces(function["arguments"])
        )
    for delta in deltas:
        yield None, chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield None, chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if usage is not None:
        yield None, chunk | {"choices": [], "usage": usage}


def _tool_call(call: FunctionCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments_text()}
    return {"id": call.call_id or f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _parse(body: bytes) -> _Request:
    request = parse_request(_Request, body)
    if request.parallel_tool_calls is not None and not request.tools:
        raise BadRequest("'parallel_tool_calls' is only allowed with 'tools'.", param="parallel_tool_calls")
    return request


def _calls_since_question(request: _Request) -> Sequence[CompletedCall]:
    """The calls since the user's last message, each with its result.

    Raises:
        BadRequest: a call has no result, or a result no call.
    """
    calls = CallPairing()
    for position, message in enumerate(request.messages):
        param = f"messages[{position}]"
        if isinstance(message, _ToolResult):
            calls.add_result(message.tool_call_id, _text(message.content), param)
            continue
        calls.require_all_completed(param)
        if isinstance(message, _User):
            calls.completed.clear()
        if isinstance(message, _Assistant):
            if message.content is None and message.tool_calls is None:
                raise BadRequest(f"Invalid {param}: it has neither content nor tool calls.", param=param)
            for call in message.tool_calls or ():
                calls.add_call(call.id, call.function.name, json_or_text(call.function.arguments))
    calls.require_all_completed(f"messages[{len(request.messages)}]")
    return calls.completed


def _text(content: _Content) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)
