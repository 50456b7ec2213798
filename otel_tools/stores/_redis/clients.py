"""The redis-py clients of one `RedisStore`: one for all threads, one for each event loop, new ones after a fork."""

from __future__ import annotations

import asyncio
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import reset_after_fork

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncGenerator

__all__ = ["Clients", "LoopClient"]

_OPTIONS: Final[dict[str, Any]] = {
    # A tool must not hang because Redis does. The URL may set other limits: redis://...?socket_timeout=2
    "socket_connect_timeout": 0.25,
    "socket_timeout": 0.5,
    "decode_responses": True,
    # Text with lone surrogates, which Python allows, comes back unchanged.
    "encoding_errors": "surrogatepass",
}

_MAX_IN_FLIGHT: Final = 32
"""The most operations that one event loop runs at once: each needs a connection."""


class LoopClient:
    """The client of one event loop.

    Attributes:
        client: A ``redis.asyncio.Redis``.
        semaphore: Limits the operations that run at once to the number of connections.
        reserving: The tasks that reserve a token; they end although their callers are cancelled.
        cancelled: The reservations to cancel: key, interval and theoretical arrival time of each.
        cancelling: The task that cancels them, while it runs.
        closer: Closes the client when the loop shuts down its async generators, as `asyncio.run` does.
    """

    __slots__ = ("cancelled", "cancelling", "client", "closer", "reserving", "semaphore")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.semaphore = asyncio.Semaphore(_MAX_IN_FLIGHT)
        self.reserving: set[asyncio.Task[Any]] = set()
        self.cancelled: list[tuple[str, int, int]] = []
        self.cancelling: asyncio.Task[None] | None = None
        self.closer: AsyncGenerator[None, None] | None = None


class Clients:
    """Creates the clients of one URL when they are needed.

    Raises:
        ValueError: redis-py does not accept the URL.
        ImportError: redis-py is not installed.
    """

    __slots__ = ("__weakref__", "_lock", "_loop_clients", "_sync_client", "_url")

    def __init__(self, url: str) -> None:
        # Imported here: redis-py is an optional dependency, and slow to import.
        from redis.connection import parse_url  # noqa: PLC0415 - an optional dependency

        parse_url(url)  # type: ignore[no-untyped-call] # redis-py has no types here
        self._url = url
        self._lock = RLock()
        self._sync_client: Any = None
        # Not a WeakKeyDictionary: a client refers to its loop, so both would be kept for ever.
        self._loop_clients: dict[AbstractEventLoop, LoopClient] = {}
        reset_after_fork(self)

    def sync_client(self) -> Any:
        """The ``redis.Redis`` of all threads."""
        with self._lock:
            if self._sync_client is None:
                from redis import Redis  # noqa: PLC0415 - see __init__
                from redis.backoff import NoBackoff  # noqa: PLC0415 - see __init__
                from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - see __init__
                from redis.retry import Retry  # noqa: PLC0415 - see __init__

                # One immediate retry: the server may have closed a connection that was idle.
                retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionFailed,))
                self._sync_client = Redis.from_url(self._url, retry=retry, **_OPTIONS)
            return self._sync_client

    async def loop_client(self) -> LoopClient:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        loop_client = self._loop_clients.get(loop)
        if loop_client is None:
            from redis.asyncio import Redis  # noqa: PLC0415 - see __init__
            from redis.asyncio.retry import Retry  # noqa: PLC0415 - see __init__
            from redis.backoff import NoBackoff  # noqa: PLC0415 - see __init__
            from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - see __init__

            retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionFailed,))
            loop_client = LoopClient(Redis.from_url(self._url, retry=retry, **_OPTIONS))
            with self._lock:
                # A loop that was closed without shutting down its async generators leaves its client here.
                for closed in [other for other in self._loop_clients if other.is_closed()]:
                    del self._loop_clients[closed]
                self._loop_clients[loop] = loop_client
            loop_client.closer = _close_with_loop(loop_client, self._loop_clients, loop)
            # Its first step, which does not suspend, registers the generator with the loop.
            await anext(loop_client.closer)
        return loop_client

    def close(self) -> None:
        """Close the client of threads. The client of an event loop is closed when the loop ends."""
        with self._lock:
            client, self._sync_client = self._sync_client, None
        if client is not None:
            client.close()

    def reset_after_fork(self) -> None:
        """Leave the clients of the parent process open and unused; create new ones when they are needed."""
        # The sockets are shared with the parent: closing a client here would close the parent's connection.
        _inherited.append((self._sync_client, self._loop_clients))
        self._lock = RLock()
        self._sync_client = None
        self._loop_clients = {}


async def _close_with_loop(
    loop_client: LoopClient, loop_clients: dict[AbstractEventLoop, LoopClient], loop: AbstractEventLoop
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        loop_clients.pop(loop, None)
        if loop_client.reserving:
            await asyncio.wait(loop_client.reserving)
        if loop_client.cancelling is not None:
            await asyncio.wait([loop_client.cancelling])
        await loop_client.client.aclose()


_inherited: Final[list[Any]] = []
