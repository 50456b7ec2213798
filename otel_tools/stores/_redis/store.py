"""Redis as a store: rate limits and caches that several processes share."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from otel_tools.errors import ConfigurationError
from otel_tools.stores._gcra import Reservation
from otel_tools.stores._redis.clients import Clients
from otel_tools.stores._redis.health import Health
from otel_tools.stores._redis.scripts import GIVE_BACK, RESERVE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from otel_tools.stores._gcra import Quota
    from otel_tools.stores._protocols import OnError
    from otel_tools.stores._redis.clients import LoopClient

__all__ = ["RedisStore"]

T = TypeVar("T")

_BATCH: Final = 500
"""Keys that are deleted at once."""


class RedisStore:
    """Keeps rate limits and cached values in Redis 5 or later, with redis-py.

    Sync tools share one client, async tools one for each event loop; connections are made when they are needed and
    closed with the loop. The processes of a fork have connections of their own. A reservation of a rate limit is one
    script on the server, by the server's clock: the clocks of the machines need not agree.

    A Redis that cannot be reached delays a call by a quarter of a second at most, one that does not answer by half a
    second (``redis://...?socket_connect_timeout=1&socket_timeout=2`` sets other limits), and after that it is left
    alone for a second. A call that is cancelled while it waits for its turn gives it back if nobody is behind it, as
    far as Redis can be reached: an async tool in the background, a sync one before it goes on. One that is cancelled
    while it asks may lose its token.

    Args:
        url: Where Redis is, as redis-py takes it: ``redis://[[user]:password@]host:port/db``, ``rediss://`` with TLS,
            or ``unix://``.
        prefix: How all its keys begin. Processes with the same prefix share limits and values.
        on_store_error: What becomes of calls while Redis is away. ``local``: each process limits by itself, at the
            same rate, and caches are off; it is counted, and logged once a minute. ``raise``: they get the error of
            redis-py.

    Raises:
        ConfigurationError: A value cannot work, or redis-py is not installed.
    """

    on_error: OnError

    def __init__(self, url: str, prefix: str = "otel_tools", on_store_error: OnError = "local") -> None:
        if not isinstance(url, str):
            raise ConfigurationError(f"RedisStore(url={url!r}): text is needed, as in redis://localhost:6379/0")
        self._where = _without_secrets(url)
        if not isinstance(prefix, str) or not prefix:
            raise ConfigurationError(f"RedisStore(prefix={prefix!r}): text is needed, such as the name of the service")
        if on_store_error not in {"local", "raise"}:
            raise ConfigurationError(f"RedisStore(on_store_error={on_store_error!r}): 'local' or 'raise' is needed")
        try:
            self._clients = Clients(url)
        except ImportError as missing:
            raise ConfigurationError(
                f"RedisStore({self._where!r}): redis-py is needed: pip install 'otel_tools[redis]'"
            ) from missing
        except ValueError as error:
            # Not the error itself: it may tell the password.
            raise ConfigurationError(
                f"RedisStore({self._where!r}): an URL is needed that begins with redis://, rediss:// or unix://"
            ) from (None if "@" in url else error)
        self.prefix = prefix
        self.on_error = on_store_error
        self._health = Health(self._where, log=on_store_error == "local")

    def __repr__(self) -> str:
        return f"RedisStore({self._where!r}, prefix={self.prefix!r}, on_store_error={self.on_error!r})"

    def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """Reserve a token of the bucket of this name.

        Args:
            name: The bucket.
            quota: What it gives.
            max_wait: Nanoseconds that the caller would wait; None is without end.

        Raises:
            redis.exceptions.RedisError: Redis is away, or refused.
        """
        key, arguments = self._bucket(name), _arguments(quota, max_wait)
        answer = self._do(lambda client: RESERVE.run(client, key, *arguments))
        return _reservation(answer, partial(self._give_back, key, quota.interval))

    async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """As `reserve`."""
        key, arguments = self._bucket(name), _arguments(quota, max_wait)
        mine = await self._clients.awaiting()
        answer = await self._ado(lambda client: RESERVE.arun(client, key, *arguments))
        return _reservation(answer, partial(self._give_back_soon, mine, key, quota.interval))

    def get(self, key: str) -> str | None:
        """The value under the key; None where there is none, or where it has expired."""
        return self._do(lambda client: cast("str | None", client.get(self._kept(key))))

    async def aget(self, key: str) -> str | None:
        """As `get`."""
        return await self._ado(lambda client: cast("Awaitable[str | None]", client.get(self._kept(key))))

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Keep the value in place of any earlier one, for so many seconds."""
        self._do(lambda client: client.set(self._kept(key), value, px=_milliseconds(expires_in)))

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`."""
        await self._ado(lambda client: client.set(self._kept(key), value, px=_milliseconds(expires_in)))

    def delete(self, key: str) -> None:
        """Forget the key; nothing happens where there is none."""
        self._do(lambda client: client.unlink(self._kept(key)))

    async def adelete(self, key: str) -> None:
        """As `delete`."""
        await self._ado(lambda client: client.unlink(self._kept(key)))

    def clear(self, prefix: str) -> None:
        """Forget all keys that begin with the prefix; the empty prefix is the beginning of all."""

        def clear(client: Any) -> None:
            for keys in _batches(set(client.scan_iter(self._pattern(prefix), count=_BATCH))):
                client.unlink(*keys)

        self._do(clear)

    async def aclear(self, prefix: str) -> None:
        """As `clear`."""

        async def clear(client: Any) -> None:
            found = {key async for key in client.scan_iter(self._pattern(prefix), count=_BATCH)}
            for keys in _batches(found):
                await client.unlink(*keys)

        await self._ado(clear)

    def count(self, prefix: str) -> int:
        """How many unexpired keys begin with the prefix."""
        # A scan may tell a key twice.
        return self._do(lambda client: len(set(client.scan_iter(self._pattern(prefix), count=_BATCH))))

    async def acount(self, prefix: str) -> int:
        """As `count`."""

        async def count(client: Any) -> int:
            return len({key async for key in client.scan_iter(self._pattern(prefix), count=_BATCH)})

        return await self._ado(count)

    def close(self) -> None:
        """Close the connections of sync tools; those of async tools are closed with their event loop.

        The store can go on to be used.
        """
        self._clients.close()

    def _bucket(self, name: str) -> str:
        return f"{self.prefix}:rate_limit:{name}"

    def _kept(self, key: str) -> str:
        return f"{self.prefix}:cache:{key}"

    def _pattern(self, prefix: str) -> str:
        """What SCAN matches with keys that begin so, whatever the prefix means to it."""
        return "".join(f"\\{char}" if char in "*?[]^-\\" else char for char in self._kept(prefix)) + "*"

    def _do(self, act: Callable[[Any], T]) -> T:
        self._health.check()
        try:
            result = act(self._clients.blocking())
        except Exception as error:
            self._health.failed(error)
            raise
        self._health.answered()
        return result

    async def _ado(self, act: Callable[[Any], Awaitable[T]]) -> T:
        mine = await self._clients.awaiting()
        async with mine.gate:
            # Only now: those who waited at the gate need not find out one by one that Redis is away.
            self._health.check()
            try:
                result = await act(mine.client)
            except Exception as error:
                self._health.failed(error)
                raise
        self._health.answered()
        return result

    def _give_back(self, key: str, interval: int, place: int) -> None:
        with contextlib.suppress(Exception):
            self._do(lambda client: GIVE_BACK.run(client, key, interval, place))

    def _give_back_soon(self, mine: LoopClient, key: str, interval: int, place: int) -> None:
        """Give a place back from a coroutine that is being cancelled or closed, and so cannot await."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # The garbage collector closes it, and its loop has ended or is another thread's.
            return
        mine.unwanted.append((key, interval, place))
        if mine.sending is None:
            # Not in the caller's context: its span is not the parent of what is traced of this.
            mine.sending = loop.create_task(self._send(mine), context=Context())

    async def _send(self, mine: LoopClient) -> None:
        """Give back what callers that were cancelled together no longer want, each bucket's last place first."""
        try:
            while mine.unwanted:
                unwanted, mine.unwanted = mine.unwanted, []
                buckets: dict[tuple[str, int], list[int]] = {}
                for key, interval, place in unwanted:
                    buckets.setdefault((key, interval), []).append(place)
                for (key, interval), places in buckets.items():
                    arguments = (key, interval, *sorted(places, reverse=True))
                    with contextlib.suppress(Exception):
                        await self._ado(lambda client, arguments=arguments: GIVE_BACK.arun(client, *arguments))  # type: ignore[misc]
        finally:
            mine.sending = None


def _arguments(quota: Quota, max_wait: int | None) -> tuple[int, int, int]:
    return quota.interval, quota.tolerance, -1 if max_wait is None else max_wait


def _reservation(answer: Any, give_back: Callable[[int], None]) -> Reservation:
    """What the script said, in the terms of this process and its clock."""
    granted, wait, place = (int(part) for part in answer)
    return Reservation.after(wait, partial(give_back, place)) if granted else Reservation.refused(wait)


def _milliseconds(seconds: float) -> int:
    """Rounded down, since a value must not outlive its time; Redis takes no less than 1."""
    return max(1, int(seconds * 1000))


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = list(keys)
    for start in range(0, len(rest), _BATCH):
        yield rest[start : start + _BATCH]


def _without_secrets(url: str) -> str:
    """An URL as it may be logged."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "?"
    return f"{parts.scheme}://{host}{port}{parts.path}"
