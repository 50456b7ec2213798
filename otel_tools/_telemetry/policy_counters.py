"""Counters of a tool's policies: plain integers, beside those of its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

from otel_tools._call.call import CacheResult, ThrottlingPolicy, ThrottlingResult

__all__ = [
    "CACHE_RESULTS",
    "OTHER",
    "THROTTLING_POLICIES",
    "THROTTLING_RESULTS",
    "CacheCounts",
    "PolicyCounters",
    "ThrottlingCounts",
    "increment",
]

CACHE_RESULTS: Final[tuple[CacheResult, ...]] = get_args(CacheResult)
THROTTLING_POLICIES: Final[tuple[ThrottlingPolicy, ...]] = get_args(ThrottlingPolicy)
THROTTLING_RESULTS: Final[tuple[ThrottlingResult, ...]] = get_args(ThrottlingResult)

OTHER: Final = "_OTHER"
"""What the conventions call a value without a series of its own: an ``error.type``, or the name of a tool."""

_MAX_ERROR_TYPES: Final = 100

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """Number of calls of a tool, by the answer of its cache.

    Attributes:
        hit: The cache had the value.
        miss: The cache had no value; the tool was called.
        stale: The value had expired and was served because the tool failed.
        coalesced: An equal call was running and its value was shared.
        bypass: No key could be made of the arguments, or the value could not be stored.
    """

    hit: int = 0
    miss: int = 0
    stale: int = 0
    coalesced: int = 0
    bypass: int = 0


@dataclass(frozen=True, slots=True)
class ThrottlingCounts:
    """Number of attempts of a tool that asked for a slot or a token, by result.

    Attributes:
        acquired: Attempts that got it, at once or after a wait.
        rejected: Attempts that were refused.
        cancelled: Attempts whose caller gave up during the wait.
        queued: Attempts that wait now.
    """

    acquired: int = 0
    rejected: int = 0
    cancelled: int = 0
    queued: int = 0


class PolicyCounters:
    """Counters of one tool's policies. The lock of its `ToolCounters` is held while they are changed or read.

    Attributes:
        retries: Retries, by the ``error.type`` of the failed attempt.
        cache: Calls that asked the cache, by its answer.
        requests: Attempts that asked for a slot or a token, by policy and result.
        queued: Attempts that wait now, by policy.
        store_errors: Errors of a shared store, by operation.
        abandoned: Sync functions that still run although their timeout is over.
    """

    __slots__ = ("abandoned", "cache", "queued", "requests", "retries", "store_errors")

    def __init__(self) -> None:
        self.retries: dict[str, int] = {}
        self.cache: dict[CacheResult, int] = dict.fromkeys(CACHE_RESULTS, 0)
        self.requests: dict[ThrottlingPolicy, dict[ThrottlingResult, int]] = {
            policy: dict.fromkeys(THROTTLING_RESULTS, 0) for policy in THROTTLING_POLICIES
        }
        self.queued: dict[ThrottlingPolicy, int] = {}
        self.store_errors: dict[str, int] = {}
        self.abandoned = 0

    @property
    def throttling(self) -> dict[tuple[ThrottlingPolicy, ThrottlingResult], int]:
        """Number of attempts by policy and result, without the results that no attempt got."""
        return {
            (policy, result): count
            for policy, results in self.requests.items()
            for result, count in results.items()
            if count
        }

    def retry(self, error_type: str) -> None:
        """Count a retry by the error that caused it; the number of series is bounded, as tools may create classes."""
        if error_type not in self.retries and len(self.retries) >= _MAX_ERROR_TYPES:
            error_type = OTHER
        increment(self.retries, error_type)

    def stats(self) -> dict[str, Any]:
        """The fields of `ToolStats` that show these counters."""
        return {
            "retries": sum(self.retries.values()),
            "cache": CacheCounts(**self.cache),
            **{policy: self._throttling(policy) for policy in THROTTLING_POLICIES},
            "store_errors": sum(self.store_errors.values()),
            "abandoned": self.abandoned,
        }

    def _throttling(self, policy: ThrottlingPolicy) -> ThrottlingCounts:
        return ThrottlingCounts(**self.requests[policy], queued=self.queued.get(policy, 0))


def increment(counts: dict[K, int], key: K, change: int = 1) -> None:
    """Add to the count of a key."""
    counts[key] = counts.get(key, 0) + change
