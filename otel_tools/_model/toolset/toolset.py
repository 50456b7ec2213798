"""`ToolSet`: the tools that a model may call. It runs a model's tool calls and returns the answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from otel_tools._model.formats.openai import calls_in
from otel_tools._model.toolset.answer_settings import AnswerSettings
from otel_tools._model.toolset.background_loop import run_on_background_loop
from otel_tools._model.toolset.batch import Batch, name_list
from otel_tools._model.toolset.catalogue import catalogue
from otel_tools._model.toolset.executor import ProgramEnd, execute
from otel_tools._model.toolset.failure_kinds import FailureKinds
from otel_tools._model.toolset.registry import register_tools
from otel_tools._model.toolset.results import MAX_CHARACTERS
from otel_tools._option_names import check_option_names
from otel_tools._schema.formats import check_tool_count
from otel_tools._telemetry.content.redaction import REDACT_CHOICES
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_tools._model.toolset.failure_kinds import FailureKind
    from otel_tools._schema.formats import Api
    from otel_tools._telemetry.content.redaction import Redact

__all__ = ["ToolSet"]


@check_option_names
class ToolSet:
    """The tools that a model may call.

    ``tools.schemas()`` goes into the request, ``tools.run(message)`` answers the model's calls. ``tools[name]`` is the
    function, so a `ToolSet` can replace the dictionary of functions in an existing loop: ``tools[name](**arguments)``.

    The calls of one turn run in parallel: sync tools on threads, async ones as tasks, each in a copy of the caller's
    context. Each call of a model is answered, whatever it asks for, and no mistake of a model is raised.

    Args:
        tools: Functions, decorated or not, and bound methods; or a dictionary of them by the name that the model uses.
        parallel: Whether calls of one turn may run at once. If not, they run in the order in which the model made them.
        max_parallel: How many calls of one turn may run at once. To limit a tool across turns, give it
            a ``concurrency``.
        timeout: Seconds for all calls of one turn together. Calls that are not done by then end as errors
            (``error.type=timeout``) and are answered with a failure of that kind. The thread of a sync tool runs on;
            what it does then is neither counted nor answered.
        ordered: Tools, or their names, whose calls run one after another, in the order in which the model made them,
            in parallel with the other calls. For tools that write, for example.
        kinds: Additional kinds of failures, by exception class or HTTP status.
        suggestions: What the model can do about a failure, by kind or by exception class; None removes a suggestion.
        max_characters: Characters of one answer. A longer one is cut, stays valid JSON and says that it was cut.
        redact: Which secrets are replaced in what tools return: those that have a shape of their own, such as API keys
            (True), also the values of secret keys, such as ``access_token``, which the model then cannot use in its
            next call (``"keys"``), or none (False). ``@tool(redact=...)`` decides for one tool. In errors all are
            replaced.
        envelope: Whether a success is answered with ``{"success": true, "data": ..., "timestamp": ...}``. If not, with
            its data alone: a text as it is, anything else as JSON. A failure always has its envelope.

    Raises:
        ConfigurationError: An argument cannot work, or two tools have one name.
    """

    __slots__ = ("_max_parallel", "_settings", "_tools")

    def __init__(  # noqa: PLR0913 - options of which a user gives few
        self,
        tools: Iterable[Callable[..., Any]] | Mapping[str, Callable[..., Any]],
        *,
        parallel: bool = True,
        max_parallel: int = 32,
        timeout: float | None = None,
        ordered: Iterable[str | Callable[..., Any]] = (),
        kinds: Mapping[type[BaseException] | int, FailureKind] | None = None,
        suggestions: Mapping[FailureKind | type[BaseException], str | None] | None = None,
        max_characters: int = MAX_CHARACTERS,
        redact: Redact = True,
        envelope: bool = True,
    ) -> None:
        for option, value, least in (("max_parallel", max_parallel, 1), ("max_characters", max_characters, 1000)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"ToolSet({option}={value!r}): a whole number from {least} on is needed")
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf
        ):
            raise ConfigurationError(f"ToolSet(timeout={timeout!r}): seconds above 0 are needed, or None for no limit")
        for option, flag in (("parallel", parallel), ("envelope", envelope)):
            if not isinstance(flag, bool):
                raise ConfigurationError(f"ToolSet({option}={flag!r}): True or False is needed")
        if redact not in REDACT_CHOICES:
            raise ConfigurationError(f"ToolSet(redact={redact!r}): True, 'keys' or False is needed")
        self._tools = register_tools(tools)
        if timeout is not None:
            for entry in self._tools.values():
                entry.tool.declare_timeout()
        ordered_names = self._names_of(ordered)
        self._settings = AnswerSettings(
            tools=self._tools,
            ordered=ordered_names if parallel else frozenset(self._tools),
            timeout=timeout,
            kinds=FailureKinds(kinds, suggestions),
            max_characters=max_characters,
            redact=redact,
            envelope=envelope,
        )
        self._max_parallel = max_parallel

    def _names_of(self, ordered: Any) -> frozenset[str]:
        if isinstance(ordered, str) or not isinstance(ordered, Iterable):
            raise ConfigurationError(f"ToolSet(ordered={ordered!r}): a list of tools or of their names is needed")
        names = []
        for item in ordered:
            names_of_item = (name for name, entry in self._tools.items() if item in (entry.function, entry.original))
            name = item if isinstance(item, str) else next(names_of_item, None)
            if name not in self._tools:
                raise ConfigurationError(
                    f"ToolSet(ordered=[{item!r}]): there is no such tool; there are {name_list(self._tools)}"
                )
            names.append(name)
        return frozenset(names)

    def run(self, said: Any) -> list[dict[str, Any]]:
        """Answer the calls that a model made, from sync code.

        Async tools run on an event loop of the library, on one thread of the process. A tool that blocks that loop
        delays the others.

        Args:
            said: What the model said: a chat message, a list of tool calls, a response of the Responses API or its
                items; objects or dictionaries.

        Returns:
            One message for each call, in the order of the calls, in the form of the API: ``{"role": "tool",
            "tool_call_id", "content"}`` or ``{"type": "function_call_output", "call_id", "output"}``. Empty where there
            are no calls.

        Raises:
            RuntimeError: An event loop is running in this thread, which this would block.
            TypeError: ``said`` is none of these.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "ToolSet.run() would block the event loop that is running here: use `await tools.arun(...)` instead"
            )
        batch = Batch(self._settings, calls_in(said))
        program_end = None
        if batch.jobs:
            try:
                batch.take(run_on_background_loop(lambda: self._execute(batch)))
            except ProgramEnd as error:
                program_end = error.error
        if program_end is not None:
            raise program_end
        return batch.messages()

    async def arun(self, said: Any) -> list[dict[str, Any]]:
        """As `run`, from async code. Async tools run on the running event loop, sync ones on threads.

        Cancelling it cancels the tools. A sync tool that is running cannot be stopped; it can ask
        `otel_tools.cancelled`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "ToolSet.arun() needs asyncio, and no event loop of it runs here: under trio, run "
                "`await trio.to_thread.run_sync(tools.run, message)`"
            ) from None
        batch = Batch(self._settings, calls_in(said))
        program_end = None
        if batch.jobs:
            try:
                batch.take(await self._execute(batch))
            except ProgramEnd as error:
                program_end = error.error
        if program_end is not None:
            raise program_end
        return batch.messages()

    async def _execute(self, batch: Batch) -> list[Any]:
        return await execute(batch.jobs, max_parallel=self._max_parallel, time_limit=self._settings.timeout)

    def schemas(self, api: Api = "chat", *, strict: bool = False) -> list[dict[str, Any]]:
        """The schemas of the tools as sent to the model: the ``tools`` argument of a request.

        Args:
            api: Whose form they have: ``chat`` for Chat Completions, ``responses`` for the Responses API.
            strict: Whether the server forces the model to follow the schemas.

        Raises:
            ConfigurationError: A parameter has no schema, or strict mode cannot express it; or OpenAI does not take a
                name, a description of more than 1,024 characters, or more than 128 tools.
        """
        check_tool_count(len(self._tools))
        return [entry.tool.schema(api=api, strict=strict) for entry in self._tools.values()]

    def describe(self) -> str:
        """A catalogue of the tools in Markdown: parameters, policies and types of errors."""
        return catalogue([entry.tool for entry in self._tools.values()])

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._tools[name].function

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        """The functions."""
        return (entry.function for entry in self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"<ToolSet of {name_list(self._tools)}>"
