"""`run_loop` and `arun_loop`: the loop around a model and its tools, for those who have none of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from otel_tools._model.formats.openai import calls_in
from otel_tools._model.toolset.toolset import ToolSet
from otel_tools._telemetry.agent import agent
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_tools._schema.formats import Api

__all__ = ["LoopOutcome", "LoopResult", "arun_loop", "run_loop"]

LoopOutcome = Literal["answered", "max_turns"]


@dataclass(frozen=True, slots=True)
class LoopResult:
    """How a loop ended.

    Attributes:
        outcome: ``answered``: the model had no more to ask for; ``max_turns``: it still asked in its last turn.
        text: What the model said last; empty where that was no text.
        messages: The whole conversation, with an answer to each call: it can go on from here.
        turns: How often the model was asked.
        tool_calls: How often it called each tool, by the name that it used.
        response: The client's last response, with its usage and finish reason.
    """

    outcome: LoopOutcome
    text: str
    messages: list[Any]
    turns: int
    tool_calls: Mapping[str, int]
    response: Any


def run_loop(  # noqa: PLR0913 - what a user may want to say; all but four have a default
    client: Any,
    messages: str | Iterable[Any],
    tools: ToolSet | Iterable[Callable[..., Any]],
    *,
    model: str,
    max_turns: int = 10,
    parallel: bool = True,
    api: Api = "chat",
    agent_name: str = "agent",
    **options: Any,
) -> LoopResult:
    """Let a model call tools until it answers in words, inside an ``invoke_agent`` span.

    Args:
        client: An ``openai.OpenAI``, or what has its methods.
        messages: The conversation so far, in the form of the API; it is not changed. A text is the user's message.
        tools: What the model may call.
        model: The model's name.
        max_turns: How often the model is asked at most. The calls of its last turn are made too.
        parallel: Whether the model may ask for several calls at once.
        api: ``chat`` for Chat Completions, ``responses`` for the Responses API.
        agent_name: ``gen_ai.agent.name`` of the span, and of the tools' spans under it.
        options: More for each request, such as ``temperature=0``.

    Raises:
        ConfigurationError: An argument cannot work.
        openai.OpenAIError: The model could not be asked. What a tool raises is told the model and not raised.
    """
    talk = _Talk(client, messages, tools, model, max_turns, parallel, api, options)
    with agent(agent_name):
        for _ in range(max_turns):
            response = talk.heard(talk.ask())
            if not calls_in(response):
                return talk.result("answered")
            talk.messages += talk.tools.run(response)
    return talk.result("max_turns")


async def arun_loop(  # noqa: PLR0913 - as run_loop
    client: Any,
    messages: str | Iterable[Any],
    tools: ToolSet | Iterable[Callable[..., Any]],
    *,
    model: str,
    max_turns: int = 10,
    parallel: bool = True,
    api: Api = "chat",
    agent_name: str = "agent",
    **options: Any,
) -> LoopResult:
    """As `run_loop`, with an ``openai.AsyncOpenAI``."""
    talk = _Talk(client, messages, tools, model, max_turns, parallel, api, options)
    with agent(agent_name):
        for _ in range(max_turns):
            response = talk.heard(await talk.ask())
            if not calls_in(response):
                return talk.result("answered")
            talk.messages += await talk.tools.arun(response)
    return talk.result("max_turns")


class _Api(NamedTuple):
    """How one of the two APIs is spoken.

    Attributes:
        conversation: What it calls the messages.
        create: The client's method.
        said: The messages of a response.
        text: The words of a response.
    """

    conversation: str
    create: Callable[[Any], Callable[..., Any]]
    said: Callable[[Any], list[Any]]
    text: Callable[[Any], str | None]


_APIS: Final[dict[str, _Api]] = {
    "chat": _Api(
        "messages",
        lambda client: client.chat.completions.create,
        lambda response: [choice.message for choice in response.choices[:1]],
        lambda response: response.choices[0].message.content if response.choices else "",
    ),
    "responses": _Api(
        "input",
        lambda client: client.responses.create,
        lambda response: response.output,
        lambda response: response.output_text,
    ),
}


class _Talk:
    """A conversation with a model."""

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments of run_loop
        self,
        client: Any,
        messages: str | Iterable[Any],
        tools: ToolSet | Iterable[Callable[..., Any]],
        model: str,
        max_turns: int,
        parallel: bool,
        api: Api,
        options: dict[str, Any],
    ) -> None:
        if api not in _APIS:
            raise ConfigurationError(f"run_loop(api={api!r}): 'chat' or 'responses' is needed")
        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise ConfigurationError(f"run_loop(max_turns={max_turns!r}): a whole number from 1 on is needed")
        if options.get("stream"):
            raise ConfigurationError(
                "run_loop(stream=True): it takes whole responses; a stream needs a loop of its own"
            )
        self.tools = tools if isinstance(tools, ToolSet) else ToolSet(tools)
        self.messages: list[Any] = [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
        self._api = _APIS[api]
        self._create = self._api.create(client)
        self._request: dict[str, Any] = {"model": model, **options}
        if schemas := self.tools.schemas(api=api):
            self._request |= {"tools": schemas, "parallel_tool_calls": parallel}
        self._turns = 0
        self._calls: Counter[str] = Counter()
        self._response: Any = None

    def ask(self) -> Any:
        """Send the conversation; a response, or what is to be awaited for it."""
        return self._create(**self._request, **{self._api.conversation: self.messages})

    def heard(self, response: Any) -> Any:
        """Take in what the model said."""
        self.messages += self._api.said(response)
        self._turns += 1
        self._calls.update(call.name for call in calls_in(response) if call.name)
        self._response = response
        return response

    def result(self, outcome: LoopOutcome) -> LoopResult:
        """How it ended."""
        text = self._api.text(self._response) or ""
        return LoopResult(outcome, text, self.messages, self._turns, dict(self._calls), self._response)
