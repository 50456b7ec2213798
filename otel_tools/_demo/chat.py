"""The chat completions API as the scripted model speaks it: what a proper request is, and its response."""

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from otel_tools._demo.script import Call, Done, Mind, reply
from otel_tools._demo.wire import MODEL, BadRequest, Event, Name, OpenCalls, parsed, pieces, tokens, value_of


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


_Content = str | list[_TextPart]


class _FunctionCall(BaseModel):
    name: Name
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


def complete(body: bytes, mind: Mind = reply) -> dict[str, Any] | Iterator[Event]:
    """Answer one `POST /v1/chat/completions`.

    Args:
        body: the request, a JSON object.
        mind: decides what is said.

    Returns:
        The response, a `chat.completion` object, or its chunks where it is to be streamed.

    Raises:
        BadRequest: the request is not what the API takes.
    """
    request = _parse(body)
    done = _calls_since_the_question(request)
    said = mind(done, frozenset(tool.function.name for tool in request.tools or ()))
    if not isinstance(said, str) and request.parallel_tool_calls is False:
        said = said[:1]
    answer = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
    }
    spoken = said if isinstance(said, str) else "".join(call.written() for call in said)
    asked, answered = tokens(body.decode()), tokens(spoken)
    usage = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
    message = {"role": "assistant", "refusal": None} | (
        {"content": said} if isinstance(said, str) else {"content": None, "tool_calls": [*map(_ask, said)]}
    )
    reason = "stop" if isinstance(said, str) else "tool_calls"
    if request.stream:
        wanted = request.stream_options is not None and request.stream_options.include_usage
        return _chunks(answer | {"object": "chat.completion.chunk"}, message, reason, usage if wanted else None)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return answer | {"choices": [choice], "usage": usage}


def _chunks(
    answer: dict[str, Any], message: dict[str, Any], reason: str, usage: dict[str, int] | None
) -> Iterator[Event]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    deltas += ({"content": piece} for piece in pieces(message["content"] or ""))
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        begun = call | {"index": index, "function": function | {"arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas += (
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in pieces(function["arguments"])
        )
    for delta in deltas:
        yield None, answer | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield None, answer | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if usage is not None:
        yield None, answer | {"choices": [], "usage": usage}


def _ask(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.written()}
    return {"id": call.call_id or f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _parse(body: bytes) -> _Request:
    request = parsed(_Request, body)
    if request.parallel_tool_calls is not None and not request.tools:
        raise BadRequest("'parallel_tool_calls' is only allowed with 'tools'.", param="parallel_tool_calls")
    return request


def _calls_since_the_question(request: _Request) -> Sequence[Done]:
    """Pair each tool call with its result; one without the other is the application's mistake."""
    calls = OpenCalls()
    for position, message in enumerate(request.messages):
        param = f"messages[{position}]"
        if isinstance(message, _ToolResult):
            calls.answer(message.tool_call_id, _text(message.content), param)
            continue
        calls.refuse_open(param)
        if isinstance(message, _User):
            calls.done.clear()
        if isinstance(message, _Assistant):
            if message.content is None and message.tool_calls is None:
                raise BadRequest(f"Invalid {param}: it has neither content nor tool calls.", param=param)
            for asked in message.tool_calls or ():
                calls.ask(asked.id, asked.function.name, value_of(asked.function.arguments))
    calls.refuse_open(f"messages[{len(request.messages)}]")
    return calls.done


def _text(content: _Content) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)
