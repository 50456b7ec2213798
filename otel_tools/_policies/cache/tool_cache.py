"""`ToolCache`: the part of a cache that belongs to one tool, as ``fn.tool.cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otel_tools._policies.cache.canonical_arguments import NoCacheKeyError
from otel_tools._policies.cache.keys import store_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._policies.cache.lookup import CachePolicy

    PrepareArguments = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
    """Gives a caller's arguments as they are when they reach the cache."""

__all__ = ["CacheInfo", "ToolCache"]


class CacheInfo(NamedTuple):
    """Numbers of one tool's cache in this process: calls by result, and entries.

    Attributes:
        hits: Calls that got a kept value.
        misses: Calls that found none, and ran the function.
        size: Entries of this tool that are kept, also those only kept for ``stale_if_error``.
        maxsize: Entries that there is room for, shared by all tools of the `Cache`; None where its store does not say.
        coalesced: Calls that got the result of another call, which was already running.
        stale: Calls that failed, and got an expired value.
        bypassed: Calls that could not be cached: their arguments, their value, or the store.
    """

    hits: int
    misses: int
    size: int
    maxsize: float | None
    coalesced: int
    stale: int
    bypassed: int


class ToolCache:
    """The part of a `Cache` that belongs to one tool: ``fn.tool.cache``.

    Methods block where the cache is kept in a store; those that begin with an ``a`` await. They raise the store's
    errors. A value that is being computed while its entry is removed reaches its callers, and is not kept.
    """

    def __init__(self, cache_policy: CachePolicy, prepare: PrepareArguments | None = None) -> None:
        self._cache_policy = cache_policy
        self._prepare = prepare
        self._memory = cache_policy.memory
        self._in_flight = cache_policy.in_flight
        self._store = cache_policy.store
        self._prefix = store_prefix(cache_policy.namespace.tool)

    def clear(self) -> None:
        """Remove all values of this tool."""
        self._in_flight.outdate(self._has_key)
        if self._store is None:
            self._memory.clear(self._has_namespace)
        else:
            self._store.clear(self._prefix)

    async def aclear(self) -> None:
        """As `clear`."""
        self._in_flight.outdate(self._has_key)
        if self._store is None:
            self._memory.clear(self._has_namespace)
        else:
            await self._store.aclear(self._prefix)

    def invalidate(self, /, *args: Any, **kwargs: Any) -> None:
        """Remove the value of a call with these arguments; of a method, the instance is the first.

        Raises:
            TypeError: The tool does not take such arguments.
            InvalidArguments: They are not those that it validates.
        """
        key = self._outdated_key(args, kwargs)
        if key is not None and self._store is None:
            self._memory.drop(key)
        elif key is not None and self._store is not None:
            self._store.delete(key)

    async def ainvalidate(self, /, *args: Any, **kwargs: Any) -> None:
        """As `invalidate`."""
        key = self._outdated_key(args, kwargs)
        if key is not None and self._store is None:
            self._memory.drop(key)
        elif key is not None and self._store is not None:
            await self._store.adelete(key)

    def info(self) -> CacheInfo:
        """The numbers of this tool's cache."""
        return self._info(
            self._memory.count(self._has_namespace) if self._store is None else self._store.count(self._prefix)
        )

    async def ainfo(self) -> CacheInfo:
        """As `info`."""
        if self._store is None:
            return self.info()
        return self._info(await self._store.acount(self._prefix))

    def _has_namespace(self, namespace: Any) -> bool:
        return namespace is self._cache_policy.namespace

    def _has_key(self, key: Any) -> bool:
        return key.startswith(self._prefix) if isinstance(key, str) else key[0] is self._cache_policy.namespace

    def _outdated_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The key of a call, whose running calls are outdated by this; None where such calls are not cached."""
        try:
            if self._prepare is not None:
                args, kwargs = self._prepare(args, kwargs)
            key = self._cache_policy.key_of(args, kwargs)
        except NoCacheKeyError:
            return None
        self._in_flight.outdate(lambda other: bool(other == key))
        return key

    def _info(self, size: int) -> CacheInfo:
        maxsize = self._memory.maxsize if self._store is None else getattr(self._store, "maxsize", None)
        with self._memory.lock:
            counts = dict(self._cache_policy.counts)
        return CacheInfo(
            counts["hit"], counts["miss"], size, maxsize, counts["coalesced"], counts["stale"], counts["bypass"]
        )

    def __repr__(self) -> str:
        return f"<ToolCache {self._cache_policy.namespace.tool!r}>"
