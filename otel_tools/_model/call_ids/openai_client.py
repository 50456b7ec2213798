"""`instrument_openai`: what the `openai` client brings from the model is remembered, and nothing of it is changed.

Every request of the client passes through one method, and so does every answer: of Chat Completions and of Responses,
sync and async, streamed, parsed, raw. It is the one that is replaced. Streams are looked at while the user reads them.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from threading import RLock
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind, get_current_span

from otel_tools._model.call_ids.pending_calls import Origin, answered, expect, forget
from otel_tools._model.call_ids.response_tool_calls import Assembly, asked_in
from otel_tools._telemetry.guard import log_failure
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._model.call_ids.pending_calls import Asked

__all__ = ["instrument_openai", "uninstrument_openai"]

logger = logging.getLogger("otel_tools")

_OF_OPENTELEMETRY: Final = ("opentelemetry.instrumentation.genai.openai", "opentelemetry.instrumentation.openai_v2")
"""OpenTelemetry's own instrumentations of the `openai` package, the newer one first."""

_REMEMBERING: Final = "remembering what the model asked for"


class _State:
    """What was done to the `openai` package.

    Attributes:
        on: Whether what it brings is remembered.
        replaced: The classes whose method is replaced, with their own and ours.
        instrumentor: OpenTelemetry's instrumentation, where it was we who switched it on.
    """

    on = False
    replaced: Final[dict[type, tuple[Callable[..., Any], Callable[..., Any]]]] = {}
    instrumentor: Any = None


_lock = RLock()


def instrument_openai() -> None:
    """Give the spans of tools the ids that the model gave their calls, and links to the spans of the model's calls.

    The user's own loop stays as it is: what the responses of the `openai` client ask for is remembered, and a tool
    that is called with these arguments takes the id. `PendingCalls` says which
    call takes which.

    The model's calls become spans by OpenTelemetry's own instrumentation where it is installed (extra ``openai``),
    unless the application has instrumented the `openai` package already, by that or by other means; switch those on
    before this. Doing it again changes nothing.

    Raises:
        ConfigurationError: The `openai` package is not installed.
    """
    try:
        from openai._base_client import AsyncAPIClient, SyncAPIClient  # noqa: PLC0415 - loaded for those who ask
    except ImportError as error:
        raise ConfigurationError(
            f"instrument_openai(): the package openai is needed: pip install openai ({error})"
        ) from error
    with _lock:
        if _State.on:
            return
        _State.on = True
        _State.instrumentor = _opentelemetrys_own()
        _replace(SyncAPIClient, _observed)
        _replace(AsyncAPIClient, _async_observed)


def uninstrument_openai() -> None:
    """Take back what `instrument_openai` did; what it remembered is forgotten."""
    with _lock:
        _State.on = False
        for kind, (original, ours) in list(_State.replaced.items()):
            # What others put around ours stays, and ours then does nothing.
            if kind.__dict__.get("request") is ours:
                kind.request = original  # type: ignore[attr-defined] # a class of the client's
                del _State.replaced[kind]
        if _State.instrumentor is not None:
            _State.instrumentor.uninstrument()
            _State.instrumentor = None
        forget()


def _replace(kind: Any, observed: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    if kind not in _State.replaced:
        original = kind.request
        kind.request = observed(original)
        _State.replaced[kind] = original, kind.request


def _observed(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        origin = _origin(options)
        return _watch(original(self, cast_to, options, *args, **kwargs), origin)

    return request


def _async_observed(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        origin = _origin(options)
        return _watch(await original(self, cast_to, options, *args, **kwargs), origin)

    return request


def _origin(options: Any) -> Origin | None:
    """Where the model is asked from; None for what is no model's business."""
    if not _State.on:
        return None
    try:
        path = options.url
        if "/chat/completions" not in path and "/responses" not in path:
            return None
        origin = _origin_of(get_current_span(), again=options.method.upper() == "GET")
        if call_ids := _answers_in(options.json_data):
            answered(call_ids, origin.trace_id)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure(_REMEMBERING)
        return None
    return origin


def _origin_of(span: Any, *, again: bool) -> Origin:
    context = span.get_span_context()
    attributes = getattr(span, "attributes", None) or {}
    # Instrumentations of the model's calls make their span the current one.
    of_the_model = getattr(span, "kind", None) is SpanKind.CLIENT or attributes.get("openinference.span.kind") == "LLM"
    if not of_the_model:
        return Origin(context.trace_id, again=again)
    # Where it is the root of a trace of its own, the application is in none.
    trace_id = 0 if getattr(span, "parent", None) is None else context.trace_id
    return Origin(trace_id, context, again)


def _answers_in(body: Any) -> set[str]:
    """The ids of the calls whose results are sent to the model."""
    if not isinstance(body, Mapping):
        return set()
    items = [*_list(body.get("messages")), *_list(body.get("input"))]
    ids = (item.get("tool_call_id") or _output_of(item) for item in items if isinstance(item, Mapping))
    return {call_id for call_id in ids if isinstance(call_id, str)}


def _output_of(item: Mapping[str, Any]) -> Any:
    return item.get("call_id") if str(item.get("type")).endswith("_call_output") else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _watch(answer: Any, origin: Origin | None) -> Any:
    """Look at an answer, and give it back."""
    if origin is None:
        return answer
    try:
        if isinstance(getattr(answer, "_iterator", None), (Iterator, AsyncIterator)):
            if not isinstance(answer._iterator, _Watched):  # noqa: SLF001 - the one thing that all ways of reading a stream go through
                kind = _WatchedSync if isinstance(answer._iterator, Iterator) else _WatchedAsync  # noqa: SLF001 - as above
                answer._iterator = kind(answer._iterator, origin)  # noqa: SLF001 - as above
        elif hasattr(answer, "http_response") and callable(getattr(answer, "parse", None)):
            answer.parse = _parse_of(answer.parse, origin)
        else:
            _remember(asked_in(answer), origin)
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure(_REMEMBERING)
    return answer


def _remember(calls: list[Asked], origin: Origin) -> None:
    if calls and _State.on:
        expect(calls, origin)


def _parse_of(original: Callable[..., Any], origin: Origin) -> Callable[..., Any]:
    """The ``parse`` of a raw response, which gives the same object each time."""
    last: Any = None

    def watch(value: Any) -> Any:
        nonlocal last
        if value is not last:
            last = value
            _watch(value, origin)
        return value

    @functools.wraps(original)
    def parse(*args: Any, **kwargs: Any) -> Any:
        return watch(original(*args, **kwargs))

    @functools.wraps(original)
    async def async_parse(*args: Any, **kwargs: Any) -> Any:
        return watch(await original(*args, **kwargs))

    return async_parse if inspect.iscoroutinefunction(original) else parse


class _Watched:
    """The iterator of a stream, looked at in passing."""

    def __init__(self, inner: Any, origin: Origin) -> None:
        self._inner = inner
        self._origin = origin
        self._assembly = Assembly()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _see(self, event: Any) -> Any:
        try:
            _remember(self._assembly.see(event), self._origin)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure(_REMEMBERING)
        return event

    def _end(self) -> None:
        try:
            _remember(self._assembly.end(), self._origin)
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure(_REMEMBERING)


class _WatchedSync(_Watched):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._see(next(self._inner))
        except StopIteration:
            self._end()
            raise


class _WatchedAsync(_Watched):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._see(await anext(self._inner))
        except StopAsyncIteration:
            self._end()
            raise


def _opentelemetrys_own() -> Any:
    """Switch on OpenTelemetry's own instrumentation of the model's calls; None where that is not ours to do."""
    if _instrumented_by_others():
        return None
    for module in _OF_OPENTELEMETRY:
        try:
            instrumentor = import_module(module).OpenAIInstrumentor()
        except ImportError:
            continue
        if instrumentor.is_instrumented_by_opentelemetry:
            return None
        try:
            instrumentor.instrument()
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("switching on OpenTelemetry's instrumentation of openai")
            return None
        return instrumentor
    logger.info("spans of the model's calls need OpenTelemetry's instrumentation: pip install 'otel_tools[openai]'")
    return None


def _instrumented_by_others() -> bool:
    """Whether someone wraps the methods that the spans of the model's calls are made around."""
    import openai  # noqa: PLC0415 - as in instrument_openai
    from openai.resources.chat.completions import AsyncCompletions, Completions  # noqa: PLC0415 - as in instrument_openai
    from openai.resources.responses import AsyncResponses, Responses  # noqa: PLC0415 - as in instrument_openai

    package = Path(openai.__file__).parent
    methods = (kind.create for kind in (Completions, AsyncCompletions, Responses, AsyncResponses))
    return any(
        not isinstance(method, FunctionType) or not Path(method.__code__.co_filename).is_relative_to(package)
        for method in methods
    )
