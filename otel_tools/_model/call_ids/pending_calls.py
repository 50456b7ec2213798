"""The tool calls that models have requested and that have not begun yet. They give the spans of tools their call id.

A caller that knows the id of its call, as a `ToolSet` does, states it, and the id is exact:

    with known_call_id(call.id, call.name):
        function(**arguments)

For other callers `remember` keeps the calls of a response, and `call_id_of` finds the right one when a tool begins, by
the tool's name and its arguments. Of equal calls that have not begun it takes the first one that was requested

1. in this context and trace: the response came here, or in the task or thread that started this one;
2. in this trace: the response came in another task or thread of the trace. If no arguments are equal, the only call of
   the tool that is pending in the trace is taken: the application may have changed its arguments;
3. in this context, in another trace: the model and the tool each got a root span of their own;
4. anywhere, if the tool begins without a trace: on a pool of threads that carries no context. If equal calls of more
   than one trace are pending, none is taken: no id is better than a wrong one.

A context is one of `contextvars`. What a model requests in a task is not seen by the task's parent: rules 2 and 4 are
for that. A call stops being pending when its result is sent to the model, or the model is asked again in place of
its answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping  # noqa: TC003 - read at run time by NamedTuple
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.trace import get_current_span

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork
from otel_tools._model.call_ids.argument_matching import NULL, ReceivedArguments, sent_arguments
from otel_tools._telemetry import names
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from inspect import Signature

    from opentelemetry.trace import SpanContext

    from otel_tools._model.call_ids.argument_matching import SentArguments

__all__ = [
    "RequestOrigin",
    "RequestedCall",
    "call_id_of",
    "clear",
    "discard_answered",
    "discard_asked_again",
    "known_call_id",
    "remember",
]

MAX_CALLS: Final = 4096
"""Calls that are remembered at once in a process."""

MAX_CALLS_PER_TOOL: Final = 512
"""Calls of one tool that are remembered at once."""

MAX_CALLS_PER_CONTEXT: Final = 64
"""Calls that one context remembers."""

MAX_NAME_LENGTH: Final = 512
"""Characters of an id or of a tool's name beyond which a call is not remembered."""

LIFETIME: Final = 600.0
"""Seconds that a call is remembered."""


class RequestedCall(NamedTuple):
    """One tool call in a model's response.

    Attributes:
        call_id: The id that the model gave it.
        tool: The tool's name.
        arguments: Usually JSON as text.
        free_form: Whether the arguments are the text of a custom tool and not JSON.
    """

    call_id: str
    tool: str
    arguments: Any
    free_form: bool = False


class RequestOrigin(NamedTuple):
    """Where a request to a model comes from.

    Attributes:
        trace_id: The trace that the application is in; 0 without one.
        model_span: The span of the model's call, where there is one.
        fetched: Whether the response was made earlier and is only fetched. It may be fetched more than once.
        offered: The parameters of each tool that the request offered.
        conversation: Identifies the messages of the request; empty where there are none.
    """

    trace_id: int = 0
    model_span: SpanContext | None = None
    fetched: bool = False
    offered: Mapping[str, frozenset[str]] = MappingProxyType({})
    conversation: str = ""


class _PendingCall:
    """A call that a model has requested and that has not begun."""

    __slots__ = ("call_id", "expires", "is_pending", "offered", "origin", "sent_arguments", "tool")

    def __init__(self, requested: RequestedCall, arguments: SentArguments, origin: RequestOrigin) -> None:
        self.call_id = requested.call_id
        self.tool = requested.tool
        self.sent_arguments = arguments
        self.origin = origin
        self.offered = origin.offered.get(requested.tool)
        self.expires = clock.now() + LIFETIME
        self.is_pending = True


class _CallsOfTool:
    """The pending calls of one tool, in the order of their arrival, and indexed by their arguments.

    Attributes:
        calls: All of them.
        names: The parameters that a model was told of, or sent.
    """

    __slots__ = ("_by_argument", "_by_trace", "calls", "names")

    def __init__(self) -> None:
        self.calls: dict[_PendingCall, None] = {}
        self.names: set[str] = set()
        self._by_argument: dict[tuple[str, str], dict[_PendingCall, None]] = {}
        self._by_trace: dict[int, dict[_PendingCall, None]] = {}

    def add(self, pending: _PendingCall) -> None:
        self.calls[pending] = None
        self.names.update(pending.sent_arguments, pending.offered or ())
        self._by_trace.setdefault(pending.origin.trace_id, {})[pending] = None
        for argument in _index_keys(pending):
            self._by_argument.setdefault(argument, {})[pending] = None

    def remove(self, pending: _PendingCall) -> None:
        del self.calls[pending]
        _discard(self._by_trace, pending.origin.trace_id, pending)
        for argument in _index_keys(pending):
            _discard(self._by_argument, argument, pending)

    def of_trace(self, trace_id: int) -> dict[_PendingCall, None]:
        return self._by_trace.get(trace_id, {})

    def candidates(self, received: ReceivedArguments) -> Iterable[_PendingCall]:
        """The calls that may have these arguments: few, however many are pending."""
        forms = received.required(self.names)
        if forms is None:
            return ()
        found: dict[_PendingCall, None] = {}
        for required in forms:
            smallest: dict[_PendingCall, None] | None = None
            for name, text in required:
                of_argument = self._by_argument.get((name, text), _NO_CALLS)
                if _FREE_FORM in self.names:
                    # The text of a custom tool has no name.
                    found.update(self._by_argument.get((_FREE_FORM, text), _NO_CALLS))
                if smallest is None or len(of_argument) < len(smallest):
                    smallest = of_argument
                if not smallest:
                    break
            if smallest is not None:
                found.update(smallest)
            else:
                # The model may have sent nothing, or defaults.
                found.update(self._by_argument.get(_NO_ARGUMENTS, _NO_CALLS))
                for name in self.names:
                    found.update(self._by_argument.get((name, received.default(name)), _NO_CALLS))
        return found


_FREE_FORM: Final = ""
_NO_ARGUMENTS: Final = ("", "")


def _index_keys(pending: _PendingCall) -> Iterable[tuple[str, str]]:
    """The arguments that are not null; without any, a key that stands for none."""
    return [argument for argument in pending.sent_arguments.items() if argument[1] != NULL] or [_NO_ARGUMENTS]


def _discard(index: dict[Any, dict[_PendingCall, None]], key: Any, pending: _PendingCall) -> None:
    calls = index.get(key)
    if calls is not None:
        calls.pop(pending, None)
        if not calls:
            del index[key]


_NO_CALLS: Final[dict[_PendingCall, None]] = {}


class _PendingCalls:
    """All pending calls of the process, by tool, in the order of their arrival."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.by_tool: dict[str, _CallsOfTool] = {}
        self.all: dict[_PendingCall, None] = {}

    @property
    def count(self) -> int:
        return len(self.all)

    def add(self, pending: _PendingCall) -> None:
        with self.lock:
            calls = self.by_tool.setdefault(pending.tool, _CallsOfTool())
            calls.add(pending)
            self.all[pending] = None
            if len(calls.calls) > MAX_CALLS_PER_TOOL:
                self.remove(next(iter(calls.calls)))
            if len(self.all) > MAX_CALLS:
                self.remove(next(iter(self.all)))

    def remove(self, pending: _PendingCall) -> bool:
        """Remove the call; returns whether it was still pending, so that exactly one caller gets it."""
        with self.lock:
            if not pending.is_pending:
                return False
            pending.is_pending = False
            if pending in self.all:
                del self.all[pending]
                calls = self.by_tool[pending.tool]
                calls.remove(pending)
                if not calls.calls:
                    del self.by_tool[pending.tool]
            return True

    def calls_of(self, tool: str) -> _CallsOfTool | None:
        """The pending calls of a tool; removes those that have expired."""
        now = clock.now()
        with self.lock:
            while (calls := self.by_tool.get(tool)) is not None:
                oldest = next(iter(calls.calls))
                if oldest.expires > now:
                    return calls
                self.remove(oldest)
        return None


class _KnownCallId:
    """An id that the caller knows. The first call of its tool takes it, and no call that the tool makes in turn."""

    __slots__ = ("call_id", "is_pending", "tool")

    def __init__(self, call_id: str, tool: str | None) -> None:
        self.call_id = call_id
        self.tool = tool
        self.is_pending = True


_store = _PendingCalls()
_context_calls: Final[ContextVar[tuple[_PendingCall, ...]]] = ContextVar("otel_tools-pending", default=())
_known_id: Final[ContextVar[_KnownCallId | None]] = ContextVar("otel_tools-calling", default=None)


@contextmanager
def known_call_id(call_id: str, tool: str | None = None) -> Iterator[None]:
    """Give the next call of a tool in the ``with`` block this id.

    Args:
        call_id: The id that the model gave the call; an empty one has no effect.
        tool: The tool's name; without it, the first call of any tool takes the id.
    """
    instruments.find_model_call = call_id_of
    token = _known_id.set(_KnownCallId(call_id, tool))
    try:
        yield
    finally:
        _known_id.reset(token)


def remember(calls: Iterable[RequestedCall], origin: RequestOrigin) -> None:
    """Remember the calls that a model requested, for this context, its trace and the process."""
    instruments.find_model_call = call_id_of
    now = clock.now()
    here = [pending for pending in _context_calls.get() if pending.is_pending and pending.expires > now]
    known = {(pending.call_id, pending.tool) for pending in here} if origin.fetched else ()
    for requested in calls:
        if not (_is_valid_name(requested.call_id) and _is_valid_name(requested.tool)):
            continue
        if (requested.call_id, requested.tool) in known:
            continue
        arguments = sent_arguments(requested.arguments, free_form=requested.free_form)
        if arguments is not None:
            pending = _PendingCall(requested, arguments, origin)
            _store.add(pending)
            here.append(pending)
    # A new tuple: tasks that were started earlier, each in a copy of this context, keep what they had.
    _context_calls.set(tuple(here[-MAX_CALLS_PER_CONTEXT:]))


def _is_valid_name(value: object) -> bool:
    """Whether a server's value, which may be anything, can be an id or the name of a tool."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH


def discard_answered(call_ids: Collection[str], trace_id: int) -> None:
    """Discard the calls that a conversation in this context or trace has answered, with or without the tool."""
    here = _context_calls.get()
    with _store.lock:
        same_trace = [call for call in _store.all if 0 != call.origin.trace_id == trace_id]
        for pending in (*here, *same_trace):
            if pending.call_id in call_ids:
                _store.remove(pending)


def discard_asked_again(conversations: Collection[str], kept: Collection[str], trace_id: int) -> None:
    """Discard the calls of an answer that the conversation goes on without: the model is asked again in its place.

    Args:
        conversations: Those that the new request begins with, or is.
        kept: The ids of calls that the new request contains.
        trace_id: The trace of the new request.
    """
    here = _context_calls.get()
    with _store.lock:
        same_trace = [call for call in _store.all if 0 != call.origin.trace_id == trace_id]
        for pending in (*here, *same_trace):
            if pending.origin.conversation in conversations and pending.call_id not in kept:
                _store.remove(pending)


def clear() -> None:
    """Forget all pending calls."""
    global _store  # noqa: PLW0603 - the memory of the process
    with _store.lock:
        for pending in _store.all:
            pending.is_pending = False
    _store = _PendingCalls()
    instruments.find_model_call = None


def call_id_of(
    tool: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], signature: Callable[[], Signature]
) -> tuple[str, SpanContext | None] | None:
    """Find the id of a call that begins now, and take it, so that no other call gets it.

    Args:
        tool: The tool's name.
        args: The positional arguments, as the caller gave them.
        kwargs: The keyword arguments, as the caller gave them.
        signature: Returns the signature of the tool's function.

    Returns:
        The id, and the span of the model's call where there is one; None if no model is known to have requested it.
    """
    exact = _known_id.get()
    if (exact is None or not exact.is_pending) and (call_id := _id_at_hand(tool, args, kwargs)) is not None:
        return call_id, _take_model_span(tool, call_id)
    if exact is not None and exact.call_id and exact.is_pending and exact.tool in {None, tool}:
        exact.is_pending = False
        return exact.call_id, _take_model_span(tool, exact.call_id)
    if tool not in _store.by_tool:
        return None
    pending = _find(tool, ReceivedArguments(args, kwargs, signature))
    return None if pending is None else (pending.call_id, pending.origin.model_span)


def _id_at_hand(tool: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """The id in a framework's context among the arguments, or on the framework's span of this call.

    None for a call that another tool makes, to which it may pass its own context on.
    """
    attributes = getattr(get_current_span(), "attributes", None) or {}
    if attributes.get(names.TOOL_NAME, tool) != tool:
        return None
    for value in (*args, *kwargs.values()):
        kind = type(value)
        # By identity: a metaclass may run code where its class is hashed, compared or asked for an attribute.
        if kind is not str and kind is not int and kind is not dict and kind is not list:
            call_id = _attribute(value, "tool_call_id")
            if _is_valid_name(call_id):
                return str(call_id)
    call_id = attributes.get(names.TOOL_CALL_ID)
    return str(call_id) if _is_valid_name(call_id) else None


_mro_of: Final = type.__dict__["__mro__"].__get__
_dict_of: Final = type.__dict__["__dict__"].__get__


def _attribute(value: Any, name: str) -> Any:
    """An attribute that an object really has: one that is made up on access may do anything, as may a metaclass."""
    try:
        classes = _mro_of(type(value))
        if not any(name in _dict_of(each) for each in classes) and name not in object.__getattribute__(
            value, "__dict__"
        ):
            return None
        return getattr(value, name)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return None


def _find(tool: str, received: ReceivedArguments) -> _PendingCall | None:
    span = get_current_span()
    trace_id = span.get_span_context().trace_id
    calls = _store.calls_of(tool)
    if calls is None:
        return None
    with _store.lock:
        candidates = list(calls.candidates(received))
    matching = [pending for pending in candidates if received.match(pending.sent_arguments, pending.offered)]
    here = set(_context_calls.get()) if matching else ()
    by_distance: tuple[list[_PendingCall], ...] = ([], [], [])
    for pending in matching:
        in_trace = pending.origin.trace_id == trace_id
        if pending in here:
            by_distance[0 if in_trace else 2].append(pending)
        elif in_trace and trace_id:
            by_distance[1].append(pending)
    found = next(filter(_store.remove, itertools.chain(*by_distance)), None)
    if found is not None:
        return found
    if trace_id:
        return _only_call_of_trace(calls, tool, span)
    if len({pending.origin.trace_id for pending in matching}) > 1:
        return None
    return next(filter(_store.remove, matching), None)


def _only_call_of_trace(calls: _CallsOfTool, tool: str, span: Any) -> _PendingCall | None:
    """The one call of the tool that is pending in this trace, whatever was done to its arguments.

    None for a call that another tool makes: no model asked for it.
    """
    of_trace = calls.of_trace(span.get_span_context().trace_id)
    if len(of_trace) != 1:
        return None
    attributes = getattr(span, "attributes", None) or {}
    if attributes.get(names.TOOL_NAME, tool) != tool:
        return None
    with _store.lock:
        only = next(iter(of_trace), None)
        return only if only is not None and _store.remove(only) else None


def _take_model_span(tool: str, call_id: str) -> SpanContext | None:
    """Take the pending call with this id, first from this context, and return the span of its model's call."""
    if tool not in _store.by_tool:
        return None
    here = _context_calls.get()
    of_tool = _store.calls_of(tool)
    same_id = () if of_tool is None else [call for call in list(of_tool.calls) if call.call_id == call_id]
    calls = sorted(same_id, key=lambda call: call not in here)
    pending = next(filter(_store.remove, calls), None)
    return None if pending is None else pending.origin.model_span


def _after_fork() -> None:
    """A thread that does not exist in the child may hold the lock, with the data half changed: then start empty."""
    global _store  # noqa: PLW0603 - the memory of the process
    if _store.lock.acquire(blocking=False):
        _store.lock.release()
    else:
        _store = _PendingCalls()


at_fork(after_in_child=_after_fork)
