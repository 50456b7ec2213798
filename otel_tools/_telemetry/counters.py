"""Counters of each tool: plain integers under a short lock.

`stats()` reads them, and so do the observable instruments when the SDK exports. So both show the same numbers. Counters
are kept by the tool's name: two functions that share a name share one series, and no call is lost.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Protocol, get_args

from otel_tools._call.forks import at_fork
from otel_tools._call.outcome import OutcomeName
from otel_tools._option_names import check_option_names
from otel_tools._telemetry.names import DURATION_BUCKETS
from otel_tools._telemetry.policy_counters import CacheCounts, PolicyCounters, ThrottlingCounts
from otel_tools._telemetry.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_tools._call.call import CircuitState

__all__ = [
    "CallCounts",
    "ToolCounters",
    "ToolMetrics",
    "ToolStats",
    "all_tool_metrics",
    "metrics_of",
    "stats",
    "zeroed_counters",
]

RESULTS: Final[tuple[OutcomeName, ...]] = get_args(OutcomeName)
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CallCounts:
    """How many calls of a tool ended with each outcome."""

    ok: int = 0
    cached: int = 0
    fallback: int = 0
    invalid: int = 0
    cancelled: int = 0
    error: int = 0

    @property
    def total(self) -> int:
        """All calls that ended."""
        return self.ok + self.cached + self.fallback + self.invalid + self.cancelled + self.error


@dataclass(frozen=True, slots=True)
class ToolStats:
    """Statistics of one tool in this process, since it started or was forked.

    Attributes:
        calls: Number of calls that ended, by outcome.
        active: Number of calls that are running now.
        success_rate: ``(ok + cached + fallback) / (ok + cached + fallback + error)``; None before the first such call.
        mean: Mean duration of all calls that ended, in seconds; None before the first.
        p95: 95th percentile of the durations in seconds, interpolated in the buckets of the exported histogram as
            Prometheus' ``histogram_quantile`` does, and never above the longest call; None before the first.
        retries: Number of attempts after the first one of a call.
        cache: Number of calls that asked the cache, by its answer.
        rate_limit: Number of attempts that asked for a token, by result.
        concurrency: Number of attempts that asked for a slot, by result.
        circuit: State of the circuit breaker: ``closed``, ``half_open`` or ``open``; None where there is none.
        store_errors: Number of operations that a shared store could not do.
        abandoned: Number of sync functions that still run although their timeout is over.
    """

    calls: CallCounts
    active: int
    success_rate: float | None
    mean: float | None
    p95: float | None
    retries: int = 0
    cache: CacheCounts = field(default_factory=CacheCounts)
    rate_limit: ThrottlingCounts = field(default_factory=ThrottlingCounts)
    concurrency: ThrottlingCounts = field(default_factory=ThrottlingCounts)
    circuit: CircuitState | None = None
    store_errors: int = 0
    abandoned: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The statistics as dictionaries and numbers, for `json.dumps`."""
        return asdict(self)


class EndsOnce(Protocol):
    """A call, of which only the first end counts."""

    ended: bool


class ToolCounters:
    """Counters of one tool. A fork replaces them in the child, so each call keeps the ones that it began with.

    Attributes:
        lock: Held while the counters are changed or read.
        active: One item for each running call. Appending and popping need no lock; adding to a number would.
        calls: Number of calls that ended, by outcome.
        buckets: Number of calls in each bucket of the duration histogram; the last one has no upper bound.
        total: Sum of the durations, in nanoseconds.
        longest: Longest duration, in nanoseconds.
        policies: Counters of the tool's policies.
    """

    __slots__ = ("active", "buckets", "calls", "lock", "longest", "policies", "total")

    def __init__(self) -> None:
        # Reentrant: the garbage collector may call a tool in the thread that holds the lock.
        self.lock = RLock()
        self.active: list[None] = []
        self.calls = dict.fromkeys(RESULTS, 0)
        self.buckets = [0] * (len(DURATION_BUCKETS) + 1)
        self.total = 0
        self.longest = 0
        self.policies = PolicyCounters()

    def end(self, result: OutcomeName, nanoseconds: int, seconds: float, call: EndsOnce | None = None) -> bool:
        """Count the end of an active call, if it is the first; its duration is given in both units."""
        bucket = bisect_left(DURATION_BUCKETS, seconds)
        with self.lock:
            # Under the lock: a call may be ended from another thread, by a timeout of its caller.
            if call is not None:
                if call.ended:
                    return False
                call.ended = True
            self.active.pop()
            self.calls[result] += 1
            self.buckets[bucket] += 1
            self.total += nanoseconds
            if nanoseconds > self.longest:  # noqa: PLR1730 - max() is a call on the hot path
                self.longest = nanoseconds
        return True

    def stats(self) -> ToolStats:
        """The statistics, all read at one moment."""
        with self.lock:
            calls = CallCounts(**self.calls)
            buckets = tuple(self.buckets)
            active, total, longest = len(self.active), self.total, self.longest / _NANOSECONDS
            policies = self.policies.stats()
        succeeded = calls.ok + calls.cached + calls.fallback
        judged = succeeded + calls.error
        return ToolStats(
            calls=calls,
            active=active,
            success_rate=succeeded / judged if judged else None,
            mean=total / _NANOSECONDS / calls.total if calls.total else None,
            p95=min(quantile(0.95, DURATION_BUCKETS, buckets), longest) if calls.total else None,
            **policies,
        )


class ToolMetrics:
    """What the metrics of one tool name report.

    Attributes:
        tool: The tool's name.
        counters: The current counters; replaced in the child of a fork.
        objective: The success ratio that the tool declares; None where it declares none.
        policies: The options that put policies around the tool. The series of these policies start at 0.
        circuit: Returns the state of the tool's circuit breaker; None where it has none.
    """

    __slots__ = ("circuit", "counters", "objective", "policies", "tool")

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.counters = ToolCounters()
        self.objective: float | None = None
        self.policies: frozenset[str] = frozenset()
        self.circuit: Callable[[], CircuitState] | None = None

    def stats(self) -> ToolStats:
        """The statistics, all read at one moment."""
        tool_stats = self.counters.stats()
        return tool_stats if self.circuit is None else replace(tool_stats, circuit=self.circuit())


_by_name: dict[str, ToolMetrics] = {}
_lock = RLock()


def metrics_of(tool: str) -> ToolMetrics:
    """The metrics of a tool name: created on first use, kept for the life of the process as their series are."""
    with _lock:
        return _by_name.setdefault(tool, ToolMetrics(tool))


def all_tool_metrics() -> Iterable[ToolMetrics]:
    """The metrics of all tools, in the order in which the tools were decorated."""
    with _lock:
        return tuple(_by_name.values())


@check_option_names
def stats() -> dict[str, ToolStats]:
    """Statistics of every tool in this process, by the tool's name: the same numbers that are exported."""
    return {tool_metrics.tool: tool_metrics.stats() for tool_metrics in all_tool_metrics()}


@contextmanager
def zeroed_counters() -> Iterator[None]:
    """Count from zero in the block; after it, every tool goes on from the counters that it had before."""
    before = {tool_metrics: tool_metrics.counters for tool_metrics in all_tool_metrics()}
    for tool_metrics in before:
        tool_metrics.counters = ToolCounters()
    try:
        yield
    finally:
        for tool_metrics in all_tool_metrics():
            tool_metrics.counters = before.get(tool_metrics) or ToolCounters()


def _start_again() -> None:
    """Reset counters and locks in the child of a fork.

    The parent reports its own calls, and a thread that exists only in the parent may hold any lock.
    """
    global _lock  # noqa: PLW0603 - only a fork makes a new lock necessary
    _lock = RLock()
    for tool_metrics in _by_name.values():
        tool_metrics.counters.lock = RLock()
        tool_metrics.counters = ToolCounters()


at_fork(after_in_child=_start_again)
