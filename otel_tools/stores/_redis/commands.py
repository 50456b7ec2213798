"""Runs operations on Redis, with a client and under the watch of `RedisHealth`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otel_tools.stores._redis.clients import Clients, LoopClient
    from otel_tools.stores._redis.given_clients import GivenClients
    from otel_tools.stores._redis.health import RedisHealth

__all__ = ["Commands"]

T = TypeVar("T")


class Commands:
    """Runs operations on one Redis and reports to `RedisHealth` how they end.

    An operation is a function of a redis-py client. Both methods raise the operation's error, and
    `redis.exceptions.ConnectionError` without running it while Redis is known to be unreachable.
    """

    __slots__ = ("_clients", "_health")

    def __init__(self, clients: Clients | GivenClients, health: RedisHealth) -> None:
        self._clients = clients
        self._health = health

    def run(self, operation: Callable[[Any], T]) -> T:
        """Run a blocking operation on the client of sync tools."""
        client = self._clients.sync_client()
        self._health.check()
        try:
            result = operation(client)
        except Exception as error:
            self._health.record_failure(error)
            raise
        self._health.record_success()
        return result

    async def arun(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        """Await an operation on the client of the running event loop."""
        loop_client = await self._clients.loop_client()
        async with loop_client.semaphore:
            # Checked only now: callers that waited for the semaphore need not each find out that Redis is unreachable.
            self._health.check()
            try:
                result = await operation(loop_client.client)
            except Exception as error:
                self._health.record_failure(error)
                raise
        self._health.record_success()
        return result

    async def loop_client(self) -> LoopClient:
        """The client of the running event loop."""
        return await self._clients.loop_client()
