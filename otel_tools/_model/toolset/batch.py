"""The tool calls of one turn of a model: makes a job of each, and puts the answers together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_tools._arguments.similar_names import similar_names
from otel_tools._model.formats.openai import UnreadableArguments, arguments_of
from otel_tools._model.toolset.executor import NO_THREAD, Job
from otel_tools._model.toolset.invocation import Invocation, warn_once, with_call_id
from otel_tools._telemetry.policy_counters import OTHER
from otel_tools._telemetry.policy_span import record_unknown_tool
from otel_tools.errors import ConcurrencyLimited, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tools._model.formats.openai import ModelCall
    from otel_tools._model.toolset.answer_settings import AnswerSettings

__all__ = ["Batch", "name_list"]

_MAX_NAMES: Final = 10
"""Names of tools that a message lists."""

_MAX_NAME_LENGTH: Final = 128


class Batch:
    """The tool calls of one turn of a model.

    Attributes:
        jobs: The calls to make. Some calls are answered without a job.
    """

    __slots__ = ("_calls", "_invocations", "_job_indexes", "_settings", "_texts", "jobs")

    def __init__(self, settings: AnswerSettings, calls: list[ModelCall]) -> None:
        self._settings = settings
        self._calls = calls
        self._texts = [""] * len(calls)
        self._job_indexes: list[int] = []
        self._invocations: list[Invocation] = []
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
            work = Invocation(self._settings, entry, call.id, args, kwargs)
            self._invocations.append(work)
            return Job(
                work.awaiting if entry.asynchronous else work.blocking,
                entry.asynchronous,
                ordered=call.name in self._settings.ordered,
                abandoned_thread=entry.tool.abandoned_thread,
                thread_budget=entry.thread_budget,
                give_up=work.give_up,
            )
        with with_call_id(call.id, entry.tool.name):
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
        with with_call_id(call.id, OTHER):
            record_unknown_tool(call.name)
        warn_once("a model called a tool that does not exist: %s", message)
        return self._settings.failure("unknown_tool", message)

    def _no_answer(self, invocation: Invocation, marker: Any) -> str:
        tool = invocation.tool
        if marker is NO_THREAD:
            error = ConcurrencyLimited(
                f"{tool} was not begun: too many calls that were given up are still running.", tool=tool
            )
            invocation.record_unstarted(error)
            return self._settings.error(error)
        return self._settings.failure("cancelled", f"{tool} was cancelled.")


def name_list(names: Iterable[str]) -> str:
    """The first of the names, and how many more there are."""
    all_names = list(names)
    rest = f" and {len(all_names) - _MAX_NAMES} more" if len(all_names) > _MAX_NAMES else ""
    return (", ".join(all_names[:_MAX_NAMES]) + rest) or "none"
