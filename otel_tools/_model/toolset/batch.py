"""The tool calls of one turn of a model: makes a job of each, and turns the results into answers."""

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
from otel_tools._model.toolset.executor import NO_THREAD, NOT_BEGUN, Job, ProgramEnd
from otel_tools._model.toolset.results import ToolResult
from otel_tools.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from otel_tools._model.formats.openai import ModelCall
    from otel_tools._model.toolset.failure_kinds import FailureKind, FailureKinds
    from otel_tools._model.toolset.registry import RegisteredTool

__all__ = ["Batch", "BatchSettings", "name_list"]

_MAX_ITEMS: Final = 10_000
"""Items that are taken from a generator, which may have no end."""

_MAX_NAMES: Final = 10
"""Names of tools that a message lists."""

_MAX_NAME_LENGTH: Final = 128
_MAX_ID_LENGTH: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class BatchSettings:
    """The tools and options of a `ToolSet`; the arguments of `ToolSet` explain them."""

    tools: dict[str, RegisteredTool]
    ordered: frozenset[str]
    timeout: float | None
    kinds: FailureKinds
    max_characters: int
    redact: bool

    def text(self, result: ToolResult) -> str:
        """The text that the model gets. The tool may have made the result itself, with what cannot be written."""
        try:
            return result.to_json(self.max_characters, redact=self.redact, kinds=self.kinds)
        except Exception:  # noqa: BLE001 - as above
            return self.failure("bad_result", "The tool returned what cannot be written as JSON.")

    def failure(self, kind: FailureKind, message: str) -> str:
        """The text of a failure for which there is no exception."""
        failure = replace(ToolResult.failure(kind, message), suggestion=self.kinds.suggestion(kind))
        return failure.to_json(self.max_characters)

    def error(self, error: BaseException) -> str:
        """The text of a failure that an exception describes."""
        return self.text(ToolResult.of_error(error, self.kinds))


class Batch:
    """The tool calls of one turn of a model.

    Attributes:
        jobs: The calls to make. Some calls are answered without a job.
    """

    __slots__ = ("_calls", "_job_indexes", "_settings", "_texts", "jobs")

    def __init__(self, settings: BatchSettings, calls: list[ModelCall]) -> None:
        self._settings = settings
        self._calls = calls
        self._texts = [""] * len(calls)
        self._job_indexes: list[int] = []
        self.jobs: list[Job] = []
        for index, call in enumerate(calls):
            job = self._job_for(call)
            if isinstance(job, str):
                self._texts[index] = job
            else:
                self.jobs.append(job)
                self._job_indexes.append(index)

    def take(self, answers: list[Any]) -> None:
        """Take the answers of the jobs, in their order."""
        for index, answer in zip(self._job_indexes, answers, strict=True):
            self._texts[index] = answer if isinstance(answer, str) else self._no_answer(self._calls[index], answer)

    def messages(self) -> list[dict[str, Any]]:
        """The answers: one for each call, in the order of the calls."""
        return [call.answer(text) for call, text in zip(self._calls, self._texts, strict=True)]

    def _job_for(self, call: ModelCall) -> Job | str:
        """The job for a call, or the text that answers it at once."""
        entry = self._settings.tools.get(call.name) if call.name is not None and call.function else None
        if entry is None:
            return self._unknown_tool(call)
        arguments: dict[str, Any] = {}
        try:
            arguments = arguments_of(call)
            args, kwargs = entry.bind_arguments(arguments)
        except UnreadableArguments as error:
            refused = InvalidArguments(str(error), tool=entry.tool.name)
        except InvalidArguments as error:
            refused = error
        else:
            work = _Invocation(self._settings, entry, call.id, args, kwargs)
            return Job(
                work.awaiting if entry.asynchronous else work.blocking,
                entry.asynchronous,
                ordered=call.name in self._settings.ordered,
                abandoned_thread=entry.tool.abandoned_thread,
                thread_budget=entry.thread_budget,
            )
        with _with_call_id(call.id, entry):
            entry.tool.record_refusal(arguments, refused)
        return self._settings.error(refused)

    def _unknown_tool(self, call: ModelCall) -> str:
        tools = self._settings.tools
        if call.name is None:
            message = "The call names no tool."
        elif not call.function and call.name in tools:
            message = f"{call.name} is a function: call it as one, with arguments in JSON."
        else:
            message = f"There is no tool {call.name[:_MAX_NAME_LENGTH]!r}."
            if similar := similar_names(call.name, tools):
                message += f" The nearest: {', '.join(similar)}."
        if len(tools) <= _MAX_NAMES:
            message += f" There are: {name_list(tools)}."
        return self._settings.failure("unknown_tool", message)

    def _no_answer(self, call: ModelCall, marker: Any) -> str:
        if marker is NO_THREAD:
            return self._settings.failure(
                "unavailable", f"{call.name} was not begun: too many calls that were given up are still running."
            )
        if self._settings.timeout is None:
            return self._settings.failure("cancelled", f"{call.name} was cancelled.")
        state = "begun" if marker is NOT_BEGUN else "done"
        return self._settings.failure(
            "timeout",
            f"{call.name} was not {state} within the {self._settings.timeout:g} s that the calls of a turn have "
            "together.",
        )


class _Invocation:
    """Makes one call of a tool and returns the text that answers it. Whatever the tool does, there is an answer."""

    __slots__ = ("_args", "_call_id", "_entry", "_kwargs", "_settings")

    def __init__(
        self,
        settings: BatchSettings,
        entry: RegisteredTool,
        call_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._settings = settings
        self._entry = entry
        self._call_id = call_id
        self._args = args
        self._kwargs = kwargs

    def blocking(self) -> Any:
        """Call a sync tool: returns the text, or a coroutine for it where the tool has returned an awaitable."""
        try:
            with _with_call_id(self._call_id, self._entry):
                value = self._entry.function(*self._args, **self._kwargs)
                if inspect.isgenerator(value):
                    value = _collect(value)
            if inspect.isawaitable(value) or inspect.isasyncgen(value):
                return self._await_result(value)
            return self._settings.text(ToolResult.of(value))
        except Exception as error:  # noqa: BLE001 - it becomes the answer to the model
            return self._settings.error(error)
        except BaseException as error:  # noqa: BLE001 - as above, or it ends the program
            return self._answer_or_end(error)

    async def awaiting(self) -> str:
        """Call an async tool: returns the text."""
        # The id has to be known while the coroutine is awaited: only then the tool begins.
        with _with_call_id(self._call_id, self._entry):
            return await self._await_result()

    async def _await_result(self, *returned: Any) -> str:
        try:
            value = returned[0] if returned else self._entry.function(*self._args, **self._kwargs)
            if inspect.isawaitable(value):
                value = await value
            elif inspect.isasyncgen(value):
                value = await _collect_async(value)
            return self._settings.text(ToolResult.of(value))
        except Exception as error:  # noqa: BLE001 - it becomes the answer to the model
            return self._settings.error(error)
        except GeneratorExit:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return self._answer_or_end(error)

    def _answer_or_end(self, error: BaseException) -> str:
        """Answer a tool that cancelled itself; any other such exception ends the program."""
        if is_cancellation(error) and not isinstance(error, KeyboardInterrupt):
            return self._settings.error(error)
        raise ProgramEnd(error)


def _with_call_id(call_id: str, entry: RegisteredTool) -> AbstractContextManager[None]:
    """Give the span the call's id, made valid UTF-8. Without one, the id may still be found by the arguments."""
    if not call_id:
        return nullcontext()
    return known_call_id(call_id[:_MAX_ID_LENGTH].encode("utf-8", "replace").decode("utf-8"), entry.tool.name)


def _collect(generator: Any) -> list[Any]:
    """The items of a generator: at most `_MAX_ITEMS`, and only until the call is abandoned."""
    items = []
    try:
        for item in islice(generator, _MAX_ITEMS):
            items.append(item)
            if cancelled():
                break
    finally:
        generator.close()
    return items


async def _collect_async(generator: Any) -> list[Any]:
    items = []
    try:
        async for item in generator:
            items.append(item)
            if len(items) == _MAX_ITEMS:
                break
    finally:
        await generator.aclose()
    return items


def name_list(names: Iterable[str]) -> str:
    """The first of the names, and how many more there are."""
    all_names = list(names)
    rest = f" and {len(all_names) - _MAX_NAMES} more" if len(all_names) > _MAX_NAMES else ""
    return (", ".join(all_names[:_MAX_NAMES]) + rest) or "none"
