"""The tool calls of one turn of a model: makes a job of each, and turns the results into answers."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from otel_tools._arguments.similar_names import similar_names
from otel_tools._call.outcome import SERVED, Outcome, is_cancellation
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.scope import cancelled
from otel_tools._call.watch import Watch
from otel_tools._model.call_ids.pending_calls import known_call_id
from otel_tools._model.formats.openai import UnreadableArguments, arguments_of
from otel_tools._model.toolset.executor import NO_THREAD, Job, ProgramEnd
from otel_tools._model.toolset.results import ToolResult
from otel_tools._model.toolset.serialize import compact_json, json_values
from otel_tools._telemetry.policy_counters import OTHER
from otel_tools._telemetry.policy_span import record_unknown_tool
from otel_tools.errors import ConcurrencyLimited, InvalidArguments, InvalidResult, ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from otel_tools._model.formats.openai import ModelCall
    from otel_tools._model.toolset.failure_kinds import FailureKind, FailureKinds
    from otel_tools._model.toolset.registry import RegisteredTool
    from otel_tools._model.toolset.results import ToolFailure
    from otel_tools.errors import ToolError

__all__ = ["Batch", "BatchSettings", "name_list"]

logger = logging.getLogger("otel_tools.model.toolset")

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

    def text(self, result: ToolResult) -> tuple[str, ToolFailure | None]:
        """The text that the model gets; and the failure that it describes where the result cannot be written."""
        try:
            return result.to_json_or_failure(self.max_characters, redact=self.redact, kinds=self.kinds)
        except Exception:  # noqa: BLE001 - the tool may have made the result itself, with what cannot be written
            failed = ToolResult.failure("bad_result", "The tool returned what cannot be written as JSON.")
            return self.failure("bad_result", "The tool returned what cannot be written as JSON."), failed.error

    def text_of(self, outcome: Outcome, tool: str) -> tuple[str, ToolFailure | None]:
        """As `text`, for the outcome of a call."""
        if outcome.error is not None:
            return self.error(outcome.error), None
        if outcome.result in SERVED:
            return self.text(ToolResult.of(outcome.value))
        return self.text(ToolResult.of_failed_result(outcome.value, tool, self.kinds))

    def timed_out(self, tool: str, *, begun: bool) -> ToolTimeout:
        """The error of a call whose turn took longer than the `ToolSet` allows."""
        state = "done" if begun else "begun"
        message = f"{tool} was not {state} within the {self.timeout:g} s that the calls of a turn have together."
        return ToolTimeout(message, tool=tool, timeout=self.timeout)

    def failure(self, kind: FailureKind, message: str) -> str:
        """The text of a failure for which there is no exception."""
        failure = replace(ToolResult.failure(kind, message), suggestion=self.kinds.suggestion(kind))
        return failure.to_json(self.max_characters)

    def error(self, error: BaseException) -> str:
        """The text of a failure that an exception describes."""
        return self.text(ToolResult.of_error(error, self.kinds))[0]


class Batch:
    """The tool calls of one turn of a model.

    Attributes:
        jobs: The calls to make. Some calls are answered without a job.
    """

    __slots__ = ("_calls", "_invocations", "_job_indexes", "_settings", "_texts", "jobs")

    def __init__(self, settings: BatchSettings, calls: list[ModelCall]) -> None:
        self._settings = settings
        self._calls = calls
        self._texts = [""] * len(calls)
        self._job_indexes: list[int] = []
        self._invocations: list[_Invocation] = []
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
        for index, invocation, answer in zip(self._job_indexes, self._invocations, answers, strict=True):
            self._texts[index] = answer if isinstance(answer, str) else self._no_answer(invocation, answer)

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
            self._invocations.append(work)
            return Job(
                work.awaiting if entry.asynchronous else work.blocking,
                entry.asynchronous,
                ordered=call.name in self._settings.ordered,
                abandoned_thread=entry.tool.abandoned_thread,
                thread_budget=entry.thread_budget,
                give_up=work.give_up,
            )
        with _with_call_id(call.id, entry.tool.name):
            entry.tool.record_unstarted((), arguments, refused)
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
        with _with_call_id(call.id, OTHER):
            record_unknown_tool(call.name)
        return self._settings.failure("unknown_tool", message)

    def _no_answer(self, invocation: _Invocation, marker: Any) -> str:
        tool = invocation.tool
        if marker is NO_THREAD:
            error = ConcurrencyLimited(
                f"{tool} was not begun: too many calls that were given up are still running.", tool=tool
            )
            invocation.record_unstarted(error)
            return self._settings.error(error)
        return self._settings.failure("cancelled", f"{tool} was cancelled.")


class _Invocation(Watch):
    """Makes one call of a tool and returns the text that answers it. Whatever the tool does, there is an answer.

    The text is made before the call ends, so that the call ends as the model reads it.

    Attributes:
        text: The answer to a call that ended; None where there is none yet.
    """

    __slots__ = ("_args", "_call_id", "_entry", "_kwargs", "_outcome", "_settings", "_written", "text")

    def __init__(
        self,
        settings: BatchSettings,
        entry: RegisteredTool,
        call_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__()
        self.text: str | None = None
        self._settings = settings
        self._entry = entry
        self._call_id = call_id
        self._args = args
        self._kwargs = kwargs
        self._outcome: Outcome | None = None
        self._written: tuple[Outcome, str, ToolFailure | None] | None = None

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self._entry.tool.name

    def attempted(self, outcome: Outcome) -> Outcome:
        """A result that cannot be written is a failure, which nothing keeps and a fallback can replace."""
        if not self._is_final(outcome) or outcome.result not in SERVED:
            return outcome
        _, failure = self._write(outcome)
        return outcome if failure is None else self._unwritable(failure)

    def ended(self, outcome: Outcome) -> Outcome:
        """Make the answer."""
        self._outcome = outcome
        if not self._is_final(outcome):
            return outcome
        self.text, failure = self._write(outcome)
        return outcome if failure is None or outcome.result not in SERVED else self._unwritable(failure)

    def _is_final(self, outcome: Outcome) -> bool:
        """Whether the outcome has what the model gets, and not something that is still to be awaited or iterated."""
        if not self._entry.is_direct:
            return False
        value = outcome.value
        return outcome.error is not None or not (self._entry.tool.info.generator or _is_deferred(value))

    def _write(self, outcome: Outcome) -> tuple[str, ToolFailure | None]:
        written = self._written
        if written is None or written[0] is not outcome:
            written = self._written = (outcome, *self._settings.text_of(outcome, self.tool))
        return written[1:]

    def _unwritable(self, failure: ToolFailure) -> Outcome:
        error = InvalidResult(failure.message, tool=self.tool)
        outcome = Outcome(None, error, "error")
        # Its text is there; what an exception says could differ from it.
        if self._written is not None:
            self._written = (outcome, *self._written[1:])
        return outcome

    def give_up(self, timed_out: bool) -> str | None:
        """End the call, because the time is over or else because the caller has given up.

        A call of an async tool is cancelled by its caller, and then ends as cancelled by itself.

        Returns:
            The answer, where somebody waits for one.
        """
        if not timed_out:
            if not self._entry.asynchronous:
                self.end(Outcome(result="cancelled"))
            return None
        error = self._settings.timed_out(self.tool, begun=self.call is not None)
        if not self.end(Outcome(None, error, "error")):
            if self.prevent():
                self.record_unstarted(error)
            elif self.text is not None:
                return self.text
        return self._settings.error(error)

    def record_unstarted(self, error: ToolError) -> None:
        """Count the call, which failed before it could begin."""
        with _with_call_id(self._call_id, self.tool):
            self._entry.tool.record_unstarted(self._args, self._kwargs, error)

    def blocking(self) -> Any:
        """Call a sync tool: returns the text, or a coroutine for it where the tool has returned an awaitable."""
        try:
            with _with_call_id(self._call_id, self.tool), self._entry.tool.watched_by(self):
                value = self._entry.function(*self._args, **self._kwargs)
                if inspect.isgenerator(value):
                    value = self._collect(value)
            return self.awaiting(value) if _is_deferred(value) else self._answer(value)
        except Exception as error:  # noqa: BLE001 - it becomes the answer to the model
            return self._answer_error(error)
        except BaseException as error:  # noqa: BLE001 - as above, or it ends the program
            return self._answer_or_end(error)

    async def awaiting(self, *returned: Any) -> str:
        """Call an async tool, or await what a sync one has returned: returns the text."""
        # The id has to be known while the coroutine is awaited: only then an async tool begins.
        call_id = self._call_id if self.call is None else ""
        with _with_call_id(call_id, self.tool), self._entry.tool.watched_by(self):
            return await self._await_result(*returned)

    async def _await_result(self, *returned: Any) -> str:
        try:
            value = returned[0] if returned else self._entry.function(*self._args, **self._kwargs)
            if inspect.isawaitable(value):
                value = await value
            elif inspect.isasyncgen(value):
                value = await self._collect_async(value)
            return self._answer(value)
        except Exception as error:  # noqa: BLE001 - it becomes the answer to the model
            return self._answer_error(error)
        except GeneratorExit:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return self._answer_or_end(error)

    def _answer(self, value: Any) -> str:
        """The text for what the function returned, where the call ended before that was known."""
        if self.text is not None:
            return self.text
        last = self._outcome
        # A function around the tool may have handled its error; it cannot know of a result that ``failed_if`` refuses.
        outcome = Outcome(value, None, "ok" if last is None or last.error is not None else last.result)
        text, failure = self._settings.text_of(outcome, self.tool)
        if failure is not None:
            log_safely(
                logger, logging.ERROR, "tool %r: the model does not get its result: %s", self.tool, failure.message
            )
        return text

    def _answer_error(self, error: BaseException) -> str:
        return self._settings.error(error) if self.text is None else self.text

    def _answer_or_end(self, error: BaseException) -> str:
        """Answer a tool that cancelled itself; any other such exception ends the program."""
        if is_cancellation(error) and not isinstance(error, KeyboardInterrupt):
            return self._settings.error(error)
        raise ProgramEnd(error)

    def _collect(self, generator: Any) -> Any:
        """The items of a generator as JSON values: at most `_MAX_ITEMS`, and only until the call is abandoned."""
        items: list[Any] = []
        try:
            for item in generator:
                items.append(self._item(item))
                if cancelled():
                    break
                if len(items) == _MAX_ITEMS:
                    self._has_enough(items)
                    break
        finally:
            generator.close()
        return items

    async def _collect_async(self, generator: Any) -> Any:
        items: list[Any] = []
        try:
            async for item in generator:
                items.append(self._item(item))
                if len(items) == _MAX_ITEMS:
                    self._has_enough(items)
                    break
        finally:
            await generator.aclose()
        return items

    def _item(self, item: Any) -> Any:
        """An item of a generator as JSON values.

        Raises:
            InvalidResult: It has none; the call has then ended with this error.
        """
        try:
            values = json_values(item)
            compact_json(values)
        except Exception:  # noqa: BLE001 - the item's own code may raise anything
            _, failure = self._settings.text_of(Outcome(item), self.tool)
            if failure is None:
                return item
            error = InvalidResult(failure.message, tool=self.tool)
            if self.call is not None:
                self.call.close(None, error, "error")
            raise error from None
        return values

    def _has_enough(self, items: list[Any]) -> None:
        """The call ends well, though its generator is closed early."""
        if self.call is not None:
            self.call.close(items)


def _is_deferred(value: Any) -> bool:
    """Whether a value is to be awaited or iterated, and no result yet."""
    return inspect.isawaitable(value) or inspect.isasyncgen(value) or inspect.isgenerator(value)


def _with_call_id(call_id: str, tool: str) -> AbstractContextManager[None]:
    """Give the span the call's id, made valid UTF-8. Without one, the id may still be found by the arguments."""
    if not call_id:
        return nullcontext()
    return known_call_id(call_id[:_MAX_ID_LENGTH].encode("utf-8", "replace").decode("utf-8"), tool)


def name_list(names: Iterable[str]) -> str:
    """The first of the names, and how many more there are."""
    all_names = list(names)
    rest = f" and {len(all_names) - _MAX_NAMES} more" if len(all_names) > _MAX_NAMES else ""
    return (", ".join(all_names[:_MAX_NAMES]) + rest) or "none"
