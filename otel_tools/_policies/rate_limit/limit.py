"""`RateLimit`: limits how often attempts begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otel_tools._call.call import Call
from otel_tools._call.drive import arun_steps, run_steps
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import current_scope
from otel_tools._call.steps import ended_flow
from otel_tools._option_names import check_option_names
from otel_tools._policies.checks import check_store, is_wait_seconds
from otel_tools._policies.pickling import PickledByOptions
from otel_tools._policies.rate_limit.one_limit import OneLimit
from otel_tools._policies.rate_limit.options import RateLimitOptions, check_list, is_cost
from otel_tools._policies.rate_limit.tokens import Request, log_failure, max_wait_of, take
from otel_tools.errors import ConfigurationError, RateLimited
from otel_tools.stores._gcra import AT_ONCE, COMMON, Demand, Reservation, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Flow, Next, Policy, Step
    from otel_tools.stores._protocols import RateLimitStore

__all__ = ["RateLimit"]


@check_option_names
@dataclass(frozen=True, slots=True, eq=False)
class RateLimit(RateLimitOptions, PickledByOptions):
    """Let attempts begin at a given rate, and a burst of them at once; further attempts wait for their turn.

    A token bucket: it holds ``burst`` tokens, gains ``rate`` every ``per`` seconds, and each attempt takes one. Over
    any window of time at most ``burst + rate x window / per`` are given out. Threads and tasks are served first come,
    first served, and tools that are given the same object are limited together. Each process has limits of its own
    (a forked child begins with the tokens that were left), unless a ``store`` keeps them.

    ``RateLimit([RateLimit(10), RateLimit(500, per=3600)])``, or the list itself as ``tool(rate_limit=[...])``, is
    several limits at once: an attempt begins when each of them has a token. It takes all tokens together; while it
    waits, for the limit with the longest wait first, and when it is refused, it takes nothing from the others.

    Args:
        rate: Tokens, above 0. ``RateLimit(60, per=60)`` is one a second with bursts of 60. Or a list of limits, beside
            which only ``max_wait`` can be given.
        per: Seconds in which ``rate`` tokens are added.
        burst: Tokens that may be taken at once after a pause, 1 or more. By default as many as ``rate``, rounded down,
            but at least 1: ``RateLimit(0.5)`` lets one attempt through every two seconds.
        max_wait: Seconds to wait for a token at most; 0 never waits, None waits as long as it takes. A ``deadline``
            of the call bounds the wait too. A call that would have to wait longer takes no token and gets
            `RateLimited` at once, with ``retry_after``: the seconds until a token would be free. Of several limits the
            shortest counts.
        key: Called with the arguments of a call, a dictionary by parameter name; returns the key of the bucket that the
            call counts against, as in ``key=lambda args: args["user_id"]``. Each value, which must be hashable, has a
            bucket of its own; the fullest are removed beyond 100,000 that are in use. Where it raises, the error is
            logged and the call counts against one common bucket.
        store: Keeps the limit for several processes: a ``RedisStore``. Values of ``key`` are told apart by their
            ``repr`` then, and stored as a digest of it.
        name: The name of the limit in the store, by which processes share it; by default the name of its tool (in a
            list, with the rate behind it). Tools that share a limit in a store need one.
        cost: Tokens that an attempt takes, 0 or more, or a function of the arguments that returns them, as in
            ``cost=lambda args: len(args["rows"])``. A call that costs more than ``burst`` gets `RateLimited` without a
            ``retry_after``. Where the function raises or returns no such number, the error is logged and the call
            takes one token.

    Raises:
        ConfigurationError: A value cannot work.
    """

    _limits: tuple[OneLimit, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work, and make what the tools of this limit share."""
        if not isinstance(self.rate, Sequence) or not all(isinstance(each, RateLimit) for each in self.rate):
            object.__setattr__(self, "_limits", (OneLimit(self),))
            return
        listed = [each for each in self.rate if isinstance(each, RateLimit)]
        limits = tuple(one for each in listed for one in each.limits)
        check_list(self, [one.options for one in limits])
        waits = [each.max_wait for each in (self, *listed) if each.max_wait is not None]
        object.__setattr__(self, "max_wait", min(waits, default=None))
        object.__setattr__(self, "_limits", limits)

    def acquire(
        self, blocking: bool = True, timeout: float | None = None, *, cost: float | None = None, key: Hashable = COMMON
    ) -> bool:
        """Take a token by hand, outside of a tool's call: for a loop, or for each request that a tool makes.

        What is taken by hand counts for the limit, and in no tool's numbers. Inside a tool, the wait ends with the time
        that the tool has (`otel_tools.remaining`).

        Args:
            blocking: Whether to wait for it.
            timeout: Seconds to wait at most; None is the ``max_wait`` of the limit.
            cost: Tokens to take; None is the limit's own ``cost`` where that is a number, else 1.
            key: What the limit's function ``key`` would return; without it the common bucket.

        Returns:
            Whether it was taken; as with `threading.Lock.acquire`, False where none came free in time.

        Raises:
            ConfigurationError: An argument cannot work, or the limit is kept in a store and has no name.
            RateLimited: ``cost`` is above the burst.
        """
        return run_steps(self._by_hand(timeout, cost, key, blocking=blocking))

    async def aacquire(
        self,
        blocking: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `acquire`
        *,
        cost: float | None = None,
        key: Hashable = COMMON,
    ) -> bool:
        """As `acquire`, without blocking the event loop."""
        return await arun_steps(self._by_hand(timeout, cost, key, blocking=blocking))

    def _by_hand(
        self, timeout: float | None, cost: float | None, key: Hashable, *, blocking: bool
    ) -> Generator[Step, Any, bool]:
        if timeout is not None and (not blocking or not is_wait_seconds(timeout)):
            raise ConfigurationError(
                f"RateLimit.acquire(blocking={blocking!r}, timeout={timeout!r}): seconds to wait are "
                "needed, 0 or more, and blocking=True"
            )
        if cost is not None and not is_cost(cost):
            raise ConfigurationError(f"RateLimit.acquire(cost={cost!r}): a number of tokens is needed, 0 or more")
        requests = [request for one in self._limits if (request := one.by_hand(key, cost)) is not None]
        call, max_wait = Call((), {}), self.max_wait if timeout is None else timeout
        wait = max_wait_of(call, None if max_wait is None else nanoseconds(max_wait)) if blocking else 0
        refused = yield from take(call, requests, self._store, wait, "by hand")
        if refused is not None and refused.error is not None and not isinstance(refused.error, RateLimited):
            raise refused.error
        return refused is None

    @property
    def limits(self) -> tuple[OneLimit, ...]:
        """The limits that an attempt takes tokens from: those of the list, or one."""
        return self._limits

    @property
    def _store(self) -> RateLimitStore | None:
        return self._limits[0].options.store

    def policy(self, info: ToolInfo) -> Policy:
        """The rate limit policy of one tool.

        Raises:
            ConfigurationError: Its name in a store is not clear.
        """
        check_store(self._store, info)
        self._name_limits(info.tool)
        if len(self._limits) == 1 and self._limits[0].is_simple:
            return self._policy_of_one(self._limits[0], info)
        tool, store = info.tool, self._store
        own_max_wait = None if self.max_wait is None else nanoseconds(self.max_wait)
        parts = [(one, one.key_of(info), one.cost_of(info)) for one in self._limits]

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                requests: list[Request] = []
                try:
                    for one, key_of, cost_of in parts:
                        request = one.request(COMMON if key_of is None else key_of(call), cost_of(call), tool)
                        if request is not None:
                            requests.append(request)
                except RateLimited as error:
                    call.throttled("rate_limit", "rejected", None)
                    return ended_flow(Outcome.of_error(error))
                return _take_and_run(call, requests, store, max_wait_of(call, own_max_wait), tool, inner)

            return flow

        return policy

    def _policy_of_one(self, one: OneLimit, info: ToolInfo) -> Policy:
        """The policy of what most tools have: one limit in this process, of one token a call."""
        buckets, key_of, tool = one.buckets, one.key_of(info), info.tool
        own_max_wait = None if self.max_wait is None else nanoseconds(self.max_wait)

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                # A function of its own would cost every call a tenth of what the limit does.
                is_free = call.scope is None and current_scope.get() is None
                max_wait = own_max_wait if is_free else max_wait_of(call, own_max_wait)
                key = COMMON
                if key_of is None:
                    reservation = buckets.reserve(max_wait)
                else:
                    key = key_of(call)
                    try:
                        reservation = buckets.reserve(max_wait, key)
                    except Exception as error:  # noqa: BLE001 - no hash, or a hash of the user's that raises
                        log_failure("key", tool, error)
                        reservation = buckets.reserve(max_wait)
                if reservation is AT_ONCE:
                    call.throttled("rate_limit", "acquired", None)
                    return inner(call)
                request = Request(one.options, Demand(buckets, key, buckets.quota), tool)
                return _take_and_run(call, [request], None, max_wait, tool, inner, (reservation, 0))

            return flow

        return policy

    def _name_limits(self, tool: str) -> None:
        """Choose the names in the store.

        Raises:
            ConfigurationError: They are not clear, or two are the same.
        """
        names = [
            one.name_for(tool, tool if len(self._limits) == 1 else f"{tool} {one.options.rate!r}/{one.options.per!r}")
            for one in self._limits
        ]
        if self._store is not None and len(set(names)) < len(names):
            raise ConfigurationError(
                f"tool {tool!r}: limits of rate_limit= have one name in the store ({', '.join(map(repr, names))}); "
                "give each a name= of its own"
            )


def _take_and_run(  # noqa: PLR0913, PLR0917 - the state of one call
    call: Call,
    requests: list[Request],
    store: RateLimitStore | None,
    max_wait: int | None,
    tool: str,
    inner: Next,
    reserved: tuple[Reservation, int] | None = None,
) -> Flow:
    refused = yield from take(call, requests, store, max_wait, tool, reserved)
    return refused if refused is not None else (yield from inner(call))
