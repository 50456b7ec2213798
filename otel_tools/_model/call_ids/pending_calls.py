"""The tool calls that models asked for and that have not begun yet: they give the spans of tools their call id.

Who knows the id of the call that it makes, as a `ToolSet` does, says so, and the id is exact:

    with calling(call.id, call.name):
        function(**arguments)

For everybody else `expect` remembers what a response brought, and `call_id_of` finds it when a tool begins, by the
tool's name and its arguments. Of the equal calls that have not begun it takes the first one that was asked for

1. in this context and trace: the response came here, or in the task or thread that started this one;
2. in this trace: the response came in a task or thread beside this one;
3. in this context, in another trace: the model and the tool were each given a root span of their own;
4. anywhere, if the tool begins without a trace: on a pool of threads that carries no context. Where equal calls of more
   than one trace wait, none is taken: no id is better than a wrong one.

A context is what `contextvars` mean by it. What a model asks for in the middle of a task is not seen by the task's
parent, which is what 2 and 4 are for. A call whose result the model was sent does not wait any longer.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.trace import get_current_span

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork
from otel_tools._model.call_ids.argument_matching import Received, sent
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from inspect import Signature

    from opentelemetry.trace import SpanContext

    from otel_tools._model.call_ids.argument_matching import Sent

__all__ = ["Asked", "Origin", "answered", "call_id_of", "calling", "expect", "forget"]

MAX_CALLS: Final = 4096
"""Calls that are remembered at once in a process."""

MAX_OF_A_TOOL: Final = 512
"""Calls of one tool that are remembered at once."""

MAX_IN_A_CONTEXT: Final = 64
"""Calls that one context remembers."""

LONGEST_NAME: Final = 512
"""Characters of an id or of a tool's name beyond which a call is not remembered."""

LIFETIME: Final = 600.0
"""Seconds that a call is remembered."""


class Asked(NamedTuple):
    """One tool call in a model's response.

    Attributes:
        call_id: The id that the model gave it.
        tool: The tool's name.
        arguments: JSON as text, as a rule.
        free_form: The arguments are no JSON but text, as a custom tool takes them.
    """

    call_id: str
    tool: str
    arguments: Any
    free_form: bool = False


class Origin(NamedTuple):
    """Where a model was asked.

    Attributes:
        trace_id: The trace that the application is in; 0 without one.
        model_span: The span of the model's call, where there is one.
        again: The response was made before, and is fetched: it may have been fetched already.
    """

    trace_id: int = 0
    model_span: SpanContext | None = None
    again: bool = False


class _Pending:
    """A call that was asked for and has not begun."""

    __slots__ = ("call_id", "expires", "origin", "sent", "tool", "waits")

    def __init__(self, asked: Asked, arguments: Sent, origin: Origin) -> None:
        self.call_id = asked.call_id
        self.tool = asked.tool
        self.sent = arguments
        self.origin = origin
        self.expires = clock.now() + LIFETIME
        self.waits = True


class _Memory:
    """All pending calls of the process, by tool, in the order in which they came."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.by_tool: dict[str, list[_Pending]] = {}
        self.count = 0

    def add(self, pending: _Pending) -> None:
        with self.lock:
            calls = self.by_tool.setdefault(pending.tool, [])
            calls.append(pending)
            self.count += 1
            if len(calls) > MAX_OF_A_TOOL:
                self.remove(calls[0])
            while self.count > MAX_CALLS:
                self.remove(min((each[0] for each in self.by_tool.values()), key=lambda call: call.expires))

    def remove(self, pending: _Pending) -> bool:
        """Whether it was still there, so that it is yours."""
        with self.lock:
            if not pending.waits:
                return False
            pending.waits = False
            calls = self.by_tool.get(pending.tool, [])
            if pending in calls:
                calls.remove(pending)
                self.count -= 1
            if not calls:
                self.by_tool.pop(pending.tool, None)
            return True

    def of(self, tool: str) -> list[_Pending]:
        """Those of a tool, without what is too old."""
        now = clock.now()
        with self.lock:
            for pending in list(itertools.takewhile(lambda call: call.expires <= now, self.by_tool.get(tool, ()))):
                self.remove(pending)
            return list(self.by_tool.get(tool, ()))


class _Exact:
    """A call whose id is known; the first call of its tool takes it, and not one that the tool makes in turn."""

    __slots__ = ("call_id", "tool", "waits")

    def __init__(self, call_id: str, tool: str | None) -> None:
        self.call_id = call_id
        self.tool = tool
        self.waits = True


_memory = _Memory()
_here: Final[ContextVar[tuple[_Pending, ...]]] = ContextVar("otel_tools-pending", default=())
_exact: Final[ContextVar[_Exact | None]] = ContextVar("otel_tools-calling", default=None)


@contextmanager
def calling(call_id: str, tool: str | None = None) -> Iterator[None]:
    """Give the next call of a tool in the ``with`` block this id.

    Args:
        call_id: The id that the model gave the call; nothing is known of it where that is empty.
        tool: The tool's name; without it the first call of any tool is meant.
    """
    instruments.find_model_call = call_id_of
    token = _exact.set(_Exact(call_id, tool))
    try:
        yield
    finally:
        _exact.reset(token)


def expect(calls: Iterable[Asked], origin: Origin) -> None:
    """Remember what a model asked for, for this context, its trace and the process."""
    instruments.find_model_call = call_id_of
    now = clock.now()
    here = [pending for pending in _here.get() if pending.waits and pending.expires > now]
    known = {(pending.call_id, pending.tool) for pending in here} if origin.again else ()
    for asked in calls:
        if not _is_name(asked.call_id) or not _is_name(asked.tool) or (asked.call_id, asked.tool) in known:
            continue
        arguments = sent(asked.arguments, free_form=asked.free_form)
        if arguments is not None:
            pending = _Pending(asked, arguments, origin)
            _memory.add(pending)
            here.append(pending)
    # A new tuple: the tasks that were started before, each in a copy of this context, see only what came until then.
    _here.set(tuple(here[-MAX_IN_A_CONTEXT:]))


def _is_name(value: object) -> bool:
    """A server may send anything."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME


def answered(call_ids: Collection[str], trace_id: int) -> None:
    """Let go of the calls that a conversation in this context or trace has answered, by whatever means."""
    here = _here.get()
    with _memory.lock:
        beside = [call for calls in _memory.by_tool.values() for call in calls if 0 != call.origin.trace_id == trace_id]
        for pending in (*here, *beside):
            if pending.call_id in call_ids:
                _memory.remove(pending)


def forget() -> None:
    """Begin anew."""
    global _memory  # noqa: PLW0603 - the memory of the process
    with _memory.lock:
        for pending in [call for calls in _memory.by_tool.values() for call in calls]:
            pending.waits = False
    _memory = _Memory()
    instruments.find_model_call = None


def call_id_of(
    tool: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], signature: Callable[[], Signature]
) -> tuple[str, SpanContext | None] | None:
    """Find the id of a call that begins now; it is taken then.

    Args:
        tool: The tool's name.
        args: The positional arguments, as the caller gave them.
        kwargs: The keyword arguments, as the caller gave them.
        signature: Gives the signature of the tool's function.

    Returns:
        The id, and the span of the model's call, where there is one; None for what no model is known to have asked for.
    """
    exact = _exact.get()
    if exact is not None and exact.call_id and exact.waits and exact.tool in {None, tool}:
        exact.waits = False
        return exact.call_id, _span_of(tool, exact.call_id)
    if tool not in _memory.by_tool:
        return None
    pending = _find(tool, Received(args, kwargs, signature))
    return None if pending is None else (pending.call_id, pending.origin.model_span)


def _find(tool: str, received: Received) -> _Pending | None:
    trace_id = get_current_span().get_span_context().trace_id
    here = set(_here.get())
    calls = _memory.of(tool)
    by_nearness: tuple[list[_Pending], ...] = ([], [], [])
    for pending in calls:
        in_trace = pending.origin.trace_id == trace_id
        if pending in here:
            by_nearness[0 if in_trace else 2].append(pending)
        elif in_trace and trace_id:
            by_nearness[1].append(pending)
    for pending in itertools.chain(*by_nearness):
        if received.equals(pending.sent) and _memory.remove(pending):
            return pending
    if trace_id:
        return None
    anywhere = [pending for pending in calls if received.equals(pending.sent)]
    if len({pending.origin.trace_id for pending in anywhere}) > 1:
        return None
    return next(filter(_memory.remove, anywhere), None)


def _span_of(tool: str, call_id: str) -> SpanContext | None:
    """Take the call that has this id, in this context rather than in another, for its model's span."""
    if tool not in _memory.by_tool:
        return None
    here = _here.get()
    calls = sorted((call for call in _memory.of(tool) if call.call_id == call_id), key=lambda call: call not in here)
    pending = next(filter(_memory.remove, calls), None)
    return None if pending is None else pending.origin.model_span


def _after_fork() -> None:
    """The lock may be held by a thread that is not in the child, and what it guards half changed."""
    global _memory  # noqa: PLW0603 - the memory of the process
    if _memory.lock.acquire(blocking=False):
        _memory.lock.release()
    else:
        _memory = _Memory()


at_fork(after_in_child=_after_fork)
