"""`instrument_openai`: remembers the tool calls in the responses of the `openai` client, and changes nothing in them.

Every request of the client passes through one method, and so does every response: of Chat Completions and of Responses,
sync and async, streamed, parsed, raw. That method is wrapped. Streams are observed while the user reads them.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind, get_current_span

from otel_tools._model.call_ids.model_spans import instrument_model_calls
from otel_tools._model.call_ids.observed_stream import observed_iterator
from otel_tools._model.call_ids.openai_private import model_request, request_class, wrap_stream
from otel_tools._model.call_ids.pending_calls import (
    RequestOrigin,
    clear,
    discard_answered,
    discard_asked_again,
    remember,
)
from otel_tools._model.call_ids.response_tool_calls import requested_calls
from otel_tools._option_names import check_option_names
from otel_tools._telemetry.guard import log_failure
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._model.call_ids.pending_calls import RequestedCall

__all__ = ["instrument_openai", "uninstrument_openai"]

_REMEMBERING: Final = "remembering what the model asked for"


class _State:
    """What was done to the `openai` package.

    Attributes:
        is_on: Whether tool calls are remembered.
        wrapped: The classes whose ``request`` is wrapped, with the original method and the wrapper.
        instrumentor: OpenTelemetry's instrumentation, where `instrument_openai` switched it on.
    """

    is_on = False
    wrapped: Final[dict[type, tuple[Callable[..., Any], Callable[..., Any]]]] = {}
    instrumentor: Any = None


_lock = RLock()


@check_option_names
def instrument_openai() -> None:
    """Give the spans of tools the ids of the model's tool calls, and links to the spans of the model's calls.

    The user's own loop stays as it is. The tool calls in the responses of the `openai` client are remembered, and a
    tool that is called with the same arguments takes the id. ``_model/call_ids/pending_calls.py`` says which call takes
    which id.

    The model's calls become spans by OpenTelemetry's own instrumentation where it is installed (extra ``openai``),
    unless the application has instrumented the `openai` package already, by that or by other means; switch those on
    before this. Doing it again changes nothing.

    Raises:
        ConfigurationError: The `openai` package is not installed.
    """
    try:
        sync_class, async_class = request_class("OpenAI"), request_class("AsyncOpenAI")
    except ImportError as error:
        raise ConfigurationError(
            f"instrument_openai(): the package openai is needed: pip install openai ({error})"
        ) from error
    with _lock:
        if _State.is_on:
            return
        _State.is_on = True
        _State.instrumentor = instrument_model_calls()
        _wrap(sync_class, _observed_request)
        _wrap(async_class, _observed_async_request)


@check_option_names
def uninstrument_openai() -> None:
    """Undo `instrument_openai`, and forget the tool calls that it remembered."""
    with _lock:
        _State.is_on = False
        for kind, (original, wrapper) in list(_State.wrapped.items()):
            # A wrapper that others have wrapped in turn stays, and does nothing from now on.
            if kind.__dict__.get("request") is wrapper:
                kind.request = original  # type: ignore[attr-defined] # a class of the client's
                del _State.wrapped[kind]
        if _State.instrumentor is not None:
            _State.instrumentor.uninstrument()
            _State.instrumentor = None
        clear()


def _wrap(kind: Any, observed: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    if kind is not None and kind not in _State.wrapped:
        original = kind.request
        kind.request = observed(original)
        _State.wrapped[kind] = original, kind.request


def _observed_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        origin = _origin(options)
        return _observe(original(self, cast_to, options, *args, **kwargs), origin)

    return request


def _observed_async_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        origin = _origin(options)
        return _observe(await original(self, cast_to, options, *args, **kwargs), origin)

    return request


def _origin(options: Any) -> RequestOrigin | None:
    """Where the model is asked from; None for a request that does not go to a model."""
    if not _State.is_on:
        return None
    try:
        request = model_request(options)
        if request is None:
            return None
        origin = _origin_of_span(get_current_span(), fetched=request.fetches)
        if call_ids := _answered_call_ids(request.body):
            discard_answered(call_ids, origin.trace_id)
        if conversations := _conversations(request.body):
            discard_asked_again(set(conversations), _call_ids(request.body), origin.trace_id)
            origin = origin._replace(conversation=conversations[-1], offered=_offered(request.body))
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure(_REMEMBERING)
        return None
    return origin


def _origin_of_span(span: Any, *, fetched: bool) -> RequestOrigin:
    context = span.get_span_context()
    attributes = getattr(span, "attributes", None) or {}
    # Instrumentations of the model's calls make their span the current one.
    is_model_span = getattr(span, "kind", None) is SpanKind.CLIENT or attributes.get("openinference.span.kind") == "LLM"
    if not is_model_span:
        return RequestOrigin(context.trace_id, fetched=fetched)
    # A model span without a parent is the root of its own trace, so the application is in none.
    trace_id = 0 if getattr(span, "parent", None) is None else context.trace_id
    return RequestOrigin(trace_id, context, fetched)


def _conversations(body: Any) -> list[str]:
    """Identifies the conversation of a request, after each of its messages."""
    if not isinstance(body, Mapping):
        return []
    given = body.get("input")
    items = [*_list(body.get("messages")), *(_list(given) or ([given] if given else []))]
    so_far = blake2b(repr(body.get("previous_response_id")).encode(), digest_size=16)
    found = []
    for item in items:
        so_far.update(json.dumps(item, sort_keys=True, default=repr).encode("utf-8", "surrogatepass"))
        found.append(so_far.hexdigest())
    return found


def _call_ids(body: Mapping[str, Any]) -> set[str]:
    """The ids of the calls in the messages of a request."""
    items = [item for item in (*_list(body.get("messages")), *_list(body.get("input"))) if isinstance(item, Mapping)]
    ids = [item.get("call_id") for item in items]
    ids += [call.get("id") for item in items for call in _list(item.get("tool_calls")) if isinstance(call, Mapping)]
    return {call_id for call_id in ids if isinstance(call_id, str)}


def _offered(body: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The parameters of each function that a request offers; those that take any name are left out."""
    offered = {}
    for tool in _list(body.get("tools")):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            continue
        schema = function.get("parameters")
        if isinstance(schema, Mapping) and isinstance(schema.get("properties"), Mapping):
            offered[str(function.get("name"))] = frozenset(schema["properties"])
    return offered


def _answered_call_ids(body: Any) -> set[str]:
    """The ids of the calls whose results are sent to the model."""
    if not isinstance(body, Mapping):
        return set()
    items = [*_list(body.get("messages")), *_list(body.get("input"))]
    ids = (item.get("tool_call_id") or _output_call_id(item) for item in items if isinstance(item, Mapping))
    return {call_id for call_id in ids if isinstance(call_id, str)}


def _output_call_id(item: Mapping[str, Any]) -> Any:
    return item.get("call_id") if str(item.get("type")).endswith("_call_output") else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _observe(answer: Any, origin: RequestOrigin | None) -> Any:
    """Remember the tool calls in what ``request`` returned, now or when it is read; return it as it is."""
    if origin is None:
        return answer

    def found(calls: list[RequestedCall]) -> None:
        if calls and _State.is_on:
            remember(calls, origin)

    try:
        if wrap_stream(answer, lambda iterator: observed_iterator(iterator, found)):
            pass
        elif hasattr(answer, "http_response") and callable(getattr(answer, "parse", None)):
            answer.parse = _observed_parse(answer.parse, origin)
        else:
            found(requested_calls(answer))
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure(_REMEMBERING)
    return answer


def _observed_parse(original: Callable[..., Any], origin: RequestOrigin) -> Callable[..., Any]:
    """The ``parse`` of a raw response. It returns the same object each time, which is observed once."""
    last: Any = None

    def observe_once(value: Any) -> Any:
        nonlocal last
        if value is not last:
            last = value
            _observe(value, origin)
        return value

    @functools.wraps(original)
    def parse(*args: Any, **kwargs: Any) -> Any:
        return observe_once(original(*args, **kwargs))

    @functools.wraps(original)
    async def async_parse(*args: Any, **kwargs: Any) -> Any:
        return observe_once(await original(*args, **kwargs))

    return async_parse if inspect.iscoroutinefunction(original) else parse
