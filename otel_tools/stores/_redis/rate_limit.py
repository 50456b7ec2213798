"""The rate-limit operations of `RedisStore`: reservations by a script, and their cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_tools.stores._gcra import Reservation
from otel_tools.stores._redis.scripts import CANCEL, RESERVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.stores._gcra import Quota
    from otel_tools.stores._redis.clients import LoopClient
    from otel_tools.stores._redis.commands import Commands

__all__ = ["RateLimitOperations"]


class RateLimitOperations:
    """The operations of `otel_tools.stores.RateLimitStore`, on keys that begin with ``{prefix}:rate_limit:``."""

    __slots__ = ("_commands", "_prefix")

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = f"{prefix}:rate_limit:"

    def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """See `RateLimitStore.reserve`."""
        key, arguments = self._prefix + name, _arguments(quota, max_wait)
        answer = self._commands.run(lambda client: RESERVE.run(client, key, *arguments))
        return _reservation(answer, partial(self._cancel, key, quota.interval))

    async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        """As `reserve`."""
        key, arguments = self._prefix + name, _arguments(quota, max_wait)
        loop_client = await self._commands.loop_client()
        answer = await self._commands.arun(lambda client: RESERVE.arun(client, key, *arguments))
        return _reservation(answer, partial(self._cancel_in_background, loop_client, key, quota.interval))

    def _cancel(self, key: str, interval: int, tat: int) -> None:
        with contextlib.suppress(Exception):
            self._commands.run(lambda client: CANCEL.run(client, key, interval, tat))

    def _cancel_in_background(self, loop_client: LoopClient, key: str, interval: int, tat: int) -> None:
        """Cancel the reservation of a coroutine that is being cancelled or closed, and so cannot await."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # The garbage collector closes the coroutine, and its loop has ended or runs in another thread.
            return
        loop_client.cancelled.append((key, interval, tat))
        if loop_client.cancelling is None:
            # In an empty context: the caller's span must not become the parent of what is traced of the task.
            loop_client.cancelling = loop.create_task(self._cancel_all(loop_client), context=Context())

    async def _cancel_all(self, loop_client: LoopClient) -> None:
        """Cancel what callers that were cancelled together had reserved, the last of each key first."""
        try:
            while loop_client.cancelled:
                reservations, loop_client.cancelled = loop_client.cancelled, []
                by_limit: dict[tuple[str, int], list[int]] = {}
                for key, interval, tat in reservations:
                    by_limit.setdefault((key, interval), []).append(tat)
                for (key, interval), tats in by_limit.items():
                    with contextlib.suppress(Exception):
                        await self._acancel(key, interval, sorted(tats, reverse=True))
        finally:
            loop_client.cancelling = None

    async def _acancel(self, key: str, interval: int, tats: list[int]) -> None:
        await self._commands.arun(lambda client: CANCEL.arun(client, key, interval, *tats))


def _arguments(quota: Quota, max_wait: int | None) -> tuple[int, int, int]:
    """The arguments of `RESERVE`."""
    return quota.interval, quota.tolerance, -1 if max_wait is None else max_wait


def _reservation(answer: Any, cancel: Callable[[int], None]) -> Reservation:
    """The reply of `RESERVE` as a reservation by this process's clock; ``cancel`` takes its arrival time."""
    granted, wait, tat = (int(part) for part in answer)
    return Reservation.after(wait, partial(cancel, tat)) if granted else Reservation.refused(wait)
