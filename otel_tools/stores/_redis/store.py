"""`RedisStore`: rate limits and cached values that several processes share in a Redis."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from otel_tools._option_names import check_option_names
from otel_tools._urls import without_secrets
from otel_tools.errors import ConfigurationError
from otel_tools.stores._redis.cache import CacheOperations
from otel_tools.stores._redis.clients import Clients
from otel_tools.stores._redis.commands import Commands
from otel_tools.stores._redis.given_clients import NO_SYNC_CLIENT, GivenClients, address_of, as_client, is_async_client
from otel_tools.stores._redis.health import RedisHealth
from otel_tools.stores._redis.rate_limit import RateLimitOperations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_tools.stores._gcra import Quota, Reservation
    from otel_tools.stores._protocols import OnError

__all__ = ["RedisStore"]


@check_option_names
class RedisStore:
    """A store of rate limits and cached values in Redis 5 or later, accessed with redis-py.

    For ``RateLimit(..., store=RedisStore(url))`` and ``Cache(ttl=..., store=RedisStore(url))``. In place of the URL it
    takes clients that the application has: of one server, of Sentinel (``sentinel.master_for("name")``) or of a cluster
    (``RedisCluster``). These keep their own timeouts, retries and connections, and the application closes them.

    Of a URL, all sync tools share one client. Async tools have one client for each event loop. Connections are opened
    when they are needed; those of an event loop are closed when it ends. A forked process has connections of its own. A
    reservation of a rate limit is one script on the server and uses the server's clock, so the clocks of the machines
    need not agree.

    A Redis that cannot be reached delays a call by at most a quarter of a second, and one that does not answer by half
    a second (``redis://...?socket_connect_timeout=1&socket_timeout=2`` sets other limits). After that, calls do not
    try it for one second. A call that is cancelled while it waits for its token returns the token if nobody reserved a
    later one, or these are cancelled too, and Redis can be reached: an async tool in the background, a sync tool before
    it continues. In a cluster, all rate limits of a prefix are on one node; cached values are on all.

    Args:
        url: The address of Redis in the form of redis-py: ``redis://[[user]:password@]host:port/db``, ``rediss://``
            with TLS, or ``unix://``. Or a client or connection pool, as ``client``.
        prefix: The beginning of all keys. Processes with the same prefix share limits and values.
        on_error: What happens to calls while Redis cannot be used. ``local``: each process limits its own calls
            at the same rate, and caches are skipped; every such call is counted, and one warning a minute is logged.
            ``raise``: the call fails with the error of redis-py.
        client: A client or connection pool of redis-py, sync or async. Async tools use a sync one in threads; sync
            tools cannot use an async one.
        async_client: A client or connection pool of ``redis.asyncio`` for async tools, beside a sync ``client``. Its
            connections belong to an event loop: an application with several loops gives a URL.

    Raises:
        ConfigurationError: An argument is invalid, or redis-py is not installed.
    """

    on_error: OnError

    def __init__(
        self,
        url: Any = None,
        prefix: str = "otel_tools",
        on_error: OnError = "local",
        *,
        client: Any = None,
        async_client: Any = None,
    ) -> None:
        if not isinstance(prefix, str) or not prefix:
            raise ConfigurationError(f"RedisStore(prefix={prefix!r}): text is needed, such as the name of the service")
        if on_error not in {"local", "raise"}:
            raise ConfigurationError(f"RedisStore(on_error={on_error!r}): 'local' or 'raise' is needed")
        self._given = url, client, async_client
        if client is None and url is not None and as_client(url) is not None:
            url, client = None, url
        if url is None and client is None and async_client is None:
            raise ConfigurationError(
                "RedisStore(): url is missing (accepted: url, prefix, on_error, client, async_client): an address, as "
                "in redis://localhost:6379/0, or a client of redis-py"
            )
        if url is not None and (client is not None or async_client is not None):
            raise ConfigurationError("RedisStore(url, client=...): either a URL or clients are needed, not both")
        self._clients: Clients | GivenClients
        if url is None:
            self._clients, self._address = _given_clients(client, async_client)
        else:
            self._clients, self._address = _clients_of(url)
        self.prefix = prefix
        self.on_error = on_error
        commands = Commands(self._clients, RedisHealth(self._address, log=on_error == "local"))
        self._cache = CacheOperations(commands, prefix)
        self._rate_limits = RateLimitOperations(commands, prefix)

    def __reduce__(self) -> tuple[Any, ...]:
        # Its connections stay in the process.
        url, client, async_client = self._given
        return _store_of, (url, self.prefix, self.on_error, client, async_client)

    def __repr__(self) -> str:
        return f"RedisStore({self._address!r}, prefix={self.prefix!r}, on_error={self.on_error!r})"

    def check_tool(self, tool: str, *, asynchronous: bool) -> None:
        """Refuse a tool that cannot use the clients that were given; called when a tool is decorated with the store.

        Raises:
            ConfigurationError: A sync tool, and an async client alone.
        """
        if not asynchronous and isinstance(self._clients, GivenClients) and not self._clients.serve_sync:
            raise ConfigurationError(f"tool {tool!r}: {NO_SYNC_CLIENT}")

    def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """Reserve the next token of a limit; see `RateLimitStore.reserve`.

        Args:
            name: The limit.
            quota: The rate and the burst of the limit.
            max_wait: Nanoseconds that the caller can wait, 0 or more; None for any time.

        Raises:
            redis.exceptions.RedisError: Redis is unreachable, or refused the script.
        """
        return self._rate_limits.reserve_all([(name, quota)], max_wait)[0]

    async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """As `reserve`."""
        return (await self._rate_limits.areserve_all([(name, quota)], max_wait))[0]

    def reserve_all(self, limits: Sequence[tuple[str, Quota]], max_wait: int | None) -> tuple[Reservation, int]:
        """Take a token from each of several limits, or reserve one from that with the longest wait; in one step.

        Args:
            limits: The name and the quota of each limit.
            max_wait: Nanoseconds that the caller can wait, 0 or more; None for any time.

        Returns:
            The reservation, or refusal, of the limit with the longest wait, and its index.

        Raises:
            redis.exceptions.RedisError: As `reserve`.
        """
        return self._rate_limits.reserve_all(limits, max_wait)

    async def areserve_all(self, limits: Sequence[tuple[str, Quota]], max_wait: int | None) -> tuple[Reservation, int]:
        """As `reserve_all`."""
        return await self._rate_limits.areserve_all(limits, max_wait)

    def get(self, key: str) -> str | None:
        """Return the value under the key; None if there is none or it has expired.

        Raises:
            redis.exceptions.RedisError: Redis is unreachable, or refused the command.
        """
        return self._cache.get(key)

    async def aget(self, key: str) -> str | None:
        """As `get`."""
        return await self._cache.aget(key)

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Write the value, in place of any earlier one.

        Args:
            key: Any text.
            value: Any text.
            expires_in: Seconds, above 0, after which Redis removes it; rounded down to milliseconds, 1 at least.

        Raises:
            redis.exceptions.RedisError: As `get`.
        """
        self._cache.set(key, value, expires_in)

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`."""
        await self._cache.aset(key, value, expires_in)

    def delete(self, key: str) -> None:
        """Remove the key; a missing key is no error.

        Raises:
            redis.exceptions.RedisError: As `get`.
        """
        self._cache.delete(key)

    async def adelete(self, key: str) -> None:
        """As `delete`."""
        await self._cache.adelete(key)

    def clear(self, prefix: str) -> None:
        """Remove all keys that begin with the prefix. Every key begins with the empty prefix.

        Raises:
            redis.exceptions.RedisError: As `get`.
        """
        self._cache.clear(prefix)

    async def aclear(self, prefix: str) -> None:
        """As `clear`."""
        await self._cache.aclear(prefix)

    def count(self, prefix: str) -> int:
        """Return the number of unexpired keys that begin with the prefix.

        Raises:
            redis.exceptions.RedisError: As `get`.
        """
        return self._cache.count(prefix)

    async def acount(self, prefix: str) -> int:
        """As `count`."""
        return await self._cache.acount(prefix)

    def close(self) -> None:
        """Close the connections of sync tools. Those of async tools are closed when their event loop ends.

        The store can still be used afterwards: it connects again.
        """
        self._clients.close()


def _store_of(url: Any, prefix: str, on_error: OnError, client: Any, async_client: Any) -> RedisStore:
    return RedisStore(url, prefix, on_error, client=client, async_client=async_client)


def _clients_of(url: str) -> tuple[Clients, str]:
    """The clients of a URL, and the address without its secrets.

    Raises:
        ConfigurationError: redis-py does not accept the URL, or is not installed.
    """
    if not isinstance(url, str):
        raise ConfigurationError(
            f"RedisStore(url={url!r}): text is needed, as in redis://localhost:6379/0, or a client or connection pool "
            "of redis-py"
        )
    address = without_secrets(url)
    try:
        return Clients(url), address
    except ImportError as missing:
        raise ConfigurationError(
            f"RedisStore({address!r}): redis-py is needed: pip install 'otel_tools[redis]'"
        ) from missing
    except ValueError as error:
        # Without the cause where the URL has a password: the error may contain it.
        raise ConfigurationError(
            f"RedisStore({address!r}): an URL is needed that begins with redis://, rediss:// or unix://"
        ) from (None if "@" in url else error)


def _given_clients(client: Any, async_client: Any) -> tuple[GivenClients, str]:
    """The clients that were given, and what the log calls them.

    Raises:
        ConfigurationError: One is no client, or a sync one in an async one's place.
    """
    found: dict[str, Any] = {}
    for name, given in (("client", client), ("async_client", async_client)):
        found[name] = made = None if given is None else as_client(given)
        if given is not None and made is None:
            raise ConfigurationError(
                f"RedisStore({name}={reprlib.repr(given)}): a URL, as in redis://localhost:6379/0, or a client or "
                "connection pool of redis-py is needed"
            )
    if found["client"] is not None and is_async_client(found["client"]):
        if found["async_client"] is not None:
            raise ConfigurationError(
                "RedisStore(client=..., async_client=...): both are async; the first is for sync tools"
            )
        found = {"client": None, "async_client": found["client"]}
    if found["async_client"] is not None and not is_async_client(found["async_client"]):
        raise ConfigurationError("RedisStore(async_client=...): a client of redis.asyncio is needed; this one blocks")
    return GivenClients(**found), address_of(found["async_client"] if found["client"] is None else found["client"])
