"""`RateLimit`: limits how often attempts begin."""

from __future__ import annotations

import inspect
import logging
import math
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.scope import cancelled, current_scope, time_left
from otel_tools._call.steps import Perform, Sleep
from otel_tools._option_names import check_option_names
from otel_tools._policies.checks import is_finite_number, is_wait_seconds
from otel_tools._policies.pickling import PickledByOptions
from otel_tools.errors import ConfigurationError, RateLimited
from otel_tools.stores._gcra import AT_ONCE, COMMON, KeyedBuckets, Quota, Reservation, nanoseconds, now
from otel_tools.stores._protocols import RateLimitStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next, Policy, Step

__all__ = ["RateLimit"]

logger = logging.getLogger("otel_tools.policies.rate_limit")

_MIN_INTERVAL: Final = Fraction(1, 10**9)
"""Seconds between two tokens at least: times are whole nanoseconds."""

_MAX_INTERVAL: Final = 366 * 86_400
"""Seconds between two tokens at most."""

_MAX_EARLY: Final = 1_000
"""Nanoseconds by which a sleep may end too early: less than the resolution of any timer."""


@check_option_names
@dataclass(frozen=True, slots=True, eq=False)
class RateLimit(PickledByOptions):
    """Let attempts begin at a given rate, and a burst of them at once; further attempts wait for their turn.

    A token bucket: it holds ``burst`` tokens, gains ``rate`` every ``per`` seconds, and each attempt takes one. Over
    any window of time at most ``burst + rate x window / per`` are given out. Threads and tasks are served first come,
    first served, and tools that are given the same object are limited together. Each process has limits of its own
    (a forked child begins with the tokens that were left), unless a ``store`` keeps them.

    Args:
        rate: Tokens, above 0. ``RateLimit(60, per=60)`` is one a second with bursts of 60.
        per: Seconds in which ``rate`` tokens are added.
        burst: Tokens that may be taken at once after a pause, 1 or more. By default as many as ``rate``, rounded down,
            but at least 1: ``RateLimit(0.5)`` lets one attempt through every two seconds.
        max_wait: Seconds to wait for a token at most; 0 never waits, None waits as long as it takes. A ``deadline``
            of the call bounds the wait too. A call that would have to wait longer takes no token and gets
            `RateLimited` at once, with ``retry_after``: the seconds until a token would be free.
        key: Called with the arguments of a call, a dictionary by parameter name; returns the key of the bucket that the
            call counts against, as in ``key=lambda args: args["user_id"]``. Each value, which must be hashable, has a
            bucket of its own; the fullest are removed beyond 100,000 that are in use. Where it raises, the error is
            logged and the call counts against one common bucket.
        store: Keeps the limit for several processes: a ``RedisStore``. Values of ``key`` are told apart by their
            ``repr`` then, and stored as a digest of it.
        name: The name of the limit in the store, by which processes share it; by default the name of its tool. Tools
            that share a limit in a store need one.

    Raises:
        ConfigurationError: A value cannot work.
    """

    rate: float
    per: float = 1.0
    burst: int | None = None
    max_wait: float | None = None
    key: Callable[[dict[str, Any]], Hashable] | None = None
    store: RateLimitStore | None = None
    _: KW_ONLY
    name: str | None = None
    _buckets: KeyedBuckets = field(init=False, repr=False)
    _stored_as: list[str] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        _check(self)
        burst = max(1, math.floor(self.rate)) if self.burst is None else self.burst
        object.__setattr__(self, "_buckets", KeyedBuckets(Quota.of(self.rate, self.per, burst)))

    def _name_in_store(self, tool: str) -> None:
        """Choose the name under which processes share the limit.

        Raises:
            ConfigurationError: Several tools share it in a store and it has no name: another process may decorate them
                in another order, and would have another limit.
        """
        if not self._stored_as:
            self._stored_as.append(self.name or tool)
        elif self.store is not None and self.name is None and self._stored_as[0] != tool:
            raise ConfigurationError(
                f"tool {tool!r}: rate_limit= is shared with tool {self._stored_as[0]!r} and kept in a store: give it a "
                f"name that all processes use, RateLimit({self.rate!r}, per={self.per!r}, store=..., name='my-limit')"
            )

    def policy(self, info: ToolInfo) -> Policy:
        """The rate limit policy of one tool."""
        self._name_in_store(info.tool)
        buckets, store, key_of, tool = self._buckets, self.store, _key_of(self.key, info), info.tool
        own_max_wait = None if self.max_wait is None else nanoseconds(self.max_wait)

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                if store is not None:
                    return reserve_in_store(call, store)
                is_free = call.scope is None and current_scope.get() is None
                max_wait = own_max_wait if is_free else _until_deadline(call, own_max_wait)
                if key_of is None:
                    reservation = buckets.reserve(max_wait)
                else:
                    reservation = _reserve(buckets, max_wait, key_of(call), tool)
                if reservation is AT_ONCE:
                    call.throttled("rate_limit", "acquired", None)
                    return inner(call)
                return self._wait_and_run(call, reservation, inner, tool)

            def reserve_in_store(call: Call, store: RateLimitStore) -> Flow:
                is_free = call.scope is None and current_scope.get() is None
                max_wait = own_max_wait if is_free else _until_deadline(call, own_max_wait)
                key = COMMON if key_of is None else key_of(call)
                reserved = yield from self._reserve_in_store(store, call, max_wait, key, tool)
                if isinstance(reserved, Outcome):
                    return reserved
                return (yield from self._wait_and_run(call, reserved, inner, tool))

            return flow

        return policy

    def _wait_and_run(self, call: Call, reservation: Reservation, inner: Next, tool: str) -> Flow:
        """Wait for the reserved token and run what is inside; refuse the attempt where none was granted."""
        if reservation is AT_ONCE:
            call.throttled("rate_limit", "acquired", None)
        elif reservation.granted:
            if not (yield from _wait(call, reservation)):
                message = f"tool {tool!r} was not started: nobody waits for it any more"
                return Outcome(None, RateLimited(message, tool=tool), "cancelled")
        else:
            call.throttled("rate_limit", "rejected", None)
            return self._refusal(tool, reservation.wait)
        return (yield from inner(call))

    def _reserve_in_store(
        self, store: RateLimitStore, call: Call, max_wait: int | None, key: Hashable, tool: str
    ) -> Generator[Step, Any, Reservation | Outcome]:
        """Reserve a token in the store; where it is unavailable and ``on_error`` is not raise, in this process."""
        (name,) = self._stored_as
        if (digest := _digest(key, tool)) is not None:
            name = f"{name}:{digest}"
        arguments = name, self._buckets.quota, max_wait
        outcome: Outcome = yield Perform(partial(store.reserve, *arguments), partial(store.areserve, *arguments))
        if outcome.error is None:
            return cast("Reservation", outcome.value)
        call.store_failed("reserve")
        if store.on_error == "raise":
            return outcome
        return _reserve(self._buckets, max_wait, key, tool)

    def _refusal(self, tool: str, wait: int) -> Outcome:
        # Rounded up: a caller that comes back then must not be early by a fraction of a nanosecond.
        seconds = -(-wait // 1_000) / 1e6
        message = (
            f"tool {tool!r} was not started: its rate limit of {self.rate:g} per {self.per:g} s is used up; "
            f"try again in {max(0.001, seconds):.{0 if seconds >= 100 else 3}f} s"  # noqa: PLR2004 - enough digits
        )
        return Outcome(None, RateLimited(message, tool=tool, retry_after=seconds), "error")


def _until_deadline(call: Call, max_wait: int | None) -> int | None:
    """Nanoseconds that the call may wait at most, with its deadline and those of the tools around it."""
    left = time_left(call.left())
    if left is None:
        return max_wait
    until_deadline = max(0, nanoseconds(left))
    return until_deadline if max_wait is None else min(max_wait, until_deadline)


def _wait(call: Call, reservation: Reservation) -> Generator[Step, Any, bool]:
    """Sleep until the reserved token is there; False where the call around this one was given up meanwhile."""
    began = clock.now()
    call.queued("rate_limit")
    wait = reservation.wait
    try:
        while True:
            yield Sleep(wait / 1e9)
            wait = reservation.at - now()
            if wait < _MAX_EARLY:
                break
    except GeneratorExit:
        reservation.cancel()
        call.throttled("rate_limit", "cancelled", clock.now() - began)
        raise
    given_up = cancelled()
    call.throttled("rate_limit", "cancelled" if given_up else "acquired", clock.now() - began)
    return not given_up


def _key_of(key: Callable[[dict[str, Any]], Hashable] | None, info: ToolInfo) -> Callable[[Call], Hashable] | None:
    """A function that returns the key of a call; None where all calls share one bucket."""
    if key is None:
        return None
    bind, tool = info.arguments.bind, info.tool

    def key_of(call: Call) -> Hashable:
        try:
            arguments = bind(*call.args, **call.kwargs)
        except TypeError:
            # The arguments do not fit; the function itself will raise that.
            return COMMON
        try:
            return key(arguments)
        except Exception as error:  # noqa: BLE001 - a mistake in `key` must not fail the tool
            _log(tool, error)
            return COMMON

    return key_of


def _reserve(buckets: KeyedBuckets, max_wait: int | None, key: Hashable, tool: str) -> Reservation:
    try:
        return buckets.reserve(max_wait, key)
    except Exception as error:  # noqa: BLE001 - the key has no hash, or a hash of the user's that raises
        _log(tool, error)
        return buckets.reserve(max_wait)


def _digest(key: Hashable, tool: str) -> str | None:
    """A key as text that is the same in every process; None for the common one."""
    if key is COMMON:
        return None
    import hashlib  # noqa: PLC0415 - only limits with a key and a store need it

    try:
        return hashlib.blake2b(repr(key).encode(errors="surrogatepass"), digest_size=16).hexdigest()
    except Exception as error:  # noqa: BLE001 - as above
        _log(tool, error)
        return None


def _log(tool: str, error: Exception) -> None:
    log_safely(
        logger,
        logging.ERROR,
        "rate limit key of tool %r failed; the call counts against the common limit",
        tool,
        exc_info=error,
    )


def _check(limit: RateLimit) -> None:
    for option in ("rate", "per"):
        value = getattr(limit, option)
        if not is_finite_number(value) or value <= 0:
            raise ConfigurationError(f"RateLimit({option}={value!r}): a finite number above 0 is needed")
    if not _MIN_INTERVAL <= Fraction(limit.per) / Fraction(limit.rate) <= _MAX_INTERVAL:
        raise ConfigurationError(
            f"RateLimit(rate={limit.rate!r}, per={limit.per!r}): "
            "a rate between one token a year and a billion a second is needed"
        )
    burst = limit.burst
    if burst is not None and (isinstance(burst, bool) or not isinstance(burst, int) or burst < 1):
        raise ConfigurationError(f"RateLimit(burst={burst!r}): a whole number of tokens is needed, 1 or more")
    if limit.max_wait is not None and not is_wait_seconds(limit.max_wait):
        raise ConfigurationError(
            f"RateLimit(max_wait={limit.max_wait!r}): seconds are needed, 0 or more (0 never waits), "
            "or None to wait as long as it takes"
        )
    if limit.key is not None and (not callable(limit.key) or inspect.iscoroutinefunction(limit.key)):
        raise ConfigurationError(
            f"RateLimit(key={limit.key!r}): a plain function of the arguments is needed, "
            'as in key=lambda args: args["user_id"]'
        )
    if limit.store is not None and not isinstance(limit.store, RateLimitStore):
        raise ConfigurationError(
            f"RateLimit(store={limit.store!r}): a store that can reserve is needed: RedisStore(url)"
        )
    if limit.name is not None and (not isinstance(limit.name, str) or not limit.name):
        raise ConfigurationError(f"RateLimit(name={limit.name!r}): text is needed, or None for the name of the tool")
