"""What a cache needs of a store that outlives the process or is shared by several."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, runtime_checkable

__all__ = ["OnError", "Store"]

OnError: TypeAlias = Literal["local", "raise"]
"""A call whose store is away goes on without it (``local``), or gets the error of the store (``raise``)."""


@runtime_checkable
class Store(Protocol):
    """Keeps text under text keys, for a while.

    Each operation comes twice: blocking, for sync tools, and awaiting, for async ones. Any may raise; the cache then
    does what ``on_error`` says. All must be safe to call from several threads and event loops at once.

    Attributes:
        on_error: ``local``: a call whose store is away goes on without a cache. ``raise``: it gets the store's error.
    """

    on_error: OnError

    def get(self, key: str) -> str | None:
        """The value under the key; None where there is none, or where it has expired."""
        ...

    async def aget(self, key: str) -> str | None:
        """As `get`."""
        ...

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Keep the value in place of any earlier one.

        Args:
            key: Any text.
            value: Any text.
            expires_in: Seconds, above 0, after which the store may forget it and must no longer give it.
        """
        ...

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`."""
        ...

    def delete(self, key: str) -> None:
        """Forget the key; nothing happens where there is none."""
        ...

    async def adelete(self, key: str) -> None:
        """As `delete`."""
        ...

    def clear(self, prefix: str) -> None:
        """Forget all keys that begin with the prefix; the empty prefix is the beginning of all."""
        ...

    async def aclear(self, prefix: str) -> None:
        """As `clear`."""
        ...

    def count(self, prefix: str) -> int:
        """How many unexpired keys begin with the prefix."""
        ...

    async def acount(self, prefix: str) -> int:
        """As `count`."""
        ...
