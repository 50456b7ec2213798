"""`Concurrency`: limits how many attempts run at once."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

from otel_tools._call.clock import clock
from otel_tools._call.forks import reset_after_fork
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import cancelled, time_left
from otel_tools._call.steps import IS_AWAITED, Wait, event_loop_is_running
from otel_tools._option_names import check_option_names
from otel_tools._policies.checks import is_wait_seconds
from otel_tools._policies.pickling import PickledByOptions
from otel_tools.errors import ConcurrencyLimited, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next, Policy, Step

__all__ = ["Concurrency"]


@check_option_names
@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Concurrency(PickledByOptions):
    """Let at most ``limit`` attempts run at once; others wait in one queue for a slot, first come first served.

    Threads and tasks wait in the same queue, and tools that are given the same object share its slots. An attempt holds
    a slot while it runs (a generator for the whole iteration) and not while a retry waits. A tool that calls another
    one with the same object needs two slots: with none left it waits for itself. A sync function that runs on after
    its ``timeout`` no longer holds one. A sync tool in the thread of an event loop does not wait without end, since the
    attempt that holds the slot may need that loop: it is refused.

    Args:
        limit: Slots, 1 or more.
        max_wait: Seconds to wait for a slot at most; 0 never waits, None waits as long as it takes. A ``deadline``
            of the call ends the wait too.

    Raises:
        ConfigurationError: A value cannot work.
    """

    limit: int
    max_wait: float | None = None
    _slots: _Slots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise ConfigurationError(f"Concurrency(limit={self.limit!r}): a whole number of slots is needed, 1 or more")
        wait = self.max_wait
        if wait is not None and not is_wait_seconds(wait):
            raise ConfigurationError(
                f"Concurrency(max_wait={wait!r}): seconds are needed, 0 or more (0 never waits), "
                "or None to wait as long as it takes"
            )
        self._set_new_slots()
        reset_after_fork(self)

    @property
    def in_use(self) -> int:
        """Slots that are held now."""
        slots = self._slots
        return slots.limit - slots.unused - len(slots.free)

    @property
    def waiting(self) -> int:
        """Attempts that wait for a slot now."""
        return len(self._slots.waiters)

    def policy(self, info: ToolInfo) -> Policy:
        """The concurrency policy of one tool."""

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                # In the child of a fork there are new slots. A slot is given back to the object that it was taken from.
                slots = self._slots
                if slots.take():
                    waited = None
                else:
                    waited, refusal = yield from self._wait(call, slots, info)
                    if refusal is not None:
                        return refusal
                try:
                    call.throttled("concurrency", "acquired", waited)
                    return (yield from inner(call))
                finally:
                    slots.give_back()

            return flow

        return policy

    def _wait(
        self, call: Call, slots: _Slots, info: ToolInfo
    ) -> Generator[Step, Any, tuple[float | None, Outcome | None]]:
        """Wait for a slot.

        Returns:
            The seconds that it took, None where there was no wait; and the outcome of the attempt where it got no slot.
        """
        max_wait, left = self.max_wait, time_left(call.left())
        if left is not None and (max_wait is None or left < max_wait):
            max_wait = left
        if max_wait is not None and max_wait <= 0:
            call.throttled("concurrency", "rejected", None)
            return None, self._refusal(info.tool, max_wait)
        if max_wait is None and not info.asynchronous and event_loop_is_running() and not (yield IS_AWAITED).value:
            call.throttled("concurrency", "rejected", None)
            return None, self._refusal(
                info.tool,
                why="; to wait would stop the event loop of this thread, which whoever holds one may need: call it by "
                "asyncio.to_thread, or set max_wait",
            )
        waiter: Future[None] = Future()
        # Nobody can cancel it from here on, so that it can always be given a slot.
        waiter.set_running_or_notify_cancel()
        slots.queue(waiter)
        if waiter.done():
            return None, None
        began = clock.now()
        call.queued("concurrency")
        try:
            yield Wait(waiter, max_wait)
        except BaseException:
            if not slots.leave(waiter):
                slots.give_back()
            call.throttled("concurrency", "cancelled", clock.now() - began)
            raise
        waited = clock.now() - began
        # The queue, and not the answer to `Wait`, says who has a slot: one may be handed over as the time runs out.
        if slots.leave(waiter):
            call.throttled("concurrency", "rejected", waited)
            return waited, self._refusal(info.tool, max_wait)
        if cancelled():
            slots.give_back()
            call.throttled("concurrency", "cancelled", waited)
            return waited, self._refusal(info.tool, why="; nobody waits for it any more")
        return waited, None

    def _refusal(self, tool: str, waited: float | None = None, why: str | None = None) -> Outcome:
        what = f"all {self.limit} slots are taken" if self.limit > 1 else "the only slot is taken"
        if why is None:
            when = f", and none came free within {waited:.3g} s" if waited and waited > 0 else ""
            why = f"{when}; call it less often at once, or raise limit or max_wait of its Concurrency"
        message = f"tool {tool!r} was not started: {what}{why}"
        return Outcome(None, ConcurrencyLimited(message, tool=tool), "error")

    def reset_after_fork(self) -> None:
        """In the child of a fork: new slots, since the threads that held or awaited the old ones are gone."""
        self._slots.abandon()
        self._set_new_slots()

    def _set_new_slots(self) -> None:
        object.__setattr__(self, "_slots", _Slots(self.limit))


class _Slots:
    """The slots, and the queue of attempts that wait for one.

    Where nobody waits, a slot is taken and given back without a lock (which would cost more than all else here): by
    `list.pop` and `list.append`, each of which is one step under the interpreter's own lock. An attempt that gives a
    slot back looks at the queue afterwards, and one that joins the queue looks for a free slot afterwards; so one of
    the two sees the other. The lock is reentrant, as the garbage collector may end another call of this thread in the
    middle.

    Attributes:
        limit: The number of slots.
        free: One item for each slot that was used before and is free.
        unused: The number of slots that were never used.
        waiters: The queue, first come first: futures that are done once their attempt holds a slot.
        lock: Held to change the queue or ``unused``.
    """

    __slots__ = ("free", "limit", "lock", "unused", "waiters")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = RLock()
        self.free: list[None] = []
        self.unused = limit
        self.waiters: OrderedDict[Future[None], None] = OrderedDict()

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for one; whether it was taken."""
        if not self.waiters:
            try:
                self.free.pop()
            except IndexError:
                return self._take_unused()
            return True
        return False

    def _take_unused(self) -> bool:
        with self.lock:
            if self.unused:
                self.unused -= 1
                return True
        return False

    def queue(self, waiter: Future[None]) -> None:
        """Join the queue. Where a slot has come free meanwhile, the first in the queue gets it at once."""
        with self.lock:
            self.waiters[waiter] = None
        self._hand_over()

    def leave(self, waiter: Future[None]) -> bool:
        """Leave the queue; False where the waiter is no longer in it, since it has been given a slot."""
        with self.lock:
            return self.waiters.pop(waiter, self) is None

    def give_back(self) -> None:
        """Give a slot to the first in the queue, or keep it free where nobody waits."""
        self.free.append(None)
        if self.waiters:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give free slots to the first in the queue, while there are both."""
        served: list[Future[None]] = []
        with self.lock:
            while self.waiters:
                try:
                    self.free.pop()
                except IndexError:
                    break
                try:
                    waiter, _ = self.waiters.popitem(last=False)
                except KeyError:
                    # The last waiter has left in between, by a call that the garbage collector ended.
                    self.free.append(None)
                else:
                    served.append(waiter)
        # Not under the lock: it runs callbacks, which wake event loops.
        for waiter in served:
            waiter.set_result(None)

    def abandon(self) -> None:
        """In the child of a fork: nobody waits any more, and no other thread holds the lock."""
        self.lock = RLock()
        self.waiters.clear()
