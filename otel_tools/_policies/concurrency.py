"""How many attempts may run at once?"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork
from otel_tools._call.steps import IS_AWAITED, Outcome, Wait, loop_runs_here
from otel_tools._policies.checks import is_wait_seconds
from otel_tools.errors import ConcurrencyLimited, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Call, Flow, Next, Policy, Step

__all__ = ["Concurrency"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Concurrency:
    """Let at most so many attempts run at once; others wait in line for a slot, first come first served.

    Threads and tasks stand in one line, and tools that are given the same object share its slots. A slot is held for
    one attempt (of a generator: for the whole iteration) and not while a retry waits. A tool that calls another one
    with the same object needs two slots: with none left it waits for itself. A sync function that runs on after its
    ``timeout`` no longer holds one. A sync tool in the thread of an event loop does not wait without end, for whoever
    holds the slot may need that loop: it is refused.

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
        self._begin()
        _everywhere.add(self)

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
        """The policy of one tool that takes its slots from here."""

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                # In the child of a fork there are new slots; this call gives its own back to where it took it.
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
            The seconds that it took, None where there was no wait; and how the attempt ends where it got none.
        """
        longest, left = self.max_wait, call.left()
        if left is not None and (longest is None or left < longest):
            longest = left
        if longest is not None and longest <= 0:
            call.throttled("concurrency", "rejected", None)
            return None, self._refusal(info.tool, longest)
        if longest is None and not info.asynchronous and loop_runs_here() and not (yield IS_AWAITED).value:
            call.throttled("concurrency", "rejected", None)
            return None, self._refusal(
                info.tool,
                why="; to wait would stop the event loop of this thread, which whoever holds one may need: call it by "
                "asyncio.to_thread, or set max_wait",
            )
        waiter: Future[None] = Future()
        # From now on nobody can cancel it, so that it can always be given a slot.
        waiter.set_running_or_notify_cancel()
        slots.queue(waiter)
        if waiter.done():
            return None, None
        began = clock.now()
        call.queued("concurrency")
        try:
            yield Wait(waiter, longest)
        except BaseException:
            if not slots.leave(waiter):
                slots.give_back()
            call.throttled("concurrency", "cancelled", clock.now() - began)
            raise
        waited = clock.now() - began
        # Not the answer but the line says who has a slot: one may be handed over in the moment in which time is up.
        if slots.leave(waiter):
            call.throttled("concurrency", "rejected", waited)
            return waited, self._refusal(info.tool, longest)
        return waited, None

    def _refusal(self, tool: str, waited: float | None = None, why: str | None = None) -> Outcome:
        what = f"all {self.limit} slots are taken" if self.limit > 1 else "the only slot is taken"
        if why is None:
            when = f", and none came free within {waited:.3g} s" if waited and waited > 0 else ""
            why = f"{when}; call it less often at once, or raise limit or max_wait of its Concurrency"
        message = f"tool {tool!r} was not started: {what}{why}"
        return Outcome(None, ConcurrencyLimited(message, tool=tool), "error")

    def _begin(self) -> None:
        object.__setattr__(self, "_slots", _Slots(self.limit))


class _Slots:
    """The slots and the line for them.

    Where nobody waits, a slot is taken and given back without a lock (which would cost more than all else here): by
    `list.pop` and `list.append`, each of which is one step under the interpreter's own lock. Who gives back looks at
    the line afterwards, and who joins the line looks for a free slot afterwards; so one of the two sees the other.
    The lock is reentrant, as the garbage collector may end another call of this thread in the middle.

    Attributes:
        free: As long as there are slots that were used before and are free.
        unused: Slots that nobody has used yet.
        waiters: The line, first come first: futures that are done once their attempt holds a slot.
        lock: Held to change the line or ``unused``.
    """

    __slots__ = ("free", "limit", "lock", "unused", "waiters")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = RLock()
        self.free: list[None] = []
        self.unused = limit
        self.waiters: OrderedDict[Future[None], None] = OrderedDict()

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
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
        """Join the line. Where a slot has come free meanwhile, the first in line has it at once."""
        with self.lock:
            self.waiters[waiter] = None
        self._hand_over()

    def leave(self, waiter: Future[None]) -> bool:
        """Leave the line; False where the waiter is no longer in it, since it has been handed a slot."""
        with self.lock:
            return self.waiters.pop(waiter, self) is None

    def give_back(self) -> None:
        """Hand a slot to the first in line, or keep it free where nobody waits."""
        self.free.append(None)
        if self.waiters:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give free slots to the first in line, as far as both go."""
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
                    # The last one has left in between, through the garbage collector.
                    self.free.append(None)
                else:
                    served.append(waiter)
        # Not under the lock: it runs callbacks, which wake event loops.
        for waiter in served:
            waiter.set_result(None)


_everywhere: Final[WeakSet[Concurrency]] = WeakSet()


def _start_again() -> None:
    """In the child of a fork those who waited are gone, and so may be who held a slot or the lock."""
    for each in tuple(_everywhere):
        left_behind = each._slots  # noqa: SLF001 - of this module
        left_behind.lock = RLock()
        left_behind.waiters.clear()
        each._begin()  # noqa: SLF001 - of this module


at_fork(after_in_child=_start_again)
