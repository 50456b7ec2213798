"""The rate limit operations of `RedisStore`: reservations and their cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_tools.stores._gcra import Reservation
from otel_tools.stores._redis.scripts import CANCEL, RESERVE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from otel_tools.stores._gcra import Quota
    from otel_tools.stores._redis.clients import LoopClient
    from otel_tools.stores._redis.commands import Commands

__all__ = ["RateLimitOperations"]


class RateLimitOperations:
    """The operations of `otel_tools.stores.RateLimitStore`, on keys that begin with ``{prefix}:rate_limit:``.

    The braces are in the keys: a cluster keeps all of them in one slot.
    """

    __slots__ = ("_cancelled_prefix", "_commands", "_prefix")

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        # A brace in the prefix would end the part that chooses the slot.
        slot = "{" + prefix.replace("}", ")") + "}"
        self._prefix = f"{slot}:rate_limit:"
        self._cancelled_prefix = f"{slot}:rate_limit_cancelled:"

    def reserve_all(self, limits: Sequence[tuple[str, Quota]], max_wait: int | None) -> tuple[Reservation, int]:
        """See `RateLimitStore`."""
        keys, arguments = [self._prefix + name for name, _ in limits], _arguments(limits, max_wait)
        answer = self._commands.run(lambda client: RESERVE.run(client, keys, arguments))
        return _reservation(answer, lambda: self._cancel(_taken(limits, answer)))

    async def areserve_all(self, limits: Sequence[tuple[str, Quota]], max_wait: int | None) -> tuple[Reservation, int]:
        """As `reserve_all`."""
        keys, arguments = [self._prefix + name for name, _ in limits], _arguments(limits, max_wait)
        loop_client = await self._commands.loop_client()
        begun = False

        def operation(client: Any) -> Awaitable[Any]:
            nonlocal begun
            begun = True
            return RESERVE.arun(client, keys, arguments)

        def give_back(asking: asyncio.Task[Any]) -> None:
            if not asking.cancelled() and asking.exception() is None and int(asking.result()[0]):
                self._cancel_in_background(loop_client, _taken(limits, asking.result()))

        # In a task of its own: a caller that is cancelled meanwhile cannot know whether Redis has reserved its token.
        asking = asyncio.get_running_loop().create_task(self._commands.arun(operation))
        loop_client.reserving.add(asking)
        asking.add_done_callback(loop_client.reserving.discard)
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            if begun:
                asking.add_done_callback(give_back)
            else:
                asking.cancel()
            raise
        return _reservation(answer, lambda: self._cancel_in_background(loop_client, _taken(limits, answer)))

    def _cancel(self, reservations: list[tuple[str, int, int]]) -> None:
        for name, *reservation in reservations:
            with contextlib.suppress(Exception):
                self._commands.run(partial(CANCEL.run, keys=self._cancel_keys(name), arguments=reservation))

    def _cancel_in_background(self, loop_client: LoopClient, reservations: list[tuple[str, int, int]]) -> None:
        """Cancel the reservation of a coroutine that is being cancelled or closed, and so cannot await."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # The garbage collector closes the coroutine, and its loop has ended or runs in another thread.
            return
        loop_client.cancelled.extend(reservations)
        if loop_client.cancelling is None:
            # In an empty context: the caller's span must not become the parent of what is traced of the task.
            loop_client.cancelling = loop.create_task(self._cancel_all(loop_client), context=Context())

    async def _cancel_all(self, loop_client: LoopClient) -> None:
        """Cancel what callers that were cancelled together had reserved, all of a limit at once."""
        try:
            while loop_client.cancelled:
                reservations, loop_client.cancelled = loop_client.cancelled, []
                by_limit: dict[str, list[int]] = {}
                for name, *reservation in reservations:
                    by_limit.setdefault(name, []).extend(reservation)
                for name, arguments in by_limit.items():
                    with contextlib.suppress(Exception):
                        await self._commands.arun(
                            partial(CANCEL.arun, keys=self._cancel_keys(name), arguments=arguments)
                        )
        finally:
            loop_client.cancelling = None

    def _cancel_keys(self, name: str) -> list[str]:
        """The keys of `CANCEL`."""
        return [self._prefix + name, self._cancelled_prefix + name]


def _arguments(limits: Sequence[tuple[str, Quota]], max_wait: int | None) -> list[int]:
    """The arguments of `RESERVE`."""
    return [-1 if max_wait is None else max_wait, *(number for _, quota in limits for number in quota)]


def _reservation(answer: Any, cancel: Callable[[], None]) -> tuple[Reservation, int]:
    """The reply of `RESERVE` as a reservation by this process's clock, and the index of its limit."""
    granted, wait, number = (int(part) for part in answer[:3])
    return Reservation.after(wait, cancel) if granted else Reservation.refused(wait), number - 1


def _taken(limits: Sequence[tuple[str, Quota]], answer: Any) -> list[tuple[str, int, int]]:
    """What a granted reply of `RESERVE` took: for each the limit's name, the TAT that was written, and the interval."""
    _, wait, number, *tats = (int(part) for part in answer)
    taken_from = [limits[number - 1]] if wait else limits
    return [(name, tat, quota.interval) for (name, quota), tat in zip(taken_from, tats, strict=True)]
