"""What is counted of a tool's policies: plain integers, beside those of its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

from otel_tools._call.counter import Counter
from otel_tools._call.steps import CacheResult, ThrottlingPolicy, ThrottlingResult

__all__ = [
    "CACHE_RESULTS",
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
"""The conventions' word for an ``error.type`` that has no series of its own."""

_MAX_TYPES: Final = 100

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """How many calls of a tool got each answer from its cache.

    Attributes:
        hit: The value was there.
        miss: It was not; the tool was called.
        stale: It had expired, and was served because the tool failed.
        coalesced: Another call for the same was under way, and its value was shared.
        bypass: The arguments could not be made a key, or the value could not be kept.
    """

    hit: int = 0
    miss: int = 0
    stale: int = 0
    coalesced: int = 0
    bypass: int = 0


@dataclass(frozen=True, slots=True)
class ThrottlingCounts:
    """How many attempts of a tool asked for a slot, or for a token, and what came of it.

    Attributes:
        acquired: They got it, at once or after a wait.
        rejected: They were refused.
        cancelled: Their caller gave up while they waited.
        queued: They wait now.
    """

    acquired: int = 0
    rejected: int = 0
    cancelled: int = 0
    queued: int = 0


class PolicyCounters:
    """The numbers; whoever changes or reads them holds the lock of the `ToolCounters` that they belong to.

    Attributes:
        retries: By ``error.type`` of what failed before.
        answers: Count the cache's answers; without the lock.
        requests: Count what came of asking for slots and tokens, likewise.
        queued: Waiting now, by policy.
        store_errors: By operation.
        abandoned: Sync functions that still run although their time is over.
    """

    __slots__ = ("abandoned", "answers", "queued", "requests", "retries", "store_errors")

    def __init__(self) -> None:
        self.retries: dict[str, int] = {}
        self.answers = {result: Counter() for result in CACHE_RESULTS}
        self.requests = {policy: {result: Counter() for result in THROTTLING_RESULTS} for policy in THROTTLING_POLICIES}
        self.queued: dict[ThrottlingPolicy, int] = {}
        self.store_errors: dict[str, int] = {}
        self.abandoned = 0

    @property
    def cache(self) -> dict[CacheResult, int]:
        """How many calls got which of the cache's answers, where it is not none."""
        return {result: count for result, counter in self.answers.items() if (count := counter.value)}

    @property
    def throttling(self) -> dict[tuple[ThrottlingPolicy, ThrottlingResult], int]:
        """How many attempts asked for a slot or a token, by policy and result, likewise."""
        return {
            (policy, result): count
            for policy, counters in self.requests.items()
            for result, counter in counters.items()
            if (count := counter.value)
        }

    def retry(self, error_type: str) -> None:
        """One more, caused by such an error; classes made on the fly do not make series without end."""
        if error_type not in self.retries and len(self.retries) >= _MAX_TYPES:
            error_type = OTHER
        increment(self.retries, error_type)

    def stats(self) -> dict[str, Any]:
        """The fields of `ToolStats` that these numbers are."""
        return {
            "retries": sum(self.retries.values()),
            "cache": CacheCounts(**self.cache),
            **{policy: self._throttling(policy) for policy in THROTTLING_POLICIES},
            "store_errors": sum(self.store_errors.values()),
            "abandoned": self.abandoned,
        }

    def _throttling(self, policy: ThrottlingPolicy) -> ThrottlingCounts:
        results = {result: counter.value for result, counter in self.requests[policy].items()}
        return ThrottlingCounts(**results, queued=self.queued.get(policy, 0))


def increment(counts: dict[K, int], key: K, change: int = 1) -> None:
    """Add to one of them."""
    counts[key] = counts.get(key, 0) + change
