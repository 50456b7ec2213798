"""The connections of one Redis store: a client for all threads, one for each event loop, and new ones after a fork."""

from __future__ import annotations

import asyncio
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from otel_tools._call.forks import at_fork

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncGenerator

__all__ = ["Clients", "LoopClient"]

_OPTIONS: Final[dict[str, Any]] = {
    # A tool must not hang because Redis does. An URL may say otherwise: redis://...?socket_timeout=2
    "socket_connect_timeout": 0.25,
    "socket_timeout": 0.5,
    "decode_responses": True,
    # Any text that Python can hold comes back as it was.
    "encoding_errors": "surrogatepass",
}

_AT_ONCE: Final = 32
"""Commands that one event loop has on their way: each needs a connection."""


class LoopClient:
    """The client of one event loop.

    Attributes:
        client: A ``redis.asyncio.Redis``.
        gate: Lets through as many commands as there may be connections.
        unwanted: Reservations to give back: key, interval and place of each.
        sending: The task that gives them back, while there is one.
        keeper: Closes the client when the loop shuts its async generators down, as `asyncio.run` does.
    """

    __slots__ = ("client", "gate", "keeper", "sending", "unwanted")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.gate = asyncio.Semaphore(_AT_ONCE)
        self.unwanted: list[tuple[str, int, int]] = []
        self.sending: asyncio.Task[None] | None = None
        self.keeper: AsyncGenerator[None, None] | None = None


class Clients:
    """Makes clients as they are needed, for one URL.

    Raises:
        ValueError: The URL is none that redis-py knows.
        ImportError: redis-py is not installed.
    """

    __slots__ = ("__weakref__", "_blocking", "_lock", "_loops", "_url")

    def __init__(self, url: str) -> None:
        # redis-py takes a while to import, and who needs no Redis need not have it.
        from redis.connection import parse_url  # noqa: PLC0415 - as above

        parse_url(url)  # type: ignore[no-untyped-call] # redis-py's
        self._url = url
        self._lock = RLock()
        self._blocking: Any = None
        # A client refers to its loop, so a weak dictionary would keep both for ever.
        self._loops: dict[AbstractEventLoop, LoopClient] = {}
        _all.add(self)

    def blocking(self) -> Any:
        """The ``redis.Redis`` for all threads."""
        with self._lock:
            if self._blocking is None:
                from redis import Redis  # noqa: PLC0415 - see __init__
                from redis.backoff import NoBackoff  # noqa: PLC0415 - see __init__
                from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - see __init__
                from redis.retry import Retry  # noqa: PLC0415 - see __init__

                # Once more at once: the server may have closed a connection that was idle.
                retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionFailed,))
                self._blocking = Redis.from_url(self._url, retry=retry, **_OPTIONS)
            return self._blocking

    async def awaiting(self) -> LoopClient:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        mine = self._loops.get(loop)
        if mine is None:
            from redis.asyncio import Redis  # noqa: PLC0415 - see __init__
            from redis.asyncio.retry import Retry  # noqa: PLC0415 - see __init__
            from redis.backoff import NoBackoff  # noqa: PLC0415 - see __init__
            from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - see __init__

            retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionFailed,))
            mine = LoopClient(Redis.from_url(self._url, retry=retry, **_OPTIONS))
            with self._lock:
                # Of a loop that was closed without shutting down its generators.
                for closed in [other for other in self._loops if other.is_closed()]:
                    del self._loops[closed]
                self._loops[loop] = mine
            mine.keeper = _keep(mine, self._loops, loop)
            # It is known to the loop from its first step on. That step does not suspend.
            await anext(mine.keeper)
        return mine

    def close(self) -> None:
        """Close the connections of threads. Those of an event loop are closed when it ends."""
        with self._lock:
            client, self._blocking = self._blocking, None
        if client is not None:
            client.close()

    def _forked(self) -> None:
        # The sockets are the parent's too: closing them properly would say goodbye in its name.
        _parents.append((self._blocking, self._loops))
        self._lock = RLock()
        self._blocking = None
        self._loops = {}


async def _keep(
    mine: LoopClient, loops: dict[AbstractEventLoop, LoopClient], loop: AbstractEventLoop
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        loops.pop(loop, None)
        if mine.sending is not None:
            await asyncio.wait([mine.sending])
        await mine.client.aclose()


_all: Final[WeakSet[Clients]] = WeakSet()
_parents: Final[list[Any]] = []


def _after_fork() -> None:
    for clients in list(_all):
        clients._forked()  # noqa: SLF001 - one module


at_fork(after_in_child=_after_fork)
