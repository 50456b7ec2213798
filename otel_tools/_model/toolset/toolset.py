"""`ToolSet`: the tools that a model may call, from its calls to the messages that answer them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from otel_tools._model.formats.openai import calls_in
from otel_tools._model.toolset.background_loop import run_on_private_loop
from otel_tools._model.toolset.batch import Rules, Turn, listed
from otel_tools._model.toolset.catalogue import catalogue
from otel_tools._model.toolset.executor import Stopped, execute
from otel_tools._model.toolset.failure_kinds import Kinds
from otel_tools._model.toolset.registry import registered
from otel_tools._model.toolset.results import MAX_CHARACTERS
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_tools._model.toolset.failure_kinds import Kind
    from otel_tools._schema.formats import Api

__all__ = ["ToolSet"]


class ToolSet:
    """The tools that a model may call.

    ``tools.schemas()`` is what the model is given, ``tools.run(message)`` answers its calls. By name it gives the
    functions themselves, so it also stands in for the dictionary of a loop that you have: ``tools[name](**arguments)``.

    Independent calls of one turn run at once: sync tools on threads, async ones as tasks, each in a copy of the
    caller's context. Whatever a model asks for, each of its calls is answered, and nothing that it does wrong is
    raised.

    Args:
        tools: Functions, decorated or not, and bound methods; or a dictionary of them by the name that the model is to
            use.
        parallel: Whether calls of one turn may run at once. If not, they run in the order in which the model made them.
        max_parallel: Most calls of one turn that run at once. To limit a tool across turns give it a ``concurrency``.
        timeout: Seconds that all calls of one turn may take together. Those that are done by then are answered, the
            rest with a failure of the kind ``timeout``.
        ordered: Tools, or their names, whose calls run one after another in the order in which the model made them,
            beside the others: those that write, for example.
        kinds: Kinds of failures of your own, by exception class or HTTP status.
        suggestions: What the model is told to do about failures, by kind or by exception class; None for nothing.
        max_characters: Most characters of one answer. What is longer is cut, stays valid JSON and says so.
        redact: Whether secrets are replaced in what tools return. In errors they always are.

    Raises:
        ConfigurationError: An argument cannot work, or two tools have one name.
    """

    __slots__ = ("_max_parallel", "_rules", "_tools")

    def __init__(  # noqa: PLR0913 - options of which a user gives few
        self,
        tools: Iterable[Callable[..., Any]] | Mapping[str, Callable[..., Any]],
        *,
        parallel: bool = True,
        max_parallel: int = 32,
        timeout: float | None = None,
        ordered: Iterable[str | Callable[..., Any]] = (),
        kinds: Mapping[type[BaseException] | int, Kind] | None = None,
        suggestions: Mapping[Kind | type[BaseException], str | None] | None = None,
        max_characters: int = MAX_CHARACTERS,
        redact: bool = True,
    ) -> None:
        for option, value, least in (("max_parallel", max_parallel, 1), ("max_characters", max_characters, 1000)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"ToolSet({option}={value!r}): a whole number from {least} on is needed")
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf
        ):
            raise ConfigurationError(f"ToolSet(timeout={timeout!r}): seconds above 0 are needed, or None for no limit")
        for option, flag in (("parallel", parallel), ("redact", redact)):
            if not isinstance(flag, bool):
                raise ConfigurationError(f"ToolSet({option}={flag!r}): True or False is needed")
        self._tools = registered(tools)
        if timeout is not None:
            for entry in self._tools.values():
                entry.tool.declare_timeout()
        in_order = self._names_of(ordered)
        self._rules = Rules(
            tools=self._tools,
            ordered=in_order if parallel else frozenset(self._tools),
            timeout=timeout,
            kinds=Kinds(kinds, suggestions),
            max_characters=max_characters,
            redact=redact,
        )
        self._max_parallel = max_parallel

    def _names_of(self, ordered: Any) -> frozenset[str]:
        if isinstance(ordered, str) or not isinstance(ordered, Iterable):
            raise ConfigurationError(f"ToolSet(ordered={ordered!r}): a list of tools or of their names is needed")
        names = []
        for each in ordered:
            known = (name for name, entry in self._tools.items() if each in (entry.function, entry.given))
            name = each if isinstance(each, str) else next(known, None)
            if name not in self._tools:
                raise ConfigurationError(
                    f"ToolSet(ordered=[{each!r}]): there is no such tool; there are {listed(self._tools)}"
                )
            names.append(name)
        return frozenset(names)

    def run(self, said: Any) -> list[dict[str, Any]]:
        """Answer the calls that a model made, from sync code.

        Async tools run on an event loop of the library's own, on one thread of the process: one that blocks it, instead
        of awaiting, holds up the others.

        Args:
            said: A chat message, a list of tool calls, a response of the Responses API or its items; objects or
                dictionaries.

        Returns:
            One message for each call, in their order, in the API's own form: ``{"role": "tool", "tool_call_id",
            "content"}`` or ``{"type": "function_call_output", "call_id", "output"}``. Empty where there are no calls.

        Raises:
            RuntimeError: An event loop is running here, which this would block.
            TypeError: This is nothing that a model says.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "ToolSet.run() would block the event loop that is running here: use `await tools.arun(...)` instead"
            )
        turn = Turn(self._rules, calls_in(said))
        stopped = None
        if turn.jobs:
            try:
                turn.take(run_on_private_loop(lambda: self._execute(turn)))
            except Stopped as error:
                stopped = error.error
        if stopped is not None:
            raise stopped
        return turn.messages()

    async def arun(self, said: Any) -> list[dict[str, Any]]:
        """As `run`, from async code. Async tools run on the running event loop, sync ones on threads.

        Cancelling it cancels the tools. A sync one that is running cannot be stopped; `otel_tools.cancelled` tells it.
        """
        turn = Turn(self._rules, calls_in(said))
        stopped = None
        if turn.jobs:
            try:
                turn.take(await self._execute(turn))
            except Stopped as error:
                stopped = error.error
        if stopped is not None:
            raise stopped
        return turn.messages()

    async def _execute(self, turn: Turn) -> list[Any]:
        return await execute(turn.jobs, most=self._max_parallel, seconds=self._rules.timeout)

    def schemas(self, api: Api = "chat", *, strict: bool = False) -> list[dict[str, Any]]:
        """What the model is told of the tools: the ``tools`` argument of a request.

        Args:
            api: ``chat`` or ``responses``: whose form it is.
            strict: Whether the model is held to the schemas by the server.

        Raises:
            ConfigurationError: A schema cannot be made, or strict mode cannot express it.
        """
        return [each.tool.schema(api=api, strict=strict) for each in self._tools.values()]

    def describe(self) -> str:
        """A catalogue of the tools in Markdown: parameters, policies and types of errors."""
        return catalogue([each.tool for each in self._tools.values()])

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._tools[name].function

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        """The functions."""
        return (each.function for each in self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"<ToolSet of {listed(self._tools)}>"
