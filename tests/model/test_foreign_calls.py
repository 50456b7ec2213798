"""Tool calls in the form of other APIs, in every container: a `TypeError` says what they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from pydantic import BaseModel, ConfigDict

from otel_tools import ToolSet

TOOLS = ToolSet([])
ARGUMENTS = {"city": "Oslo"}
TOOL_USE = {"type": "tool_use", "id": "t", "name": "get_weather", "input": ARGUMENTS}
GEMINI = {"id": None, "name": "get_weather", "args": ARGUMENTS}
BEDROCK = {"toolUse": {"toolUseId": "t", "name": "get_weather", "input": ARGUMENTS}}
LANGCHAIN = {"type": "tool_call", "id": "t", "name": "get_weather", "args": ARGUMENTS}
LEGACY = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
TEXT = {"type": "text", "text": "Let me look."}
PIECE = {"index": 0, "id": "t", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"} | {
    "choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [PIECE]}, "finish_reason": None}]
}

FORMS = {
    "anthropic message": {"role": "assistant", "stop_reason": "tool_use", "content": [TEXT, TOOL_USE]},
    "anthropic content": [TEXT, TOOL_USE],
    "anthropic block": TOOL_USE,
    "anthropic stream": {"type": "content_block_start", "index": 1, "content_block": TOOL_USE},
    "gemini response": {"candidates": [{"content": {"role": "model", "parts": [{"function_call": GEMINI}]}}]},
    "gemini rest": {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": GEMINI}]}}]},
    "gemini content": {"role": "model", "parts": [{"text": "I look."}, {"functionCall": GEMINI}]},
    "gemini function_calls": {"function_calls": [GEMINI]},
    "gemini calls": [GEMINI],
    "gemini call": GEMINI,
    "bedrock response": {"output": {"message": {"role": "assistant", "content": [{"text": "x"}, BEDROCK]}}},
    "bedrock message": {"role": "assistant", "content": [BEDROCK]},
    "bedrock content": [{"text": "x"}, BEDROCK],
    "langchain message": {"type": "ai", "content": "", "tool_calls": [LANGCHAIN]},
    "langchain calls": [LANGCHAIN],
    "legacy message": {"role": "assistant", "content": None, "function_call": LEGACY},
    "legacy message of today": {"role": "assistant", "tool_calls": None, "function_call": LEGACY},
    "legacy completion": {"choices": [{"message": {"role": "assistant", "content": None, "function_call": LEGACY}}]},
    "legacy call": LEGACY,
    "stream piece": CHUNK,
    "stream choice": CHUNK["choices"][0],  # type: ignore[index] # a list
    "responses stream piece": {"type": "response.function_call_arguments.done", "item_id": "i", "arguments": "{}"},
    "no list": {"role": "assistant", "tool_calls": PIECE},
    "text for a list": {"role": "assistant", "tool_calls": "get_weather"},
    "number for a list": {"role": "assistant", "tool_calls": 5},
    "text": '{"tool_calls": []}',
    "chunks": [CHUNK, CHUNK],
}


class Loose(BaseModel):
    """As the clients of other vendors return: a pydantic model with these fields."""

    model_config = ConfigDict(extra="allow")


def namespace(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: namespace(each) for key, each in value.items()})
    return [namespace(each) for each in value] if isinstance(value, list) else value


def model(value: Any) -> Any:
    if isinstance(value, dict):
        return Loose.model_construct(**{key: model(each) for key, each in value.items()})
    return [model(each) for each in value] if isinstance(value, list) else value


def pairs(value: Any) -> Any:
    """Lists as tuples."""
    if isinstance(value, dict):
        return {key: pairs(each) for key, each in value.items()}
    return tuple(map(pairs, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("holder", [dict, namespace, model, pairs], ids=["dict", "object", "pydantic", "tuple"])
@pytest.mark.parametrize("form", FORMS)
def test_calls_of_another_api_are_refused_by_name(form: str, holder: Any) -> None:
    said = FORMS[form] if holder is dict else holder(FORMS[form])

    with pytest.raises(TypeError, match="a chat message with tool calls, a list of tool calls") as refused:
        TOOLS.run(said)

    vendor = {"anthropic": "Anthropic", "gemini": "Gemini|one level", "bedrock": "Bedrock", "langchain": "LangChain"}
    assert any(name in str(refused.value) for name in vendor.get(form.split(maxsplit=1)[0], "").split("|"))


async def test_the_clients_own_objects_are_refused_too() -> None:
    message = ChatCompletionMessage.model_validate({"role": "assistant", "function_call": LEGACY})
    choice = {"index": 0, "finish_reason": "function_call", "message": message}
    completion = ChatCompletion.model_validate({**CHUNK, "object": "chat.completion", "choices": [choice]})

    for said in (message, completion, ChatCompletionChunk.model_validate(CHUNK)):
        with pytest.raises(TypeError, match=r"legacy function_call|pieces of a stream"):
            await TOOLS.arun(said)


@pytest.mark.parametrize("content", [[TEXT], "function_call", [{"type": "tool_result", "tool_use_id": "t"}], []])
def test_messages_that_only_speak_have_no_calls(content: Any) -> None:
    assert TOOLS.run({"role": "assistant", "content": content, "function_call": None}) == []
