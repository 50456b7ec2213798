"""One turn of a conversation: the calls that a model made at once, what is to be done for each, and its answer."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from otel_tools._arguments.similar_names import similar_names
from otel_tools._call.outcome import is_cancellation
from otel_tools._call.scope import cancelled
from otel_tools._model.call_ids.pending_calls import known_call_id
from otel_tools._model.formats.openai import UnreadableArguments, arguments_of
from otel_tools._model.toolset.executor import CROWDED, NOT_BEGUN, Job, Stopped
from otel_tools._model.toolset.results import ToolResult
from otel_tools.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from otel_tools._model.formats.openai import ModelCall
    from otel_tools._model.toolset.failure_kinds import Kind, Kinds
    from otel_tools._model.toolset.registry import Registered

__all__ = ["Rules", "Turn", "listed"]

_MAX_ITEMS: Final = 10_000
"""Items that are taken from a generator, which may have no end."""

_FEW: Final = 10
"""So many tools are named to a model that called none of them."""

_LONGEST_NAME: Final = 128
_LONGEST_ID: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What a `ToolSet` goes by; its arguments say what they mean."""

    tools: dict[str, Registered]
    ordered: frozenset[str]
    timeout: float | None
    kinds: Kinds
    max_characters: int
    redact: bool

    def text(self, result: ToolResult) -> str:
        """What the model reads. A tool may have made the result itself, and made it wrong."""
        try:
            return result.to_json(self.max_characters, redact=self.redact, kinds=self.kinds)
        except Exception:  # noqa: BLE001 - as above
            return self.failure("bad_result", "The tool returned what cannot be written as JSON.")

    def failure(self, kind: Kind, message: str) -> str:
        """The text of a failure that no exception tells of."""
        failure = replace(ToolResult.failure(kind, message), suggestion=self.kinds.suggestion(kind))
        return failure.to_json(self.max_characters)

    def error(self, error: BaseException) -> str:
        """The text of a failure."""
        return self.text(ToolResult.of_error(error, self.kinds))


class Turn:
    """The calls of one turn.

    Attributes:
        jobs: What is to be done; for some calls that is nothing.
    """

    __slots__ = ("_calls", "_places", "_rules", "_texts", "jobs")

    def __init__(self, rules: Rules, calls: list[ModelCall]) -> None:
        self._rules = rules
        self._calls = calls
        self._texts = [""] * len(calls)
        self._places: list[int] = []
        self.jobs: list[Job] = []
        for place, call in enumerate(calls):
            job = self._job(call)
            if isinstance(job, str):
                self._texts[place] = job
            else:
                self.jobs.append(job)
                self._places.append(place)

    def take(self, answers: list[Any]) -> None:
        """Take the answers of the jobs."""
        for place, answer in zip(self._places, answers, strict=True):
            self._texts[place] = answer if isinstance(answer, str) else self._unanswered(self._calls[place], answer)

    def messages(self) -> list[dict[str, Any]]:
        """One for each call, in their order."""
        return [call.answer(text) for call, text in zip(self._calls, self._texts, strict=True)]

    def _job(self, call: ModelCall) -> Job | str:
        """What is to be done for a call, or the text that answers it where nothing is."""
        entry = self._rules.tools.get(call.name) if call.name is not None and call.function else None
        if entry is None:
            return self._unknown(call)
        given: dict[str, Any] = {}
        try:
            given = arguments_of(call)
            args, kwargs = entry.bound(given)
        except UnreadableArguments as error:
            refused = InvalidArguments(str(error), tool=entry.tool.name)
        except InvalidArguments as error:
            refused = error
        else:
            work = _Work(self._rules, entry, call.id, args, kwargs)
            return Job(
                work.awaiting if entry.asynchronous else work.blocking,
                entry.asynchronous,
                ordered=call.name in self._rules.ordered,
                abandoned_thread=entry.tool.abandoned_thread,
                thread_budget=entry.thread_budget,
            )
        with _known_as(call.id, entry):
            entry.tool.record_refusal(given, refused)
        return self._rules.error(refused)

    def _unknown(self, call: ModelCall) -> str:
        tools = self._rules.tools
        if call.name is None:
            message = "The call names no tool."
        elif not call.function and call.name in tools:
            message = f"{call.name} is a function: call it as one, with arguments in JSON."
        else:
            message = f"There is no tool {call.name[:_LONGEST_NAME]!r}."
            if near := similar_names(call.name, tools):
                message += f" The similar_names: {', '.join(near)}."
        if len(tools) <= _FEW:
            message += f" There are: {listed(tools)}."
        return self._rules.failure("unknown_tool", message)

    def _unanswered(self, call: ModelCall, mark: Any) -> str:
        if mark is CROWDED:
            return self._rules.failure(
                "unavailable", f"{call.name} was not begun: too many calls that were given up are still running."
            )
        if self._rules.timeout is None:
            return self._rules.failure("cancelled", f"{call.name} was cancelled.")
        what = "begun" if mark is NOT_BEGUN else "done"
        return self._rules.failure(
            "timeout",
            f"{call.name} was not {what} within the {self._rules.timeout:g} s that the calls of a turn have together.",
        )


class _Work:
    """One call of a tool, and the text that answers it. Whatever the tool does, there is one."""

    __slots__ = ("_args", "_call_id", "_entry", "_kwargs", "_rules")

    def __init__(
        self, rules: Rules, entry: Registered, call_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._rules = rules
        self._entry = entry
        self._call_id = call_id
        self._args = args
        self._kwargs = kwargs

    def blocking(self) -> Any:
        """The text; or a coroutine that gives it, where the tool has returned something to await."""
        try:
            with _known_as(self._call_id, self._entry):
                value = self._entry.function(*self._args, **self._kwargs)
                if inspect.isgenerator(value):
                    value = _items_of(value)
            if inspect.isawaitable(value) or inspect.isasyncgen(value):
                return self._rest(value)
            return self._rules.text(ToolResult.of(value))
        except Exception as error:  # noqa: BLE001 - the model is told
            return self._rules.error(error)
        except BaseException as error:  # noqa: BLE001 - as above, or it ends the program
            return self._ended(error)

    async def awaiting(self) -> str:
        """The text."""
        # Around all of it: a coroutine begins when it is awaited.
        with _known_as(self._call_id, self._entry):
            return await self._rest()

    async def _rest(self, *returned: Any) -> str:
        try:
            value = returned[0] if returned else self._entry.function(*self._args, **self._kwargs)
            if inspect.isawaitable(value):
                value = await value
            elif inspect.isasyncgen(value):
                value = await _aitems_of(value)
            return self._rules.text(ToolResult.of(value))
        except Exception as error:  # noqa: BLE001 - the model is told
            return self._rules.error(error)
        except GeneratorExit:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return self._ended(error)

    def _ended(self, error: BaseException) -> str:
        """What is neither a failure nor a result: a tool that cancelled itself, or an end of the program."""
        if is_cancellation(error) and not isinstance(error, KeyboardInterrupt):
            return self._rules.error(error)
        raise Stopped(error)


def _known_as(call_id: str, entry: Registered) -> AbstractContextManager[None]:
    """Gives the span the call's id, fit to be sent as UTF-8; without one it may still be found by other means."""
    if not call_id:
        return nullcontext()
    return known_call_id(call_id[:_LONGEST_ID].encode("utf-8", "replace").decode("utf-8"), entry.tool.name)


def _items_of(generator: Any) -> list[Any]:
    """What a generator gives, until there is no end to it or nobody waits for it any more."""
    items = []
    try:
        for item in islice(generator, _MAX_ITEMS):
            items.append(item)
            if cancelled():
                break
    finally:
        generator.close()
    return items


async def _aitems_of(generator: Any) -> list[Any]:
    items = []
    try:
        async for item in generator:
            items.append(item)
            if len(items) == _MAX_ITEMS:
                break
    finally:
        await generator.aclose()
    return items


def listed(names: Iterable[str]) -> str:
    """The first names of some."""
    some = list(names)
    more = f" and {len(some) - _FEW} more" if len(some) > _FEW else ""
    return (", ".join(some[:_FEW]) + more) or "none"
