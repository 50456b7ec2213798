"""One call of a tool that a model asked for: makes it, and the text that answers it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.outcome import Outcome, is_cancellation
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.scope import cancelled
from otel_tools._call.watch import Watch
from otel_tools._model.call_ids.pending_calls import known_call_id
from otel_tools._model.toolset.executor import ProgramEnd
from otel_tools._model.toolset.serialize import compact_json, json_values
from otel_tools._telemetry.content.capture import redact_text
from otel_tools.errors import InvalidResult

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from otel_tools._call.outcome import OutcomeName
    from otel_tools._model.toolset.answer_settings import AnswerSettings
    from otel_tools._model.toolset.registry import RegisteredTool
    from otel_tools._model.toolset.results import ToolFailure
    from otel_tools.errors import ToolError

__all__ = ["Invocation", "warn_once", "with_call_id"]

logger = logging.getLogger("otel_tools.model.toolset")

_MAX_ITEMS: Final = 10_000
"""Items that are taken from a generator, which may have no end."""

_MAX_ID_LENGTH: Final = 256
_MAX_WARNINGS: Final = 100
_MAX_WARNING_LENGTH: Final = 1000

_warned: Final[set[tuple[object, ...]]] = set()


class Invocation(Watch):
    """Makes one call of a tool and returns the text that answers it. Whatever the tool does, there is an answer.

    It runs in a context of its own.

    The text is made before the call ends, so that the call ends as the model reads it.

    Attributes:
        text: The answer to a call that ended; None where there is none yet.
    """

    __slots__ = ("_args", "_call_id", "_entry", "_kwargs", "_returned", "_settings", "_written", "text")

    def __init__(
        self,
        settings: AnswerSettings,
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
        # How the last call ended that returned; "ok" also where it raised: a function around it may have handled that.
        self._returned: OutcomeName = "ok"
        self._written: tuple[Outcome, str, ToolFailure | None] | None = None

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self._entry.tool.name

    def attempted(self, outcome: Outcome) -> Outcome:
        """A result that cannot be written is a failure, which nothing keeps and a fallback can replace."""
        if outcome.error is not None or not self._is_final(outcome):
            return outcome
        _, failure = self._write(outcome)
        return outcome if failure is None else self._unwritable(failure)

    def ended(self, outcome: Outcome) -> Outcome:
        """Make the answer."""
        self._returned = outcome.result if outcome.error is None else "ok"
        if not self._is_final(outcome):
            return outcome
        self.text, failure = self._write(outcome)
        # The tool may have started a thread or task, whose context keeps this object: not the result with it.
        self._written = None
        return outcome if failure is None else self._unwritable(failure)

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
        warn_once("tool %r: the model does not get its result: %s", self.tool, failure.message)
        error = InvalidResult(failure.message, tool=self.tool)
        outcome = Outcome(None, error, "error")
        if self._written is not None:
            # The text is there, and says more than that of the exception would.
            self._written = (outcome, self._written[1], None)
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
        with with_call_id(self._call_id, self.tool):
            self._entry.tool.record_unstarted(self._args, self._kwargs, error)

    def blocking(self) -> Any:
        """Call a sync tool: returns the text, or a coroutine for it where the tool has returned an awaitable."""
        try:
            self._entry.tool.watched_by(self)
            with with_call_id(self._call_id, self.tool):
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
        self._entry.tool.watched_by(self)
        with with_call_id(call_id, self.tool):
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
        text, failure = self._settings.text_of(Outcome(value, None, self._returned), self.tool)
        if failure is not None:
            warn_once("tool %r: the model does not get its result: %s", self.tool, failure.message)
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


def with_call_id(call_id: str, tool: str) -> AbstractContextManager[None]:
    """Give the span the call's id, made valid UTF-8. Without one, the id may still be found by the arguments."""
    if not call_id:
        return nullcontext()
    return known_call_id(call_id[:_MAX_ID_LENGTH].encode("utf-8", "replace").decode("utf-8"), tool)


def warn_once(message: str, *args: object) -> None:
    """Log a mistake that a model's call shows, once in the process, and at most 100 of them: models repeat theirs."""
    if args not in _warned and len(_warned) < _MAX_WARNINGS:
        _warned.add(args)
        log_safely(logger, logging.WARNING, "%s", redact_text(message % args, _MAX_WARNING_LENGTH))
