"""Protocols of the stores that keep cached values and rate limits outside the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from otel_tools.stores._gcra import Quota, Reservation

__all__ = ["CacheStore", "OnError", "RateLimitStore"]

OnError: TypeAlias = Literal["local", "raise"]
"""What happens to a call when its store raises.

``local``: the call continues without the store. A cache is skipped; a rate limit is kept by each process for itself.
``raise``: the call fails with the error of the store.
"""


@runtime_checkable
class CacheStore(Protocol):
    """A store of text values under text keys, for ``Cache(ttl=..., store=...)``.

    `SQLiteStore` and `RedisStore` are two of them. Any class with these attributes and methods is one too; it need not
    inherit from this class.

    Each operation has two methods: a blocking one, which sync tools call, and a coroutine function, which async tools
    await. A store must be safe to use from several threads and event loops at once. Each method may raise any
    `Exception`: it is counted in ``otel_tools.store.errors``, and ``on_error`` decides what happens to the call. The
    errors of `clear` and `count` go to whoever called ``tool.cache.clear()`` or ``tool.cache.info()``.

    Attributes:
        on_error: ``local``: a call whose store fails continues without the cache. ``raise``: it fails with the
            store's error.

    Example:
        A store in a dictionary::

            import time
            from otel_tools.stores import OnError

            class DictStore:
                on_error: OnError = "local"

                def __init__(self) -> None:
                    self._entries: dict[str, tuple[str, float]] = {}

                def get(self, key: str) -> str | None:
                    value, expires_at = self._entries.get(key, ("", 0.0))
                    return value if time.time() < expires_at else None

                def set(self, key: str, value: str, expires_in: float) -> None:
                    self._entries[key] = value, time.time() + expires_in

                def delete(self, key: str) -> None:
                    self._entries.pop(key, None)

                def clear(self, prefix: str) -> None:
                    for key in list(self._entries):
                        if key.startswith(prefix):
                            self.delete(key)

                def count(self, prefix: str) -> int:
                    return sum(key.startswith(prefix) and self.get(key) is not None for key in list(self._entries))

                async def aget(self, key: str) -> str | None:
                    return self.get(key)

                async def aset(self, key: str, value: str, expires_in: float) -> None:
                    self.set(key, value, expires_in)

                async def adelete(self, key: str) -> None:
                    self.delete(key)

                async def aclear(self, prefix: str) -> None:
                    self.clear(prefix)

                async def acount(self, prefix: str) -> int:
                    return self.count(prefix)
    """

    on_error: OnError

    def get(self, key: str) -> str | None:
        """Return the value under the key; None if there is none or it has expired."""
        ...

    async def aget(self, key: str) -> str | None:
        """As `get`."""
        ...

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Write the value, in place of any earlier one.

        Args:
            key: Any text.
            value: Any text.
            expires_in: Seconds, above 0. After them `get` must not return the value, and the store may remove it.
        """
        ...

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`."""
        ...

    def delete(self, key: str) -> None:
        """Remove the key; a missing key is no error."""
        ...

    async def adelete(self, key: str) -> None:
        """As `delete`."""
        ...

    def clear(self, prefix: str) -> None:
        """Remove all keys that begin with the prefix. Every key begins with the empty prefix."""
        ...

    async def aclear(self, prefix: str) -> None:
        """As `clear`."""
        ...

    def count(self, prefix: str) -> int:
        """Return the number of unexpired keys that begin with the prefix."""
        ...

    async def acount(self, prefix: str) -> int:
        """As `count`."""
        ...


@runtime_checkable
class RateLimitStore(Protocol):
    """A store of rate limits that several processes share, for ``RateLimit(..., store=...)``.

    `RedisStore` is one. Any class with this attribute and these methods is one too; it need not inherit from this
    class.

    A limit is enforced by the generic cell rate algorithm (GCRA, ITU-T I.371, annex A). The store keeps one number for
    each name: the theoretical arrival time, at which the token bucket will be full again. The example below is the
    whole algorithm. Reading that number and writing the next one must be one atomic step for all processes. A number
    that lies in the past may be removed: a bucket that was never used is full too.

    Several limits of one tool, ``tool(rate_limit=[...])``, need two more methods, ``reserve_all(limits, max_wait)`` and
    ``areserve_all``, where ``limits`` are pairs of a name and a quota. In one atomic step they take a token from each
    limit if none has to be waited for, or else reserve one from the limit with the longest wait and take nothing from
    the others. They return that limit's reservation (or ``Reservation.after(0)``) and its index.

    A call that costs more than one token is a quota of its own, and needs nothing of the store.

    A store must be safe to use from several threads and event loops at once. Each method may raise any `Exception`: it
    is counted in ``otel_tools.store.errors``, and ``on_error`` decides what happens to the call.

    Attributes:
        on_error: ``local``: while the store fails, each process limits its own calls at the same rate. ``raise``: the
            call fails with the store's error.

    Example:
        A store in a dictionary::

            import threading
            import time
            from otel_tools.stores import OnError, Quota, Reservation

            class DictLimits:
                on_error: OnError = "local"

                def __init__(self) -> None:
                    self._lock = threading.Lock()
                    self._arrival_times: dict[str, int] = {}

                def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
                    with self._lock:
                        now = time.monotonic_ns()
                        arrival_time = max(now, self._arrival_times.get(name, now))
                        wait = max(0, arrival_time - quota.tolerance - now)
                        if max_wait is not None and wait > max_wait:
                            return Reservation.refused(wait)
                        self._arrival_times[name] = arrival_time + quota.interval
                    return Reservation.after(wait)

                async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
                    return self.reserve(name, quota, max_wait)
    """

    on_error: OnError

    def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """Reserve the next token of a limit, unless it comes too late.

        The method does not wait for the token: the caller does, for as long as the answer says. Tokens are given out in
        the order of the requests.

        Args:
            name: The limit, and the caller's key where ``RateLimit(key=...)`` is used. Any text.
            quota: The rate and the burst of the limit, in nanoseconds.
            max_wait: Nanoseconds that the caller can wait, 0 or more; None for any time.

        Returns:
            ``Reservation.after(wait)`` or ``Reservation.refused(wait)``, in nanoseconds.
        """
        ...

    async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """As `reserve`."""
        ...
