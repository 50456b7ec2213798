"""`agent`: the span around the tool calls of one agent."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry.context import attach, get_current, set_value
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from otel_tools._call.error_types import error_type_of
from otel_tools._call.outcome import is_cancellation
from otel_tools._telemetry import names
from otel_tools._telemetry.api_private import detach_silently
from otel_tools._telemetry.call_span import AGENT_KEY
from otel_tools._telemetry.deferred import gc_running, pending_reports
from otel_tools._telemetry.exceptions import record_failure
from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.instruments import instruments
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context

__all__ = ["agent"]

F = TypeVar("F", bound="Callable[..., Any]")


class _Run:
    """One open block of an agent.

    Attributes:
        agent: The agent.
        span: The block's span; None where telemetry failed.
        token: Restores the context of before the block.
    """

    __slots__ = ("agent", "span", "token")

    def __init__(self, agent: agent) -> None:
        self.agent = agent
        self.span: Span | None = None
        self.token: Token[Context] | None = None


_open_runs: Final[ContextVar[tuple[_Run, ...]]] = ContextVar("otel_tools-agents", default=())
"""The open blocks of this context, innermost last. Many threads and tasks can enter the same `agent`."""


class agent:  # noqa: N801 - used as `with agent(...)` and `@agent(...)`, where a function's name reads best
    """An ``invoke_agent`` span around a tool-call loop. The spans of the tools called inside are its children.

    Use it as ``with agent("travel-agent"):``, as ``async with agent(...):``, or as a decorator of a function or
    coroutine function. The tools' spans and duration points carry the agent's name.

    Args:
        name: The agent's name, ``gen_ai.agent.name``. Use few distinct names: they are labels of metrics.
        conversation_id: The conversation that this run belongs to, ``gen_ai.conversation.id``; on the span only.

    Raises:
        ConfigurationError: The name is empty or not a text, or the decorated function is a generator.
    """

    def __init__(self, name: str, *, conversation_id: str | None = None) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"agent({name!r}): a name is needed, such as 'travel-agent'")
        self.name = name
        self.conversation_id = conversation_id
        self._runs: list[_Run] = []

    def __enter__(self) -> Span | None:
        """Start the span and return it; None where telemetry failed."""
        run = _Run(self)
        try:
            run.span = span = self._start_span()
            run.token = attach(set_value(AGENT_KEY, self.name, set_span_in_context(span, get_current())))
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("opening an agent's span")
        self._runs.append(run)
        _open_runs.set((*_open_runs.get(), run))
        return run.span

    def __exit__(
        self, _error_class: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the span. An exception goes on."""
        run = self._pop_innermost()
        if run is None:
            return
        if run.token is not None:
            detach_silently(run.token)
        if run.span is not None:
            close = functools.partial(_close, run.span, error, time_ns())
            if gc_running:
                pending_reports.append(close)
            else:
                close()

    def _pop_innermost(self) -> _Run | None:
        """Remove and return this agent's innermost block.

        Blocks need not end in the reverse order of their start. A block inside a generator ends when the generator is
        closed: that may be inside another agent's block, or in another context by the garbage collector.
        """
        open_runs = _open_runs.get()
        run = next((run for run in reversed(open_runs) if run.agent is self), None)
        if run is not None:
            _open_runs.set(tuple(other for other in open_runs if other is not run))
        elif self._runs:
            run = self._runs[-1]
        if run in self._runs:
            self._runs.remove(run)
        return run

    async def __aenter__(self) -> Span | None:
        """As `__enter__`."""
        return self.__enter__()

    async def __aexit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `__exit__`."""
        self.__exit__(error_class, error, trace)

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
            attributes[names.CONVERSATION_ID] = str(self.conversation_id)
        return instruments.tracer.start_span(
            f"{names.INVOKE_AGENT} {self.name}", kind=SpanKind.INTERNAL, attributes=attributes
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
        span.set_attribute(names.ERROR_TYPE, names.CANCELLED)
    else:
        span.set_attribute(names.ERROR_TYPE, error_type_of(error))
        record_failure(span, error, names.INVOKE_AGENT)
