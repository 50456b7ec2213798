"""`agent`: the parent of the calls that one agent makes."""

from __future__ import annotations

import contextlib
import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry.context import attach, get_current, set_value
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from otel_tools.call.steps import is_cancellation
from otel_tools.errors import ConfigurationError
from otel_tools.telemetry import names
from otel_tools.telemetry.binding import signals
from otel_tools.telemetry.exceptions import error_type_of, record_failure
from otel_tools.telemetry.fence import contained
from otel_tools.telemetry.spans import AGENT_KEY, leave

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context

__all__ = ["agent"]

F = TypeVar("F", bound="Callable[..., Any]")

_Entered = tuple["agent", Span, "Token[Context]"]
_entered: Final[ContextVar[tuple[_Entered | None, ...]]] = ContextVar("otel_tools-agents", default=())
"""The blocks that are open in this context, innermost last. Kept here and not on the object, so that one object
can be entered by many threads and tasks at once."""


class agent:  # noqa: N801 - used as `with agent(...)` and `@agent(...)`, where a function's name reads best
    """An ``invoke_agent`` span around a tool-call loop; the tools called inside it are its children and carry its name.

    ``with agent("travel-agent"):``, ``async with agent(...)``, or as a decorator of a function, coroutine function,
    generator or async generator.

    Args:
        name: The agent's name, ``gen_ai.agent.name``; few distinct ones, they label metrics.
        conversation_id: The conversation that this run belongs to, ``gen_ai.conversation.id``; on the span only.

    Raises:
        ConfigurationError: The name is empty or not a text.
    """

    def __init__(self, name: str, *, conversation_id: str | None = None) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"agent({name!r}): a name is needed, such as 'travel-agent'")
        self.name = name
        self.conversation_id = conversation_id

    def __enter__(self) -> Span | None:
        """Open the span; what comes back is the span itself, or None where telemetry failed."""
        entered: _Entered | None = None
        try:
            span = self._open()
            entered = (
                self,
                span,
                attach(set_value(AGENT_KEY, self.name, set_span_in_context(span, get_current()))),
            )
        except Exception:  # noqa: BLE001 - the fence
            contained("opening an agent's span")
        _entered.set((*_entered.get(), entered))
        return entered[1] if entered else None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close the span; the exception, if there is one, goes on."""
        *outer, entered = _entered.get() or (None,)
        _entered.set(tuple(outer))
        if entered is None:
            return
        _, span, token = entered
        leave(token)
        try:
            _close(span, error)
        except Exception:  # noqa: BLE001 - the fence
            contained("closing an agent's span")

    async def __aenter__(self) -> Span | None:
        """As `__enter__`."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `__exit__`."""
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Run every call of the function inside an agent's span of its own."""
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

    def _open(self) -> Span:
        attributes = {names.OPERATION_NAME: names.INVOKE_AGENT, names.AGENT_NAME: self.name}
        if self.conversation_id is not None:
            attributes[names.CONVERSATION_ID] = str(self.conversation_id)
        return signals.tracer.start_span(
            f"{names.INVOKE_AGENT} {self.name}", kind=SpanKind.INTERNAL, attributes=attributes
        )


def _close(span: Span, error: BaseException | None) -> None:
    if error is not None:
        with contextlib.suppress(Exception):
            if is_cancellation(error):
                span.set_attribute(names.ERROR_TYPE, names.CANCELLED)
            else:
                span.set_attribute(names.ERROR_TYPE, error_type_of(error))
                record_failure(span, error, names.INVOKE_AGENT)
    span.end()
