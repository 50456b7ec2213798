"""Reports the retries and cache hits of functions that are already under tenacity, cachetools or `functools.lru_cache`.

The function's own decorators keep doing what they do.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.error_types import error_type_of
from otel_tools._call.scope import Scope, current_scope
from otel_tools._policies.third_party_counts import counts_of
from otel_tools._policies.third_party_private import is_async, is_cached, is_cachedmethod, made_by, retrying_of
from otel_tools.errors import ConfigurationError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import CacheResult, Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._call.steps import Flow, Next, Policy

    ReadResult = Callable[[bool], CacheResult | None]
    """Called at the end of a call, with whether it failed: what the cache answered; None where it was not asked."""

    Probe = Callable[[Call], ReadResult]
    """Called at the start of a call."""

__all__ = ["third_party_policy"]

_MAX_LAYERS: Final = 32


def third_party_policy(info: ToolInfo, *, has_cache: bool = False) -> Policy | None:
    """A policy that reports the retries and cache hits of a function that was decorated before it became a tool.

    Recognised are tenacity's ``retry``, sync and async, `functools.lru_cache` and `functools.cache`, cachetools'
    ``cached`` and the bound methods of its ``cachedmethod``, in any order, also under other decorators that use
    `functools.wraps`. For a cachetools cache without ``info=True`` the policy looks the key up before the call. It
    does so only where no other decorator stands over the cache, since one could change the arguments.

    Args:
        info: The tool.
        has_cache: Whether the tool has a ``cache`` policy. Then that policy's result is the call's, and the function's
            own cache, under it, is not reported as well.

    Returns:
        The policy; None where the function has no such decorator, or nothing of it is to be reported.

    Raises:
        ConfigurationError: It is cachetools' ``cachedmethod``, over which no decorator works.
    """
    layers = list(_layers(info.function))
    if any(map(is_cachedmethod, layers)):
        raise ConfigurationError(
            f"tool {info.tool!r}: cachetools' cachedmethod must be the outermost decorator; put @tool under it, or "
            "make the tool of an instance's method: tool(instance.method)"
        )
    listeners = _listeners(layers)
    probe = None if has_cache else _probe(layers)
    if probe is None and not listeners:
        return None

    def policy(inner: Next) -> Next:
        flow = inner if probe is None else _reporting_cache(inner, probe)
        return _reporting_retries(flow, listeners) if listeners else flow

    return policy


def _layers(function: Any) -> Iterator[Any]:
    """The function and what it wraps, outermost first; not beyond another tool, which reports for itself."""
    for _ in range(_MAX_LAYERS):
        tool = getattr(function, "tool", None)
        if function is None or (tool is not None and getattr(tool, "wrapper", None) is function):
            return
        yield function
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        else:
            function = getattr(function, "__wrapped__", None)


class _Scope(Scope):
    """The scope of a call to a decorated function.

    Attributes:
        reported: Whether the result of the function's cache has been reported. A call that is retried reports the
            first.
    """

    __slots__ = ("reported",)
    reported: bool


def _scope_of(call: Call) -> _Scope:
    """The call's scope, by which the function's decorators find the call. It stays for the next attempt."""
    scope = call.scope
    if isinstance(scope, _Scope):
        return scope
    mine = _Scope(call, None, current_scope.get()) if scope is None else _Scope(call, scope.deadline, scope.outer)
    mine.reported = False
    call.scope = mine
    return mine


class _RetryListener:
    """A ``before_sleep`` of tenacity that reports a retry to the running call and then calls the earlier hook.

    ``before`` runs nearer to the attempt, but by then tenacity has forgotten the error.

    Attributes:
        calls: The running calls of the tools of this function, by the owner of their scopes. Another tool may call
            the same function.
        earlier: The ``before_sleep`` in whose place it is, or None.
    """

    def __init__(self, earlier: Any) -> None:
        self.earlier = earlier
        self.calls: dict[object, Call] = {}

    def __call__(self, state: Any) -> Any:
        self.report(state)
        return None if self.earlier is None else self.earlier(state)

    def __reduce__(self) -> Any:
        # A copied or pickled retry has its earlier hook, and no listener.
        return (_same, (self.earlier,))

    def report(self, state: Any) -> None:
        with contextlib.suppress(Exception):
            scope = current_scope.get()
            call = None if scope is None else self.calls.get(scope.owner)
            if call is None:
                return
            error = state.outcome.exception()
            call.retried(ToolError.error_type if error is None else error_type_of(error))


class _AsyncRetryListener(_RetryListener):
    """As `_RetryListener`, for an earlier ``before_sleep`` that must be awaited."""

    async def __call__(self, state: Any) -> Any:
        self.report(state)
        return await self.earlier(state)


def _same(value: Any) -> Any:
    return value


def _listeners(layers: list[Any]) -> list[_RetryListener]:
    """The listeners of a function's tenacity retries, one for each."""
    listeners: list[_RetryListener] = []
    for layer in layers:
        if (retrying := retrying_of(layer)) is None:
            continue
        listener = retrying.before_sleep
        if not isinstance(listener, _RetryListener):
            awaited = listener is not None and is_async(listener)
            listener = retrying.before_sleep = (_AsyncRetryListener if awaited else _RetryListener)(listener)
        if listener not in listeners:
            listeners.append(listener)
    return listeners


def _reporting_retries(inner: Next, listeners: list[_RetryListener]) -> Next:
    def flow(call: Call) -> Flow:
        _scope_of(call)
        for listener in listeners:
            listener.calls[call] = call
        try:
            return (yield from inner(call))
        finally:
            for listener in listeners:
                listener.calls.pop(call, None)

    return flow


def _reporting_cache(inner: Next, probe: Probe) -> Next:
    def flow(call: Call) -> Flow:
        scope = _scope_of(call)
        read = probe(call)
        outcome: Outcome | None = None
        try:
            outcome = yield from inner(call)
        finally:
            result = read(outcome is None or outcome.error is not None)
            if result is not None and not scope.reported:
                scope.reported = True
                call.cache_answered(result)
        if result == "hit" and outcome.result == "ok":
            outcome.result = "cached"
        return outcome

    return flow


def _probe(layers: list[Any]) -> Probe | None:
    """The probe that finds out what the outermost cache of a function answers to a call."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for layer in layers:
        if _has_info(layer):
            return _probe_by_counts(layer)
        if isinstance(layer, functools.partial):
            args, kwargs = (*layer.args, *args), {**layer.keywords, **kwargs}
        elif isinstance(layer, types.MethodType):
            args = (layer.__self__, *args)
        elif is_cached(layer):
            return _probe_by_key(layer, args, kwargs)
        elif made_by(layer) != "tenacity":
            # It may call with other arguments, or not at all: only counts could tell.
            return next((_probe_by_counts(inner) for inner in layers if _has_info(inner)), None)
    return None


def _has_info(layer: Any) -> bool:
    # A mock has every attribute, and records each call: it is not to be called here.
    if inspect.getattr_static(layer, "cache_info", None) is None:
        return False
    try:
        info = layer.cache_info()
        return isinstance(info.hits, int) and isinstance(info.misses, int)
    except Exception:  # noqa: BLE001 - anything may be called so
        return False


def _probe_by_counts(layer: Any) -> Probe:
    counts, info = counts_of(layer), layer.cache_info
    return lambda _call: counts.begin(info)


def _probe_by_key(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probe:
    def probe(call: Call) -> ReadResult:
        found = _is_kept(layer, (*args, *call.args), {**kwargs, **call.kwargs})

        def read(failed: bool) -> CacheResult | None:
            if found is None or (found and failed):
                return None
            return "hit" if found else "miss"

        return read

    return probe


def _is_kept(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | None:
    """Whether a cache keeps the result of a call; None where it cannot be asked."""
    with contextlib.suppress(Exception):
        cache, lock = layer.cache, layer.cache_lock
        if not hasattr(cache, "__contains__"):
            # Before cachetools 6 these are the functions of the instance that cachedmethod was given.
            cache, lock = cache(args[0]), None if lock is None else lock(args[0])
        key = layer.cache_key(*args, **kwargs)
        with contextlib.nullcontext() if lock is None else lock:
            return key in cache
    return None
