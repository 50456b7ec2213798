"""`run_loop` and `arun_loop`: call a model and run the tools that it calls, until it answers."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._model.formats.openai import calls_in
from otel_tools._model.formats.responses import USAGE, LoopOutcome, is_forced, outcome_of, text_of, usage_of
from otel_tools._model.toolset.toolset import ToolSet
from otel_tools._option_names import check_option_names
from otel_tools._telemetry.agent import agent
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_tools._model.formats.openai import ModelCall
    from otel_tools._schema.formats import Api

__all__ = ["LoopOutcome", "LoopResult", "arun_loop", "run_loop"]


@dataclass(frozen=True, slots=True)
class LoopResult:
    """How a loop ended.

    Attributes:
        outcome: ``answered``: the last response had no tool calls; ``max_turns``: it still had some. Where the last
            response had no calls and is no whole answer: ``length``: it reached its token limit; ``content_filter``:
            the server withheld it; ``refused``: the model refused to answer; ``incomplete``: it ended for another
            reason, or failed.
        text: The text of the last response, or of its refusal; empty where there was none. Content parts are joined.
        messages: The whole conversation, with an answer to each call, so that it can be continued.
        turns: How many requests were made.
        tool_calls: How often each tool was called, by the name that the model used.
        response: The client's last response, with its usage and finish reason.
        usage: The tokens of all requests together: ``input_tokens``, ``output_tokens`` and ``total_tokens``, and
            ``cached_tokens`` and ``reasoning_tokens``, which are among them. 0 where the server counts none.
    """

    outcome: LoopOutcome
    text: str
    messages: list[Any]
    turns: int
    tool_calls: Mapping[str, int]
    response: Any
    usage: Mapping[str, int] = field(default_factory=dict)


@check_option_names
def run_loop(  # noqa: PLR0913 - what a user may want to say; all but four have a default
    client: Any,
    messages: str | Iterable[Any],
    tools: ToolSet | Iterable[Callable[..., Any]],
    *,
    model: str,
    max_turns: int = 10,
    parallel: bool | None = None,
    api: Api = "chat",
    agent_name: str = "agent",
    **options: Any,
) -> LoopResult:
    """Let a model call tools until it answers with text, inside an ``invoke_agent`` span.

    Args:
        client: An ``openai.OpenAI``, or an object with the same methods.
        messages: The conversation so far, in the form of the API; it is not changed. A text is the user's message.
        tools: What the model may call.
        model: The model's name.
        max_turns: The most requests to the model. The calls of its last turn are made too.
        parallel: Whether the model may make several tool calls in one turn; sent as ``parallel_tool_calls``. None, the
            default, sends nothing: some models refuse the parameter.
        api: ``chat`` for Chat Completions, ``responses`` for the Responses API.
        agent_name: ``gen_ai.agent.name`` of the span, and of the tools' spans under it.
        options: Further arguments of each request, such as ``temperature=0``. A ``tool_choice`` that forces a call is
            for the first request alone: otherwise the model could never answer.

    Raises:
        ConfigurationError: An argument has an impossible value.
        openai.OpenAIError: A request failed. The exception, whichever the client raises, has the conversation so far as
            its ``messages``, each call answered, so that it can be continued. What a tool raises is not raised but
            answered to the model.
    """
    conversation = _Conversation(client, messages, tools, model, max_turns, parallel, api, options)
    with agent(agent_name):
        for _ in range(max_turns):
            with conversation.kept_on_error():
                response = conversation.request()
            if not conversation.add_response(response):
                return conversation.result(conversation.outcome())
            conversation.messages += conversation.tools.run(response)
    return conversation.result("max_turns")


@check_option_names
async def arun_loop(  # noqa: PLR0913 - as run_loop
    client: Any,
    messages: str | Iterable[Any],
    tools: ToolSet | Iterable[Callable[..., Any]],
    *,
    model: str,
    max_turns: int = 10,
    parallel: bool | None = None,
    api: Api = "chat",
    agent_name: str = "agent",
    **options: Any,
) -> LoopResult:
    """As `run_loop`, with an ``openai.AsyncOpenAI``."""
    conversation = _Conversation(client, messages, tools, model, max_turns, parallel, api, options)
    with agent(agent_name):
        for _ in range(max_turns):
            with conversation.kept_on_error():
                response = await conversation.request()
            if not conversation.add_response(response):
                return conversation.result(conversation.outcome())
            conversation.messages += await conversation.tools.arun(response)
    return conversation.result("max_turns")


class _ApiMethods(NamedTuple):
    """How requests are made, and responses read, with one of the two APIs.

    Attributes:
        messages_parameter: The parameter of ``create`` that takes the conversation.
        create: Returns the client's method for requests.
        messages_in: The messages in a response.
    """

    messages_parameter: str
    create: Callable[[Any], Callable[..., Any]]
    messages_in: Callable[[Any], list[Any]]


_API_METHODS: Final[dict[str, _ApiMethods]] = {
    "chat": _ApiMethods(
        "messages",
        lambda client: client.chat.completions.create,
        lambda response: [choice.message for choice in (response.choices or ())[:1]],
    ),
    "responses": _ApiMethods("input", lambda client: client.responses.create, lambda response: response.output or []),
}


class _Conversation:
    """A conversation with a model."""

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments of run_loop
        self,
        client: Any,
        messages: str | Iterable[Any],
        tools: ToolSet | Iterable[Callable[..., Any]],
        model: str,
        max_turns: int,
        parallel: bool | None,
        api: Api,
        options: dict[str, Any],
    ) -> None:
        if api not in _API_METHODS:
            raise ConfigurationError(f"run_loop(api={api!r}): 'chat' or 'responses' is needed")
        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise ConfigurationError(f"run_loop(max_turns={max_turns!r}): a whole number from 1 on is needed")
        if options.get("stream"):
            raise ConfigurationError(
                "run_loop(stream=True): it takes whole responses; a stream needs a loop of its own"
            )
        self.tools = tools if isinstance(tools, ToolSet) else ToolSet(tools)
        self.messages: list[Any] = [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
        self._api = _API_METHODS[api]
        self._create = self._api.create(client)
        self._request: dict[str, Any] = {"model": model, **options}
        if schemas := self.tools.schemas(api=api):
            self._request["tools"] = schemas
            if parallel is not None:
                self._request["parallel_tool_calls"] = parallel
        self._turns = 0
        self._calls: Counter[str] = Counter()
        self._response: Any = None
        self._usage: Counter[str] = Counter(dict.fromkeys(USAGE, 0))

    def request(self) -> Any:
        """Send the conversation; returns the response, or an awaitable for it."""
        return self._create(**self._request, **{self._api.messages_parameter: self.messages})

    @contextmanager
    def kept_on_error(self) -> Iterator[None]:
        """Put the conversation on an exception of the client."""
        try:
            yield
        except Exception as error:
            with suppress(Exception):  # an exception class may forbid further attributes
                error.messages = self.messages  # type: ignore[attr-defined] # documented in run_loop
            raise

    def add_response(self, response: Any) -> list[ModelCall]:
        """Add the messages of a response to the conversation; returns the calls in it."""
        calls = calls_in(response)
        self.messages += self._api.messages_in(response)
        self._turns += 1
        self._calls.update(call.name for call in calls if call.name)
        self._usage.update(usage_of(response))
        self._response = response
        if is_forced(self._request.get("tool_choice")):
            del self._request["tool_choice"]
        return calls

    def outcome(self) -> LoopOutcome:
        """How the loop ended with a response without calls."""
        return outcome_of(self._response)

    def result(self, outcome: LoopOutcome) -> LoopResult:
        """The result of the loop."""
        text = text_of(self._response)
        return LoopResult(
            outcome, text, self.messages, self._turns, dict(self._calls), self._response, dict(self._usage)
        )
