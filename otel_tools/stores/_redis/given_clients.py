"""The redis-py clients of one `RedisStore` that the application made: of one server, of Sentinel or of a cluster."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import reset_after_fork
from otel_tools.errors import ConfigurationError
from otel_tools.stores._redis.clients import LoopClient

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["NO_SYNC_CLIENT", "GivenClients", "address_of", "as_client", "is_async_client"]

_COMMANDS: Final = ("evalsha", "eval", "get", "set", "unlink", "scan_iter")
"""What a client has to be able to do."""

_MAX_THREADS: Final = 8
"""Threads in which async tools use a client that blocks."""


NO_SYNC_CLIENT: Final = (
    "RedisStore has an async client alone, which a sync tool cannot await; give it a sync one too: "
    "RedisStore(client, async_client=...)"
)


def as_client(given: Any) -> Any | None:
    """A client or connection pool of redis-py as a client; None for anything else."""
    if isinstance(given, type):
        return None
    if all(callable(getattr(given, command, None)) for command in _COMMANDS):
        return given
    if not callable(getattr(given, "get_connection", None)) or not hasattr(given, "connection_kwargs"):
        return None
    import redis  # noqa: PLC0415 - an optional dependency

    if inspect.iscoroutinefunction(given.get_connection):
        import redis.asyncio  # noqa: PLC0415 - as above

        return redis.asyncio.Redis(connection_pool=given)
    return redis.Redis(connection_pool=given)


def is_async_client(client: Any) -> bool:
    """Whether a client's commands are awaited."""
    return inspect.iscoroutinefunction(client.execute_command)


def address_of(client: Any) -> str:
    """The kind of client and its server, without secrets."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None) or {}
    server = options.get("path") or ":".join(str(options[name]) for name in ("host", "port") if name in options)
    return f"{type(client).__module__.partition('.')[0]}.{type(client).__name__}({server})"


class GivenClients:
    """Clients that the application made, and closes.

    Args:
        client: The client of sync tools; None for none.
        async_client: The client of async tools. Without it these use ``client`` in threads.
    """

    __slots__ = ("__weakref__", "_async_client", "_client", "_lock", "_loop_clients")

    def __init__(self, client: Any, async_client: Any) -> None:
        self._client = client
        self._async_client = async_client
        self._lock = RLock()
        self._loop_clients: dict[AbstractEventLoop, LoopClient] = {}
        reset_after_fork(self)

    @property
    def serve_sync(self) -> bool:
        """Whether there is a client for sync tools."""
        return self._client is not None

    def sync_client(self) -> Any:
        """The client of sync tools.

        Raises:
            ConfigurationError: There is none.
        """
        if self._client is None:
            raise ConfigurationError(NO_SYNC_CLIENT)
        return self._client

    async def loop_client(self) -> LoopClient:
        """The client of async tools, with what belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for closed in [other for other in self._loop_clients if other.is_closed()]:
                del self._loop_clients[closed]
            loop_client = self._loop_clients.get(loop)
            if loop_client is None:
                client = _InThreads(self._client) if self._async_client is None else self._async_client
                loop_client = self._loop_clients[loop] = LoopClient(client)
        return loop_client

    def close(self) -> None:
        """Leave the connections open: they are the application's."""

    def reset_after_fork(self) -> None:
        """In the child of a fork: the event loops and threads are gone. redis-py itself opens new connections."""
        self._lock = RLock()
        self._loop_clients = {}


class _InThreads:
    """A blocking client whose commands are awaited: each runs in a thread."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor: ThreadPoolExecutor | None = None

    def __getattr__(self, command: str) -> Callable[..., Any]:
        return partial(self._run, getattr(self._client, command))

    async def _run(self, command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._executor is None:
            # Its import registers with the operating system for forks, and few programs need it.
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - above

            # Not the event loop's own threads: a Redis that is slow must not take them from the application.
            self._executor = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="otel_tools-redis")
        call = partial(contextvars.copy_context().run, command, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def scan_iter(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """As that of an async client."""
        for key in await self._run(lambda: list(self._client.scan_iter(*args, **kwargs))):
            yield key
