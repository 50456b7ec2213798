"""Takes the tokens of one call from one or several limits, in this process or in a store, and waits for them."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.scope import cancelled, time_left
from otel_tools._call.steps import Perform, Sleep
from otel_tools.errors import ConfigurationError, RateLimited
from otel_tools.stores._gcra import AT_ONCE, COMMON, Demand, Reservation, nanoseconds, now, reserve_all

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

    from otel_tools._call.call import Call, ThrottlingResult
    from otel_tools._call.steps import Step
    from otel_tools._policies.rate_limit.options import RateLimitOptions
    from otel_tools.stores._protocols import RateLimitStore

__all__ = ["Request", "log_failure", "max_wait_of", "take", "too_much"]

logger = logging.getLogger("otel_tools.policies.rate_limit")

_MAX_EARLY: Final = 1_000
"""Nanoseconds by which a sleep may end too early: less than the resolution of any timer."""


class Request(NamedTuple):
    """What one call takes from one limit.

    Attributes:
        limit: The limit.
        demand: The bucket and what is taken from it.
        name: The name of the limit in its store.
    """

    limit: RateLimitOptions
    demand: Demand
    name: str


def max_wait_of(call: Call, max_wait: int | None) -> int | None:
    """Nanoseconds that a call may wait at most, with its deadline and those of the tools around it."""
    left = time_left(call.left())
    if left is None:
        return max_wait
    until_deadline = max(0, nanoseconds(left))
    return until_deadline if max_wait is None else min(max_wait, until_deadline)


def take(  # noqa: PLR0913, PLR0917 - the state of one call
    call: Call,
    requests: list[Request],
    store: RateLimitStore | None,
    max_wait: int | None,
    tool: str,
    reserved: tuple[Reservation, int] | None = None,
) -> Generator[Step, Any, Outcome | None]:
    """Take what was requested from all limits, or nothing from any.

    A call that has to wait reserves from the limit with the longest wait and leaves the others alone until that is
    over. Then it takes the rest at once; where it has to wait again, it keeps what it waited for.

    Args:
        call: The call, which gets the reports.
        requests: What is requested of each limit.
        store: Where the limits are kept; None for this process.
        max_wait: Nanoseconds to wait at most; None for any time.
        tool: The tool's name.
        reserved: What the first request was answered, where it was made before.

    Returns:
        None if everything was taken; otherwise the outcome of the attempt.
    """
    requests, wait = list(requests), _Wait(call)
    latest = None if max_wait is None else now() + max_wait
    try:
        while requests:
            answer = reserved or (yield from _reserve(call, requests, store, max_wait, tool))
            reserved = None
            if isinstance(answer, Outcome):
                return wait.ended_by(answer)
            reservation, index = answer
            if reservation is AT_ONCE:
                break
            if not reservation.granted:
                return wait.ended_by(_refusal(requests[index].limit, tool, reservation.wait), "rejected")
            yield from wait.sleep(reservation)
            if cancelled():
                message = f"tool {tool!r} was not started: nobody waits for it any more"
                return wait.ended_by(Outcome(None, RateLimited(message, tool=tool), "cancelled"), "cancelled")
            del requests[index]
            max_wait = None if latest is None else max(0, latest - now())
    except GeneratorExit:
        wait.give_back("cancelled")
        raise
    call.throttled("rate_limit", "acquired", wait.seconds)
    return None


class _Wait:
    """The wait of one call, and what it has reserved.

    Attributes:
        began: When it began to wait; None where it did not yet.
    """

    __slots__ = ("_call", "_held", "began")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._held: list[Reservation] = []
        self.began: float | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds since the call began to wait; None where it did not."""
        return None if self.began is None else clock.now() - self.began

    def sleep(self, reservation: Reservation) -> Generator[Step, Any, None]:
        """Sleep until the reserved token is there."""
        self._held.append(reservation)
        if self.began is None:
            self.began = clock.now()
            self._call.queued("rate_limit")
        wait = reservation.wait
        while True:
            yield Sleep(wait / 1e9)
            wait = reservation.at - now()
            if wait < _MAX_EARLY:
                return

    def ended_by(self, outcome: Outcome, result: ThrottlingResult | None = None) -> Outcome:
        """Give back what was reserved, report the result (none where a store fails at once) and return the outcome."""
        if result is not None or self.began is not None:
            self._call.throttled("rate_limit", result or "rejected", self.seconds)
        self._cancel()
        return outcome

    def give_back(self, result: ThrottlingResult) -> None:
        """The call is closed: give back what was reserved, and report the wait."""
        self._cancel()
        if self.began is not None:
            self._call.throttled("rate_limit", result, self.seconds)

    def _cancel(self) -> None:
        # The latest first, as each can only be undone by itself.
        for reservation in reversed(self._held):
            reservation.cancel()


def _reserve(
    call: Call, requests: list[Request], store: RateLimitStore | None, max_wait: int | None, tool: str
) -> Generator[Step, Any, tuple[Reservation, int] | Outcome]:
    """Reserve in the store; where it is unavailable and ``on_error`` is not raise, in this process."""
    if store is not None:
        outcome: Outcome = yield _step(requests, store, max_wait, tool)
        if outcome.error is None:
            value = outcome.value
            # A store that keeps limits one by one answers without an index.
            return (value, 0) if isinstance(value, Reservation) else value
        call.store_failed("reserve")
        if store.on_error == "raise" or isinstance(outcome.error, ConfigurationError):
            return outcome
    try:
        return reserve_all([request.demand for request in requests], max_wait)
    except Exception as error:  # noqa: BLE001 - a key has no hash, or a hash of the user's that raises
        log_failure("key", tool, error)
        return reserve_all([request.demand._replace(key=COMMON) for request in requests], max_wait)


def _step(requests: list[Request], store: Any, max_wait: int | None, tool: str) -> Perform:
    named = [(_name(request, tool), request.demand.quota) for request in requests]
    if len(named) == 1:
        arguments: tuple[Any, ...] = *named[0], max_wait
        return Perform(partial(store.reserve, *arguments), partial(store.areserve, *arguments))
    return Perform(partial(store.reserve_all, named, max_wait), partial(store.areserve_all, named, max_wait))


def _name(request: Request, tool: str) -> str:
    digest = _digest(request.demand.key, tool)
    return request.name if digest is None else f"{request.name}:{digest}"


def _refusal(limit: RateLimitOptions, tool: str, wait: int) -> Outcome:
    # Rounded up: a caller that comes back then must not be early by a fraction of a nanosecond.
    seconds = -(-wait // 1_000) / 1e6
    message = (
        f"tool {tool!r} was not started: its rate limit of {limit.quota_text} is used up; "
        f"try again in {max(0.001, seconds):.{0 if seconds >= 100 else 3}f} s"  # noqa: PLR2004 - enough digits
    )
    return Outcome(None, RateLimited(message, tool=tool, retry_after=seconds), "error")


def too_much(limit: RateLimitOptions, tool: str, cost: float, burst: float) -> RateLimited:
    """The error of a call that costs more than there ever is."""
    return RateLimited(
        f"tool {tool!r} was not started: it would take {cost:g} tokens, and its rate limit of "
        f"{limit.quota_text} never has more than its burst of {burst:g}; ask for less, or raise burst",
        tool=tool,
    )


def _digest(key: Hashable, tool: str) -> str | None:
    """A key as text that is the same in every process; None for the common one."""
    if key is COMMON:
        return None
    import hashlib  # noqa: PLC0415 - only limits with a key and a store need it

    try:
        return hashlib.blake2b(repr(key).encode(errors="surrogatepass"), digest_size=16).hexdigest()
    except Exception as error:  # noqa: BLE001 - a `__repr__` of the user's
        log_failure("key", tool, error)
        return None


def log_failure(option: str, tool: str, error: Exception | None) -> None:
    """Log that a function of the user's failed, and what the call counts as."""
    what = "the call counts against the common limit" if option == "key" else "the call takes one token"
    log_safely(logger, logging.ERROR, "rate limit %s of tool %r failed; %s", option, tool, what, exc_info=error)
