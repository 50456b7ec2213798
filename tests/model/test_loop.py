"""`run_loop` and `arun_loop`, against a model behind real HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry.trace import StatusCode

import otel_tools
from otel_tools._demo.script import FunctionCall
from otel_tools._model.call_ids.openai_client import instrument_openai, uninstrument_openai
from otel_tools._model.loop import LoopResult, arun_loop, run_loop
from otel_tools._model.toolset.toolset import ToolSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools.testing import Captured

Loop = "Callable[..., LoopResult]"


@otel_tools.tool
def get_weather(location: str) -> dict[str, Any]:
    """The weather somewhere."""
    if location == "Atlantis":
        raise LookupError("Atlantis is under water")
    return {"location": location, "weather": "sunny"}


@otel_tools.tool
async def get_time(location: str) -> str:
    """The time somewhere."""
    await asyncio.sleep(0)
    return f"noon in {location}"


WEATHER = FunctionCall("get_weather", {"location": "Seattle"})
ATLANTIS = FunctionCall("get_weather", {"location": "Atlantis"})
TIME = FunctionCall("get_time", {"location": "Seattle"})


@pytest.fixture(params=["sync", "async"])
def loop(request: pytest.FixtureRequest) -> Callable[..., LoopResult]:
    """`run_loop`, or `arun_loop` run to its end; takes the URL in the place of the client."""
    if request.param == "sync":

        def run(base_url: str, *args: Any, **options: Any) -> LoopResult:
            with OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
                return run_loop(client, *args, model="scripted", **options)

        return run

    def arun(base_url: str, *args: Any, **options: Any) -> LoopResult:
        async def main() -> LoopResult:
            async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
                return await arun_loop(client, *args, model="scripted", **options)

        return asyncio.run(main())

    return arun


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answers(result: LoopResult) -> list[Any]:
    """What the model was told of its calls."""
    texts: Iterator[Any] = (
        message.get("content", message.get("output"))
        for message in result.messages
        if isinstance(message, dict) and ("tool_call_id" in message or "call_id" in message)
    )
    return [json.loads(text) for text in texts]


def test_the_model_calls_tools_until_it_answers(
    loop: Callable[..., LoopResult], api: str, model: Any, seen: Captured
) -> None:
    with model([WEATHER, TIME, ATLANTIS], [WEATHER], "It is sunny.") as (base_url, play):
        result = loop(base_url, "How is the weather?", [get_weather, get_time], api=api)

    assert (result.outcome, result.text, result.turns) == ("answered", "It is sunny.", 3)
    assert result.tool_calls == {"get_weather": 3, "get_time": 1}
    assert [answer["success"] for answer in answers(result)] == [True, True, False, True]
    assert [len(done) for done in play.told] == [0, 3, 4]
    assert result.response.model == "scripted"


def test_the_tools_are_under_one_agent(loop: Callable[..., LoopResult], api: str, model: Any, seen: Captured) -> None:
    instrument_openai()
    try:
        with model([WEATHER, TIME], [ATLANTIS], "Sunny.") as (base_url, _):
            result = loop(base_url, "?", ToolSet([get_weather, get_time]), api=api, agent_name="travel")
    finally:
        uninstrument_openai()

    (agent,) = (span for span in seen.spans if span.name == "invoke_agent travel")
    tools = [span for span in seen.spans if span.name.startswith("execute_tool")]
    assert len(tools) == 3
    assert {span.parent.span_id for span in tools if span.parent} == {agent.context.span_id if agent.context else 0}
    assert {(span.attributes or {})["gen_ai.agent.name"] for span in tools} == {"travel"}
    assert agent.status.status_code is StatusCode.UNSET
    ids = [
        call_id
        for message in result.messages
        if isinstance(message, dict) and (call_id := message.get("tool_call_id") or message.get("call_id"))
    ]
    assert sorted((span.attributes or {})["gen_ai.tool.call.id"] for span in tools) == sorted(ids)  # type: ignore[type-var] # they are texts


def test_it_stops_after_max_turns_and_the_conversation_can_be_continued(
    loop: Callable[..., LoopResult], api: str, model: Any
) -> None:
    with model([WEATHER], [WEATHER], "Sunny.") as (base_url, _):
        stopped = loop(base_url, "?", [get_weather], api=api, max_turns=2)
        resumed = loop(base_url, stopped.messages, [get_weather], api=api)

    assert (stopped.outcome, stopped.text, stopped.turns, stopped.tool_calls) == (
        "max_turns",
        "",
        2,
        {"get_weather": 2},
    )
    assert (resumed.outcome, resumed.text, resumed.turns, resumed.tool_calls) == ("answered", "Sunny.", 1, {})


def test_the_messages_of_the_caller_are_left_as_they_are(loop: Callable[..., LoopResult], api: str, model: Any) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"}]
    with model([WEATHER], "Sunny.") as (base_url, _):
        result = loop(base_url, messages, [get_weather], api=api)

    assert len(messages) == 2
    assert result.messages[:2] == messages


def test_parallel_false_is_sent_to_the_model(loop: Callable[..., LoopResult], api: str, model: Any) -> None:
    with model([WEATHER, TIME], "Sunny.") as (base_url, play):
        result = loop(base_url, "?", [get_weather, get_time], api=api, parallel=False)

    assert result.tool_calls == {"get_weather": 1}
    assert [len(done) for done in play.told] == [0, 1]


def test_without_tools_there_is_one_request(loop: Callable[..., LoopResult], api: str, model: Any) -> None:
    with model("Hello.") as (base_url, _):
        assert loop(base_url, "?", [], api=api, temperature=0).text == "Hello."


def test_mistakes_of_the_model_are_answered(loop: Callable[..., LoopResult], api: str, model: Any) -> None:
    wrong = [
        FunctionCall("get_whether", {}),
        FunctionCall("get_weather", {}, text="{"),
        FunctionCall("get_weather", {"place": "Seattle"}),
        FunctionCall("get_weather", {"location": "Seattle"}, call_id="twice"),
    ]
    with model(wrong, "Sorry.") as (base_url, play):
        result = loop(base_url, "?", [get_weather], api=api)

    assert [answer["success"] for answer in answers(result)] == [False, False, False, True]
    assert [answer["error"]["kind"] for answer in answers(result)[:3]] == [
        "unknown_tool",
        "invalid_arguments",
        "invalid_arguments",
    ]
    assert result.tool_calls == {"get_whether": 1, "get_weather": 3}
    assert len(play.told[1]) == 4


def test_the_clients_errors_are_raised_and_end_the_agent(
    loop: Callable[..., LoopResult], api: str, model: Any, seen: Captured
) -> None:
    with model("Hello.") as (base_url, _), pytest.raises(openai.BadRequestError):
        loop(base_url, [], [get_weather], api=api)

    (agent,) = seen.spans
    assert agent.status.status_code is StatusCode.ERROR
    assert (agent.attributes or {})["error.type"] == "openai.BadRequestError"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_turns": 0}, r"max_turns=0.*from 1 on"),
        ({"max_turns": True}, "max_turns=True"),
        ({"max_turns": 1.5}, r"max_turns=1\.5"),
        ({"api": "assistants"}, "api='assistants'.*'chat' or 'responses'"),
        ({"stream": True}, "stream=True"),
    ],
)
def test_impossible_arguments_are_refused_before_any_request(
    options: dict[str, Any], message: str, loop: Callable[..., LoopResult], seen: Captured
) -> None:
    with pytest.raises(otel_tools.ConfigurationError, match=message):
        loop("http://127.0.0.1:9/v1", "?", [get_weather], **options)

    assert seen.spans == ()


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    uninstrument_openai()
