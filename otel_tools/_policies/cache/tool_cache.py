"""`ToolCache`: the part of a cache that belongs to one tool, as ``fn.tool.cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otel_tools._call.drive import arun_steps, run_steps
from otel_tools._policies.cache.backends import StoreUnavailable
from otel_tools._policies.cache.canonical_arguments import NoCacheKeyError
from otel_tools._policies.cache.keys import store_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._policies.cache.backends import Steps
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
    errors. A value that is being computed while its entry is removed or put reaches its callers, and is not kept.
    What is got and put by hand is no call of the tool: it is in no count.
    """

    def __init__(self, cache_policy: CachePolicy, prepare: PrepareArguments | None = None) -> None:
        self._cache_policy = cache_policy
        self._prepare = prepare
        self._memory = cache_policy.memory
        self._in_flight = cache_policy.in_flight
        self._store = cache_policy.store
        self._prefix = store_prefix(cache_policy.namespace.tool)

    def get(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return a copy of the fresh value for these arguments, without a call; of a method, the instance is the first.

        Returns:
            The value; None if there is none, if it has expired, or if such calls are not cached.

        Raises:
            TypeError: The tool does not take such arguments.
            InvalidArguments: They are not those that it validates.
        """
        return run_steps(_of_store(self._get(args, kwargs)))

    async def aget(self, /, *args: Any, **kwargs: Any) -> Any:
        """As `get`."""
        return await arun_steps(_of_store(self._get(args, kwargs)))

    def put(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """Keep a copy of a value, which calls with these arguments then get; of a method, the instance is the first.

        ``cache_if`` is not asked.

        Args:
            value: The value.
            *args: The arguments of the call.
            **kwargs: Its arguments by name.

        Raises:
            TypeError: The tool does not take such arguments, calls with them are not cached, or the value cannot be
                kept: it cannot be copied or, in a store, JSON would not give it back unchanged.
            InvalidArguments: They are not those that it validates.
        """
        run_steps(_of_store(self._put(value, args, kwargs)))

    async def aput(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """As `put`."""
        await arun_steps(_of_store(self._put(value, args, kwargs)))

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

    def _get(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
        key = self._key(args, kwargs)
        return None if key is None else (yield from self._cache_policy.kept.value(key))

    def _put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
        key, tool = self._outdated_key(args, kwargs), self._cache_policy.namespace.tool
        if key is None:
            raise TypeError(
                f"tool {tool!r}: cache.put() got arguments that only their identity tells apart; calls with such "
                "arguments are not cached"
            )
        if not (yield from self._cache_policy.kept.put(key, value)):
            what = "cannot be copied" if self._store is None else "is none that JSON gives back unchanged"
            raise TypeError(
                f"tool {tool!r}: cache.put() got a {type(value).__qualname__} that {what}, so it is not kept"
            )

    def _outdated_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The key of a call, whose running calls are outdated by this; None where such calls are not cached."""
        key = self._key(args, kwargs)
        if key is not None:
            self._in_flight.outdate(lambda other: bool(other == key))
        return key

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The key of a call; None where such calls are not cached."""
        if self._prepare is not None:
            args, kwargs = self._prepare(args, kwargs)
        try:
            return self._cache_policy.key_of(args, kwargs)
        except NoCacheKeyError:
            return None

    def _info(self, size: int) -> CacheInfo:
        maxsize = self._memory.maxsize if self._store is None else getattr(self._store, "maxsize", None)
        with self._memory.lock:
            counts = dict(self._cache_policy.counts)
        return CacheInfo(
            counts["hit"], counts["miss"], size, maxsize, counts["coalesced"], counts["stale"], counts["bypass"]
        )

    def __repr__(self) -> str:
        return f"<ToolCache {self._cache_policy.namespace.tool!r}>"


def _of_store(steps: Steps) -> Steps:
    """The steps, which raise the error of the store itself."""
    try:
        return (yield from steps)
    except StoreUnavailable as failure:
        raise failure.error from None
