"""The options of `Cache`, and the checks that they can work."""

from __future__ import annotations

import inspect
import math
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_tools._policies.checks import is_finite_number
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import CacheStore

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CacheOptions"]


@dataclass(frozen=True, slots=True, eq=False)
class CacheOptions:
    """The options of `Cache`, checked. `Cache` documents each of them.

    Raises:
        ConfigurationError: A value cannot work.
    """

    ttl: float
    maxsize: int = 1024
    key: Callable[[dict[str, Any]], Any] | None = None
    store: MutableMapping[Any, Any] | CacheStore | None = None
    stale_if_error: float | None = None
    cache_if: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not _is_duration(self.ttl) or not self.ttl > 0:
            raise ConfigurationError(f"Cache(ttl={self.ttl!r}): seconds above 0 are needed, such as 300")
        if isinstance(self.maxsize, bool) or not isinstance(self.maxsize, int) or self.maxsize < 1:
            raise ConfigurationError(
                f"Cache(maxsize={self.maxsize!r}): a whole number of entries is needed, at least 1"
            )
        if self.stale_if_error is not None and (not _is_duration(self.stale_if_error) or self.stale_if_error < 0):
            raise ConfigurationError(
                f"Cache(stale_if_error={self.stale_if_error!r}): seconds are needed, 0 or more, or None for never"
            )
        for name, function in (("key", self.key), ("cache_if", self.cache_if)):
            if function is not None and (not callable(function) or inspect.iscoroutinefunction(function)):
                raise ConfigurationError(f"Cache({name}={function!r}): a plain function of one argument is needed")
        self._check_store()

    def _check_store(self) -> None:
        store = self.store
        if isinstance(store, type) or not (store is None or isinstance(store, (MutableMapping, CacheStore))):
            raise ConfigurationError(
                f"Cache(store={store!r}): a MutableMapping, SQLiteStore(path), RedisStore(url) or an object with the "
                "methods of otel_tools.stores.CacheStore is needed"
            )
        if self.outside_store is not None and math.isinf(self.kept_for):
            raise ConfigurationError(
                f"Cache(ttl={self.ttl!r}, stale_if_error={self.stale_if_error!r}): a store needs an end, in seconds"
            )

    @property
    def outside_store(self) -> CacheStore | None:
        """The store, where it is none of this process's memory."""
        return self.store if isinstance(self.store, CacheStore) else None

    @property
    def kept_for(self) -> float:
        """Seconds for which an entry is kept: while it is fresh, and while it may be served stale."""
        return self.ttl + (self.stale_if_error or 0.0)


def _is_duration(value: Any) -> bool:
    return is_finite_number(value) or value == math.inf
