"""`Cache`: the values of earlier calls instead of new ones, for a while."""

from __future__ import annotations

import inspect
import math
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from otel_tools._policies.cache.canonical_arguments import Unkeyable
from otel_tools._policies.cache.keys import Owner, prefix_of
from otel_tools._policies.cache.lookup import Caching
from otel_tools._policies.cache.memory import Entries
from otel_tools._policies.cache.single_flight import Flights
from otel_tools._policies.checks import is_number
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import CacheStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Policy

    Prepare = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]

__all__ = ["Cache", "CacheInfo", "ToolCache"]


class CacheInfo(NamedTuple):
    """What the cache of one tool did in this process, in calls, and what it holds.

    Attributes:
        hits: Got a value that was there.
        misses: Found none, and ran the function.
        size: Entries of this tool that are kept, also those only kept for ``stale_if_error``.
        maxsize: Entries that there is room for, shared by all tools of the `Cache`; None where its store does not say.
        coalesced: Got what another call brought, which was already under way.
        stale: Failed, and got an expired value.
        bypassed: Could not be cached: their arguments, their value, or the store.
    """

    hits: int
    misses: int
    size: int
    maxsize: float | None
    coalesced: int
    stale: int
    bypassed: int


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """Keep what a tool returned, and give it to later calls with the same arguments.

    Arguments are the same when the function could not tell them apart: ``f(1)``, ``f(x=1)`` and a default given
    explicitly are one entry; ``1``, ``1.0`` and ``True`` are three. Dictionaries (whatever their order), lists, sets,
    dataclasses and pydantic models are compared by what they contain. A call with an argument that can only be told by
    its identity goes past the cache, and is counted as ``bypass``.

    Calls with the same arguments at the same time run the function once: one goes, the others wait and get a copy, or
    the same error. Errors are never kept. Every caller gets a copy; a value that cannot be copied is not kept.

    Methods are cached for each instance, which is not kept alive by it. The instance counts by identity.

    One `Cache` given to several tools shares its room among them, never its values.

    Args:
        ttl: Seconds that a value is good for, above 0; ``math.inf`` in memory for ever.
        maxsize: Entries kept in memory, at least 1; the least recently used goes first. A ``store`` has its own bound.
        key: Called with the arguments, a dictionary by parameter name (``self`` among them), gives what tells calls
            apart in their place: any value that could be an argument.
        store: Where to keep the values instead: any `MutableMapping` of the process, such as a ``cachetools.LFUCache``,
            which then holds entries with the attribute ``value``; or a store that outlives the process or is shared by
            several: ``SQLiteStore``, ``RedisStore``, or your own `CacheStore`. Those know a tool by its name alone, and
            only take what comes back from JSON as what it was.
        stale_if_error: When a call fails, serve an expired value that expired at most so many seconds ago.
        cache_if: Called with each value that the function returned; where it is false, the value is not kept.

    Raises:
        ConfigurationError: An option has a value that cannot work.
    """

    ttl: float
    maxsize: int = 1024
    key: Callable[[dict[str, Any]], Any] | None = None
    store: MutableMapping[Any, Any] | CacheStore | None = None
    stale_if_error: float | None = None
    cache_if: Callable[[Any], object] | None = None
    _entries: Entries = field(init=False, repr=False)
    _flights: Flights = field(init=False, repr=False)
    _tools: WeakValueDictionary[tuple[str, int], Caching] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _is_time(self.ttl) or not self.ttl > 0:
            raise ConfigurationError(f"Cache(ttl={self.ttl!r}): seconds above 0 are needed, such as 300")
        if isinstance(self.maxsize, bool) or not isinstance(self.maxsize, int) or self.maxsize < 1:
            raise ConfigurationError(
                f"Cache(maxsize={self.maxsize!r}): a whole number of entries is needed, at least 1"
            )
        if self.stale_if_error is not None and (not _is_time(self.stale_if_error) or self.stale_if_error < 0):
            raise ConfigurationError(
                f"Cache(stale_if_error={self.stale_if_error!r}): seconds are needed, 0 or more, or None for never"
            )
        for name, function in (("key", self.key), ("cache_if", self.cache_if)):
            if function is not None and (not callable(function) or inspect.iscoroutinefunction(function)):
                raise ConfigurationError(f"Cache({name}={function!r}): a plain function of one argument is needed")
        self._check_store()
        shared = {"_entries": self._memory(), "_flights": Flights(), "_tools": WeakValueDictionary()}
        for name, value in shared.items():
            object.__setattr__(self, name, value)

    def _check_store(self) -> None:
        store = self.store
        if isinstance(store, type) or not (store is None or isinstance(store, (MutableMapping, CacheStore))):
            raise ConfigurationError(
                f"Cache(store={store!r}): a MutableMapping, SQLiteStore(path), RedisStore(url) or an object with the "
                "methods of otel_tools.stores.CacheStore is needed"
            )
        if self._lasting is not None and math.isinf(self.ttl + (self.stale_if_error or 0.0)):
            raise ConfigurationError(
                f"Cache(ttl={self.ttl!r}, stale_if_error={self.stale_if_error!r}): a store needs an end, in seconds"
            )

    @property
    def _lasting(self) -> CacheStore | None:
        """The store, where it is none of this process's memory."""
        return self.store if isinstance(self.store, CacheStore) else None

    def _memory(self) -> Entries:
        if self.store is not None and not isinstance(self.store, CacheStore):
            return Entries(partial(_same, self.store), owned=False)
        from cachetools import LRUCache  # noqa: PLC0415 - `import otel_tools` must not load it

        # Entries know their age. A TTLCache, which would forget old ones a little earlier, takes thrice the time.
        return Entries(partial(LRUCache, self.maxsize), owned=True)

    def policy(self, info: ToolInfo) -> Policy:
        """The policy of one tool.

        Raises:
            ConfigurationError: The tool cannot be cached, or not in this store.
        """
        return self._tool(info).policy

    def handle(self, info: ToolInfo, prepare: Prepare | None = None) -> ToolCache:
        """What the tool's owner may do with its part of the cache.

        Args:
            info: The tool.
            prepare: Gives a caller's arguments as they are when they reach the cache; None leaves them as they are.

        Raises:
            ConfigurationError: As `policy`.
        """
        return ToolCache(self._tool(info), prepare)

    def clear(self) -> None:
        """Forget the values of all tools that share this cache; the errors of a store are raised."""
        self._clear_memory()
        for caching in list(self._tools.values()):
            ToolCache(caching).clear()

    async def aclear(self) -> None:
        """As `clear`, without blocking the event loop."""
        self._clear_memory()
        for caching in list(self._tools.values()):
            await ToolCache(caching).aclear()

    def _clear_memory(self) -> None:
        # Also what tools left behind that are gone.
        self._entries.clear(lambda owner: isinstance(owner, Owner) and owner.entries is self._entries)

    def _tool(self, info: ToolInfo) -> Caching:
        """The same for the same function under the same name, however often it is decorated with this."""
        if info.generator:
            raise ConfigurationError(f"tool {info.tool!r}: cache= keeps one value, and a generator has many")
        if self._lasting is not None and self.key is None and info.arguments.receiver == "self":
            raise ConfigurationError(
                f"tool {info.tool!r}: a method is cached for each instance, and instances mean nothing in "
                f"{type(self.store).__name__}; say what tells them apart, such as "
                "Cache(key=lambda arguments: (arguments['self'].id, arguments['city']))"
            )
        known = info.tool, id(info.function)
        with self._entries.lock:
            caching = self._tools.get(known)
            if caching is None:
                caching = self._tools[known] = Caching(self, info, self._entries, self._flights, self._lasting)
        return caching


class ToolCache:
    """The part of a `Cache` that is one tool's: ``fn.tool.cache``.

    Methods block where the cache is kept in a store; those that begin with an ``a`` await. They raise its errors.
    What is being computed while its entry is forgotten reaches its callers, and is not kept.
    """

    def __init__(self, caching: Caching, prepare: Prepare | None = None) -> None:
        self._caching = caching
        self._prepare = prepare
        self._entries = caching.entries
        self._flights = caching.flights
        self._store = caching.store
        self._prefix = prefix_of(caching.owner.tool)

    def clear(self) -> None:
        """Forget all values of this tool."""
        self._flights.outdate(self._is_mine)
        if self._store is None:
            self._entries.clear(self._is_owner)
        else:
            self._store.clear(self._prefix)

    async def aclear(self) -> None:
        """As `clear`."""
        self._flights.outdate(self._is_mine)
        if self._store is None:
            self._entries.clear(self._is_owner)
        else:
            await self._store.aclear(self._prefix)

    def invalidate(self, /, *args: Any, **kwargs: Any) -> None:
        """Forget the value of a call with these arguments; of a method, the instance is the first.

        Raises:
            TypeError: The tool does not take such arguments.
            InvalidArguments: They are not those that it validates.
        """
        key = self._outdated(args, kwargs)
        if key is not None and self._store is None:
            self._entries.drop(key)
        elif key is not None and self._store is not None:
            self._store.delete(key)

    async def ainvalidate(self, /, *args: Any, **kwargs: Any) -> None:
        """As `invalidate`."""
        key = self._outdated(args, kwargs)
        if key is not None and self._store is None:
            self._entries.drop(key)
        elif key is not None and self._store is not None:
            await self._store.adelete(key)

    def info(self) -> CacheInfo:
        """What it did and holds."""
        return self._info(
            self._entries.count(self._is_owner) if self._store is None else self._store.count(self._prefix)
        )

    async def ainfo(self) -> CacheInfo:
        """As `info`."""
        if self._store is None:
            return self.info()
        return self._info(await self._store.acount(self._prefix))

    def _is_owner(self, owner: Any) -> bool:
        return owner is self._caching.owner

    def _is_mine(self, key: Any) -> bool:
        return key.startswith(self._prefix) if isinstance(key, str) else key[0] is self._caching.owner

    def _outdated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The key of a call, whose flight is not waited for any more; None where such calls are not cached."""
        try:
            if self._prepare is not None:
                args, kwargs = self._prepare(args, kwargs)
            key = self._caching.key_of(args, kwargs)
        except Unkeyable:
            return None
        self._flights.outdate(lambda other: bool(other == key))
        return key

    def _info(self, size: int) -> CacheInfo:
        maxsize = self._entries.maxsize if self._store is None else getattr(self._store, "maxsize", None)
        with self._entries.lock:
            counts = dict(self._caching.counts)
        return CacheInfo(
            counts["hit"], counts["miss"], size, maxsize, counts["coalesced"], counts["stale"], counts["bypass"]
        )

    def __repr__(self) -> str:
        return f"<ToolCache {self._caching.owner.tool!r}>"


def _is_time(value: Any) -> bool:
    return is_number(value) or value == math.inf


def _same(value: Any) -> Any:
    return value
