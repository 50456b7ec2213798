"""The cache operations of `RedisStore`: one Redis string for each entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_tools.stores._redis.commands import Commands

__all__ = ["CacheOperations"]

_BATCH_SIZE: Final = 500
"""Keys in one SCAN reply, and in one UNLINK."""


class CacheOperations:
    """The operations of `otel_tools.stores.CacheStore`, on keys that begin with ``{prefix}:cache:``."""

    __slots__ = ("_commands", "_prefix")

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = f"{prefix}:cache:"

    def get(self, key: str) -> str | None:
        """See `CacheStore.get`."""
        return _text(self._commands.run(lambda client: client.get(self._key(key))))

    async def aget(self, key: str) -> str | None:
        """As `get`."""
        return _text(await self._commands.arun(lambda client: client.get(self._key(key))))

    def set(self, key: str, value: str, expires_in: float) -> None:
        """See `CacheStore.set`."""
        self._commands.run(lambda client: client.set(self._key(key), _encoded(value), px=_milliseconds(expires_in)))

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`."""
        await self._commands.arun(
            lambda client: client.set(self._key(key), _encoded(value), px=_milliseconds(expires_in))
        )

    def delete(self, key: str) -> None:
        """See `CacheStore.delete`."""
        self._commands.run(lambda client: client.unlink(self._key(key)))

    async def adelete(self, key: str) -> None:
        """As `delete`."""
        await self._commands.arun(lambda client: client.unlink(self._key(key)))

    def clear(self, prefix: str) -> None:
        """See `CacheStore.clear`."""

        def clear(client: Any) -> None:
            for keys in _batches(_scan(client, self._pattern(prefix))):
                client.unlink(*keys)

        self._commands.run(clear)

    async def aclear(self, prefix: str) -> None:
        """As `clear`."""

        async def clear(client: Any) -> None:
            for keys in _batches(await _ascan(client, self._pattern(prefix))):
                await client.unlink(*keys)

        await self._commands.arun(clear)

    def count(self, prefix: str) -> int:
        """See `CacheStore.count`."""
        return self._commands.run(lambda client: len(_scan(client, self._pattern(prefix))))

    async def acount(self, prefix: str) -> int:
        """As `count`."""

        async def count(client: Any) -> int:
            return len(await _ascan(client, self._pattern(prefix)))

        return await self._commands.arun(count)

    def _key(self, key: str) -> bytes:
        return _encoded(self._prefix + key)

    def _pattern(self, prefix: str) -> bytes:
        """The SCAN pattern of keys that begin with the prefix, in which its special characters are escaped."""
        text = "".join(f"\\{char}" if char in "*?[]^-\\" else char for char in self._prefix + prefix)
        return _encoded(text + "*")


def _encoded(text: str) -> bytes:
    # Text with lone surrogates, which Python allows, comes back unchanged.
    return text.encode("utf-8", "surrogatepass")


def _text(value: str | bytes | None) -> str | None:
    """A reply as text: the application's client may have ``decode_responses`` or not."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def _scan(client: Any, pattern: bytes) -> set[Any]:
    """The keys that match. A set, because SCAN may return a key twice."""
    return set(client.scan_iter(pattern, count=_BATCH_SIZE))


async def _ascan(client: Any, pattern: bytes) -> set[Any]:
    """As `_scan`."""
    return {key async for key in client.scan_iter(pattern, count=_BATCH_SIZE)}


def _milliseconds(seconds: float) -> int:
    """Whole milliseconds: rounded down, since a value must not outlive its time, but 1 at least, as Redis demands."""
    return max(1, int(seconds * 1000))


def _batches(keys: Iterable[Any]) -> Iterator[list[Any]]:
    keys = list(keys)
    for start in range(0, len(keys), _BATCH_SIZE):
        yield keys[start : start + _BATCH_SIZE]
