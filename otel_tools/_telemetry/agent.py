"""`agent`: the span around the tool calls of one agent."""

from __future__ import annotations

import functools
import inspect
import logging
import reprlib
import sys
from contextvars import ContextVar
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

from opentelemetry.context import attach, get_current, set_value
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from otel_tools._call.error_types import error_type_of
from otel_tools._call.outcome import is_cancellation
from otel_tools._call.safe_logging import log_safely
from otel_tools._option_names import check_option_names
from otel_tools._telemetry import names
from otel_tools._telemetry.call_span import AGENT_KEY
from otel_tools._telemetry.content.capture import redact_text
from otel_tools._telemetry.content.surrogates import without_surrogates
from otel_tools._telemetry.deferred import gc_running, pending_reports
from otel_tools._telemetry.exceptions import record_failure
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.context import Context

__all__ = ["agent"]

logger = logging.getLogger("otel_tools.telemetry.agent")

F = TypeVar("F", bound="Callable[..., Any]")

_MAX_NAME: Final = 256


class _Run:
    """One open block of an agent.

    Attributes:
        agent: The agent.
        frame: The id of the frame that has the block, which tells the blocks of one agent apart.
        span: The block's span; None where telemetry failed.
        context: The context that the block made current; None where telemetry failed.
        outer: The context to go back to: the one before the block, or that of the innermost block still open there.
    """

    __slots__ = ("agent", "context", "frame", "outer", "span")

    def __init__(self, agent: agent, frame: int) -> None:
        self.agent = agent
        self.frame = frame
        self.span: Span | None = None
        self.context: Context | None = None
        self.outer: Context = get_current()

    def leave(self, open_runs: tuple[_Run, ...]) -> None:
        """Make the context of the innermost block still open current.

        Blocks need not end in the reverse order of their start: a block inside a generator ends when the generator
        ends. Where another block began in between, that one stays current, and goes back to what was before this one.
        The garbage collector may end a block in another context, which then stays as it is.

        Args:
            open_runs: The blocks that are open in this context, also this one if it began there.
        """
        if self.context is None or self not in open_runs:
            return
        inner = [run for run in open_runs if run is not self]
        for run in inner:
            if run.outer is self.context:
                run.outer = self.outer
        current = get_current()
        if not any(run.context is current for run in inner):
            attach(self.outer)


_open_runs: Final[ContextVar[tuple[_Run, ...]]] = ContextVar("otel_tools-agents", default=())
"""The open blocks of this context, innermost last. Many threads and tasks can enter the same `agent`."""


@check_option_names
class agent:  # noqa: N801 - used as `with agent(...)` and `@agent(...)`, where a function's name reads best
    """An ``invoke_agent`` span around a tool-call loop. The spans of the tools called inside are its children.

    Use it as ``with agent("travel-agent"):``, as ``async with agent(...):``, or as a decorator of a function or
    coroutine function. The tools' spans and duration points carry the agent's name.

    Args:
        name: The agent's name, ``gen_ai.agent.name``. Use few distinct names: they are labels of metrics.
        conversation_id: The conversation that this run belongs to, ``gen_ai.conversation.id``; on the span only.

    Raises:
        ConfigurationError: The name is empty or not a text, the conversation's id is no text, or the decorated
            function is a generator.
    """

    def __init__(self, name: str, *, conversation_id: str | None = None) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"agent({reprlib.repr(name)}): a name is needed, such as 'travel-agent'")
        self.name = redact_text(without_surrogates(name), _MAX_NAME)
        self.conversation_id = None if conversation_id is None else _conversation_id(conversation_id)
        self._runs: list[_Run] = []

    def __enter__(self) -> Span | None:
        """Start the span and return it; None where telemetry failed."""
        return self._enter(id(sys._getframe(1)))  # noqa: SLF001 - inspect.currentframe() is the same call

    def _enter(self, frame: int) -> Span | None:
        run = _Run(self, frame)
        try:
            run.span = span = self._start_span()
            context = set_value(AGENT_KEY, self.name, set_span_in_context(span, run.outer))
            attach(context)
            run.context = context
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("opening an agent's span")
        self._runs.append(run)
        _open_runs.set((*_open_runs.get(), run))
        return run.span

    def __exit__(
        self, _error_class: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the span. An exception goes on."""
        self._exit(id(sys._getframe(1)), error)  # noqa: SLF001 - as above

    def _exit(self, frame: int, error: BaseException | None) -> None:
        open_runs = _open_runs.get()
        run = self._ending(open_runs, frame)
        if run is None:
            return
        self._runs.remove(run)
        _open_runs.set(tuple(other for other in open_runs if other is not run))
        run.leave(open_runs)
        if run.span is not None:
            close = functools.partial(_close, run.span, error, time_ns())
            if gc_running:
                pending_reports.append(close)
            else:
                close()

    def _ending(self, open_runs: tuple[_Run, ...], frame: int) -> _Run | None:
        """The block that ends: that of the frame, else (of an `ExitStack`) the innermost; None if none is open."""
        here = [run for run in open_runs if run in self._runs]
        # A generator's block may have begun in another context.
        of_frame = [run for run in (*self._runs, *here) if run.frame == frame]
        return next(reversed(of_frame or here or self._runs), None)

    async def __aenter__(self) -> Span | None:
        """As `__enter__`."""
        return self._enter(id(sys._getframe(1)))  # noqa: SLF001 - as above

    async def __aexit__(
        self, _error_class: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """As `__exit__`."""
        self._exit(id(sys._getframe(1)), error)  # noqa: SLF001 - as above

    def __call__(self, function: F) -> F:
        """Run each call of the function inside an agent's span of its own."""
        if isinstance(function, (classmethod, staticmethod)):
            return cast("F", type(function)(self(function.__func__)))
        if inspect.iscoroutinefunction(function):

            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", functools.wraps(function)(run_async))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"@agent({self.name!r}) on {function.__qualname__}: a generator gives control away between its items; "
                "use `with agent(...)` inside it, around the loop"
            )

        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("F", functools.wraps(function)(run))

    def _start_span(self) -> Span:
        attributes = {names.OPERATION_NAME: names.INVOKE_AGENT, names.AGENT_NAME: self.name}
        if self.conversation_id is not None:
            attributes[names.CONVERSATION_ID] = self.conversation_id
        return instruments.tracer.start_span(
            f"{names.INVOKE_AGENT} {self.name}", kind=SpanKind.INTERNAL, attributes=attributes
        )


def _conversation_id(given: Any) -> str | None:
    """The text of a conversation's id; None, with a warning, where it is blank.

    A number of a database or a UUID is an id as well. A blank one comes with a request, which is to go on.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(given, (int, UUID)) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str):
        raise ConfigurationError(
            f"agent(conversation_id={reprlib.repr(given)}): a text is needed, or None where there is no conversation"
        )
    if not given.strip():
        _warn_of_blank_conversation()
        return None
    return redact_text(without_surrogates(given), _MAX_NAME)


@functools.cache
def _warn_of_blank_conversation() -> None:
    log_safely(
        logger,
        logging.WARNING,
        "agent(conversation_id=''): an empty id says nothing; such runs have none on their spans. This is said once",
    )


def _close(span: Span, error: BaseException | None, ended: int) -> None:
    try:
        if error is not None:
            _describe(span, error)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("describing an agent's run")
    try:
        span.end(ended)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("closing an agent's span")


def _describe(span: Span, error: BaseException) -> None:
    if is_cancellation(error):
        span.set_attribute(names.OUTCOME, names.CANCELLED)
    else:
        span.set_attribute(names.ERROR_TYPE, error_type_of(error))
        record_failure(span, error, names.INVOKE_AGENT)
