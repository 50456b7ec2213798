"""What does the function's own tenacity, cachetools or lru_cache do? It keeps doing it, and telemetry hears of it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.scope import Scope, current
from otel_tools._policies.retry.decision import is_async
from otel_tools._policies.third_party_counts import counts_of
from otel_tools.errors import ConfigurationError, ToolError, error_type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import CacheResult, Call, Flow, Next, Outcome, Policy

    Answer = Callable[[bool], CacheResult | None]
    """What the cache said to a call that has ended, told whether it failed; None where it was not asked."""

__all__ = ["around_decorated"]

_DEEPEST_WRAPPER: Final = 32


def around_decorated(info: ToolInfo, *, has_cache: bool = False) -> Policy | None:
    """A policy that reports the retries and cache hits of a function that was decorated before it became a tool.

    Known are tenacity's ``retry``, sync and async, `functools.lru_cache` and `functools.cache`, cachetools' ``cached``
    and the bound methods of its ``cachedmethod``, in any order, also with other decorators over them that use
    `functools.wraps`. A hit of a cachetools cache without ``info=True`` is known by asking for the key before the
    call, which is only done where nothing stands over the cache that could change the arguments.

    Args:
        info: The tool.
        has_cache: Whether the tool has a ``cache`` policy: its answer is the call's, and the function's own cache,
            under it, is not reported a second time.

    Returns:
        The policy; None where the function is not decorated so, or nothing of it is to be reported.

    Raises:
        ConfigurationError: It is cachetools' ``cachedmethod``, over which no decorator works.
    """
    layers = list(_layers(info.function))
    if any(type(layer).__module__ == "cachetools._descriptor" for layer in layers):
        raise ConfigurationError(
            f"tool {info.tool!r}: cachetools' cachedmethod must be the outermost decorator; put @tool under it, or "
            "make the tool of an instance's method: tool(instance.method)"
        )
    watches = _watches(layers)
    ask = None if has_cache else _ask(layers)
    if ask is None and not watches:
        return None

    def policy(inner: Next) -> Next:
        flow = inner if ask is None else _answering(inner, ask)
        return _watched(flow, watches) if watches else flow

    return policy


def _layers(function: Any) -> Iterator[Any]:
    """The function and what it wraps, outermost first; not beyond another tool, which reports for itself."""
    for _ in range(_DEEPEST_WRAPPER):
        known = getattr(function, "tool", None)
        if function is None or (known is not None and getattr(known, "wrapper", None) is function):
            return
        yield function
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        else:
            function = getattr(function, "__wrapped__", None)


class _Scope(Scope):
    """The scope of a call to a function that has a cache of its own.

    Attributes:
        answered: Whether the cache's answer has been reported: a call that is retried reports the first.
    """

    __slots__ = ("answered",)
    answered: bool


def _scope_of(call: Call) -> _Scope:
    """The call's scope, in which the running function finds the call. It stays there for the next attempt."""
    scope = call.scope
    if isinstance(scope, _Scope):
        return scope
    mine = _Scope(call, None, current.get()) if scope is None else _Scope(call, scope.deadline, scope.outer)
    mine.answered = False
    call.scope = mine
    return mine


class _Watch:
    """A ``before_sleep`` of a tenacity retry: tells the running call that it tries again, and does what was there.

    ``before`` would come nearer to the attempt, but there tenacity has forgotten the error.

    Attributes:
        calls: The calls, of any tool, whose function this is. The same function may be called by another tool's too.
        before: What was there.
    """

    def __init__(self, before: Any) -> None:
        self.before = before
        self.calls: set[Call] = set()

    def __call__(self, state: Any) -> Any:
        self.tell(state)
        return None if self.before is None else self.before(state)

    def __reduce__(self) -> Any:
        # A copied or pickled retry goes on as it would have, and is no longer watched.
        return (_unwatched, (self.before,))

    def tell(self, state: Any) -> None:
        with contextlib.suppress(Exception):
            scope = current.get()
            if scope is None or scope.call is None or scope.call not in self.calls:
                return
            error = state.outcome.exception()
            scope.call.retried(ToolError.error_type if error is None else error_type_of(error))


class _AsyncWatch(_Watch):
    """As `_Watch`, for a ``before_sleep`` that must be awaited."""

    async def __call__(self, state: Any) -> Any:
        self.tell(state)
        return await self.before(state)


def _unwatched(before: Any) -> Any:
    return before


def _watches(layers: list[Any]) -> list[_Watch]:
    """What listens to the tenacity retries of a function, each of which is listened to once."""
    tenacity = sys.modules.get("tenacity")
    if tenacity is None:
        return []
    watches = []
    for layer in layers:
        retrying = getattr(layer, "retry", None)
        if not isinstance(retrying, tenacity.BaseRetrying):
            continue
        if not isinstance(retrying.before_sleep, _Watch):
            awaited = retrying.before_sleep is not None and is_async(retrying.before_sleep)
            retrying.before_sleep = (_AsyncWatch if awaited else _Watch)(retrying.before_sleep)
        if retrying.before_sleep not in watches:
            watches.append(retrying.before_sleep)
    return watches


def _watched(inner: Next, watches: list[_Watch]) -> Next:
    def flow(call: Call) -> Flow:
        _scope_of(call)
        for watch in watches:
            watch.calls.add(call)
        try:
            return (yield from inner(call))
        finally:
            for watch in watches:
                watch.calls.discard(call)

    return flow


def _answering(inner: Next, ask: Callable[[Call], Answer]) -> Next:
    def flow(call: Call) -> Flow:
        scope = _scope_of(call)
        answer = ask(call)
        outcome: Outcome | None = None
        try:
            outcome = yield from inner(call)
        finally:
            said = answer(outcome is None or outcome.error is not None)
            if said is not None and not scope.answered:
                scope.answered = True
                call.cache_answered(said)
        if said == "hit" and outcome.result == "ok":
            outcome.result = "cached"
        return outcome

    return flow


def _ask(layers: list[Any]) -> Callable[[Call], Answer] | None:
    """How the outermost cache of a function is asked about a call, at its start and again at its end."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for layer in layers:
        if _has_info(layer):
            return _by_counts(layer)
        package = _package_of(layer)
        if isinstance(layer, functools.partial):
            args, kwargs = (*layer.args, *args), {**layer.keywords, **kwargs}
        elif isinstance(layer, types.MethodType):
            args = (layer.__self__, *args)
        elif package == "cachetools" and hasattr(layer, "cache") and callable(getattr(layer, "cache_key", None)):
            return _by_key(layer, args, kwargs)
        elif package != "tenacity":
            # It may call with other arguments, or not at all: only counts could tell.
            return next((_by_counts(inner) for inner in layers if _has_info(inner)), None)
    return None


def _has_info(layer: Any) -> bool:
    # A mock has every attribute that it is asked for, and remembers being called.
    if inspect.getattr_static(layer, "cache_info", None) is None:
        return False
    try:
        info = layer.cache_info()
        return isinstance(info.hits, int) and isinstance(info.misses, int)
    except Exception:  # noqa: BLE001 - anything may be called so
        return False


def _package_of(layer: Any) -> str:
    """The package that made a wrapper; `functools.wraps` gives it the module of what it wraps."""
    namespace = getattr(layer, "__globals__", None)
    module = type(layer).__module__ if namespace is None else namespace.get("__name__")
    return str(module).partition(".")[0]


def _by_counts(layer: Any) -> Callable[[Call], Answer]:
    counts, info = counts_of(layer), layer.cache_info
    return lambda _call: counts.begin(info)


def _by_key(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Call], Answer]:
    def ask(call: Call) -> Answer:
        held = _holds(layer, (*args, *call.args), {**kwargs, **call.kwargs})

        def answer(failed: bool) -> CacheResult | None:
            if held is None or (held and failed):
                return None
            return "hit" if held else "miss"

        return answer

    return ask


def _holds(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | None:
    """Whether a cache holds the result of a call; None where it cannot be asked."""
    with contextlib.suppress(Exception):
        cache, lock = layer.cache, layer.cache_lock
        if not hasattr(cache, "__contains__"):
            # Before cachetools 6 these are the functions of the instance that cachedmethod was given.
            cache, lock = cache(args[0]), None if lock is None else lock(args[0])
        key = layer.cache_key(*args, **kwargs)
        with contextlib.nullcontext() if lock is None else lock:
            return key in cache
    return None
