"""`Cache`: keeps the values of earlier calls for a while, and returns them in place of new calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from otel_tools._option_names import check_option_names
from otel_tools._policies.cache.keys import Namespace
from otel_tools._policies.cache.lookup import CachePolicy
from otel_tools._policies.cache.memory import CacheMemory
from otel_tools._policies.cache.options import CacheOptions
from otel_tools._policies.cache.single_flight import InFlightCalls
from otel_tools._policies.cache.tool_cache import ToolCache
from otel_tools._policies.checks import check_store
from otel_tools._policies.pickling import PickledByOptions
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import CacheStore

if TYPE_CHECKING:
    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Policy
    from otel_tools._policies.cache.tool_cache import PrepareArguments

__all__ = ["Cache"]


@check_option_names
@dataclass(frozen=True, slots=True, eq=False)
class Cache(PickledByOptions, CacheOptions):
    """Keep what a tool returned, and return it to later calls with the same arguments.

    Arguments are the same when the function could not tell them apart: ``f(1)``, ``f(x=1)`` and a default given
    explicitly are one entry; ``1``, ``1.0`` and ``True`` are three. Dictionaries (whatever their order), lists, sets,
    dataclasses and pydantic models are compared by what they contain. A call with an argument that can only be told by
    its identity bypasses the cache, and is counted as ``bypass``.

    Calls with the same arguments at the same time run the function once: one runs it, the others wait and get a copy,
    or the same error. Errors are never kept. Every caller gets a copy; a value that cannot be copied is not kept.

    Methods are cached for each instance, which is not kept alive by it. The instance counts by identity.

    One `Cache` given to several tools shares its room among them, never its values.

    Args:
        ttl: Seconds for which a value is fresh, above 0; ``math.inf`` in memory for ever.
        maxsize: Entries kept in memory, at least 1; the least recently used is removed first. A ``store`` has its own
            bound.
        key: Called with the arguments, a dictionary by parameter name (``self`` among them), returns what tells calls
            apart in their place: any value that could be an argument.
        store: Where to keep the values instead: any `MutableMapping` of the process, such as a ``cachetools.LFUCache``,
            which then holds entries with the attribute ``value``; or a store that outlives the process or is shared by
            several: ``SQLiteStore``, ``RedisStore``, or your own `CacheStore`. Those know a tool by its name alone, and
            only keep values that JSON gives back unchanged.
        stale_if_error: When a call fails, serve an expired value that expired at most so many seconds ago.
        cache_if: Called with each value that the function returned; where it is false, the value is not kept.

    Raises:
        ConfigurationError: An option has a value that cannot work.
    """

    _memory: CacheMemory = field(init=False, repr=False)
    _in_flight: InFlightCalls = field(init=False, repr=False)
    _tools: WeakValueDictionary[tuple[str, int], CachePolicy] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work, and make what the tools of this cache share."""
        CacheOptions.__post_init__(self)
        shared = {"_memory": self._new_memory(), "_in_flight": InFlightCalls(), "_tools": WeakValueDictionary()}
        for name, value in shared.items():
            object.__setattr__(self, name, value)

    def _new_memory(self) -> CacheMemory:
        if self.store is not None and not isinstance(self.store, CacheStore):
            return CacheMemory(partial(_same, self.store), owned=False)
        from cachetools import LRUCache  # noqa: PLC0415 - `import otel_tools` must not load it

        # Entries know their age. A TTLCache, which would forget old ones a little earlier, takes thrice the time.
        return CacheMemory(partial(LRUCache, self.maxsize), owned=True)

    def policy(self, info: ToolInfo) -> Policy:
        """The cache policy of one tool.

        Raises:
            ConfigurationError: The tool cannot be cached, or not in this store.
        """
        return self._policy_of(info).policy

    def handle(self, info: ToolInfo, prepare: PrepareArguments | None = None) -> ToolCache:
        """The object that clears, invalidates and counts the tool's part of the cache.

        Args:
            info: The tool.
            prepare: Gives a caller's arguments as they are when they reach the cache; None leaves them as they are.

        Raises:
            ConfigurationError: As `policy`.
        """
        return ToolCache(self._policy_of(info), prepare)

    def clear(self) -> None:
        """Remove the values of all tools that share this cache; the errors of a store are raised."""
        self._clear_memory()
        for cache_policy in list(self._tools.values()):
            ToolCache(cache_policy).clear()

    async def aclear(self) -> None:
        """As `clear`, without blocking the event loop."""
        self._clear_memory()
        for cache_policy in list(self._tools.values()):
            await ToolCache(cache_policy).aclear()

    def _clear_memory(self) -> None:
        # Also the entries of tools that are gone.
        self._memory.clear(lambda namespace: isinstance(namespace, Namespace) and namespace.memory is self._memory)

    def _policy_of(self, info: ToolInfo) -> CachePolicy:
        """The same object for the same function under the same name, however often it is decorated with this cache."""
        if info.generator:
            raise ConfigurationError(f"tool {info.tool!r}: cache= keeps one value, and a generator has many")
        store = self.outside_store
        if store is not None and self.key is None and info.arguments.receiver == "self":
            raise ConfigurationError(
                f"tool {info.tool!r}: a method is cached for each instance, and instances mean nothing in "
                f"{type(store).__name__}; say what tells them apart, such as "
                "Cache(key=lambda arguments: (arguments['self'].id, arguments['city']))"
            )
        check_store(store, info)
        identity = info.tool, id(info.function)
        with self._memory.lock:
            cache_policy = self._tools.get(identity)
            if cache_policy is None:
                cache_policy = self._tools[identity] = CachePolicy(self, info, self._memory, self._in_flight)
        return cache_policy


def _same(value: Any) -> Any:
    return value
