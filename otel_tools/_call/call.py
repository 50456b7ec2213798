"""`Call`: one use of a tool, and the hooks by which drivers and policies report how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from otel_tools._call.clock import clock

if TYPE_CHECKING:
    from otel_tools._call.outcome import Outcome, OutcomeName
    from otel_tools._call.scope import Scope

__all__ = ["CacheResult", "Call", "CircuitState", "ThrottlingPolicy", "ThrottlingResult"]

CacheResult: TypeAlias = Literal["hit", "miss", "stale", "coalesced", "bypass"]
"""The answer of a cache: found; not found; expired but served; another call's value; the cache could not be used."""

ThrottlingPolicy: TypeAlias = Literal["rate_limit", "concurrency"]
"""What a call waits for: a token or a slot."""

ThrottlingResult: TypeAlias = Literal["acquired", "rejected", "cancelled"]
"""The result of a request for a token or a slot."""

CircuitState: TypeAlias = Literal["closed", "half_open", "open"]
"""Whether a circuit breaker lets attempts through, lets probes through, or refuses."""


class Call:
    """One logical use of a tool, with all its attempts.

    This is also the hook protocol: a plan opens one `Call` for each use, and the driver and the policies report to it.
    Telemetry is a subclass; its methods never raise and never block.

    Attributes:
        args: Positional arguments as the caller passed them, or as validation coerced them.
        kwargs: Keyword arguments likewise.
        scope: The deadline and the flag that the function can read; None while no policy has set one.
    """

    __slots__ = ("args", "kwargs", "scope")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.scope: Scope | None = None

    def left(self) -> float | None:
        """Seconds until this call's deadline, negative after it; None without a deadline."""
        if self.scope is None or self.scope.deadline is None:
            return None
        return self.scope.deadline - clock.now()

    def suspend(self) -> None:
        """Control returns to the caller although the call goes on: a generator has yielded."""

    def resume(self) -> None:
        """The body of a suspended call runs again."""

    def attempt_began(self, number: int) -> None:
        """An attempt begins; the first has number 1. Only policies that may make more than one report it."""

    def attempt_ended(self, outcome: Outcome, retry_in: float | None) -> None:
        """The attempt ended; the next begins in ``retry_in`` seconds, None means there is none."""

    def retried(self, error_type: str) -> None:
        """The function's own retries (tenacity) made another attempt after an error of this type."""

    def cache_answered(self, result: CacheResult) -> None:
        """The cache answered; reported once a call."""

    def queued(self, policy: ThrottlingPolicy) -> None:
        """The call begins to wait for a token or a slot; `throttled` reports how the wait ended."""

    def throttled(self, policy: ThrottlingPolicy, result: ThrottlingResult, waited: float | None) -> None:
        """A request for a token or a slot ended; reported once an attempt.

        Args:
            policy: Rate limit or concurrency.
            result: Acquired, rejected or cancelled.
            waited: Seconds since the call was `queued`; None where it did not wait.
        """

    def store_failed(self, operation: str) -> None:
        """An operation of a store failed; the call goes on without the store, or fails because of it."""

    def abandoned(self, change: Literal[1, -1]) -> None:
        """A sync function runs on after its timeout (1), or such a function has ended (-1)."""

    def recovered(self, outcome: Outcome) -> None:
        """The call failed with this outcome, and another value is served instead."""

    def close(
        self,
        value: Any = None,
        error: BaseException | None = None,
        result: OutcomeName = "ok",
        error_type: str | None = None,
    ) -> bool | None:
        """The call ended. Takes the fields of an `Outcome`, so that the plain path need not make one.

        Returns:
            False if it had ended before: only its first end counts.
        """
