"""The numbers of each tool: plain integers under a short lock.

They are what `stats()` shows and what the observable instruments report when the SDK exports, so the two cannot
disagree. A tool's numbers are kept under its name: two functions that share a name share one series, and none of
their calls is lost.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, get_args

from otel_tools._call.forks import at_fork
from otel_tools._call.steps import Result
from otel_tools._telemetry.names import DURATION_BUCKETS
from otel_tools._telemetry.policy_counters import CacheCounts, PolicyCounts, ThrottlingCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_tools._call.steps import CircuitState

__all__ = ["CallCounts", "Counts", "Tally", "ToolStats", "fresh_counts", "stats", "tallies", "tally_of"]

RESULTS: Final[tuple[Result, ...]] = get_args(Result)
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
    """The numbers of one tool in this process since it started, or since it was forked.

    Attributes:
        calls: Calls that ended, by outcome.
        active: Calls that are running now.
        success_rate: ``(ok + cached + fallback) / (ok + cached + fallback + error)``; None before the first such call.
        mean: Mean duration of all calls that ended, in seconds; None before the first.
        p95: 95th percentile of the durations in seconds, interpolated in the buckets of the exported histogram as
            Prometheus' ``histogram_quantile`` does, and never above the longest call; None before the first.
        retries: Attempts after the first of a call.
        cache: Calls that asked the cache, by its answer.
        rate_limit: Attempts that asked for a token.
        concurrency: Attempts that asked for a slot.
        circuit: State of the circuit breaker: ``closed``, ``half_open`` or ``open``; None where there is none.
        store_errors: What a shared store could not do.
        abandoned: Sync functions that still run although their timeout is over.
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
        """The same as plain dictionaries and numbers, for `json.dumps`."""
        return asdict(self)


class Counts:
    """What is counted of a tool. A call keeps the one it started in, so that a fork can put a new one in its place.

    Attributes:
        active: As long as there are calls running. Appending and popping need no lock, which a number would.
        policies: What the tool's policies did.
    """

    __slots__ = ("active", "buckets", "calls", "lock", "longest", "policies", "total")

    def __init__(self) -> None:
        # One that its own thread can take again: the garbage collector may call a tool in the middle of it.
        self.lock = RLock()
        self.active: list[None] = []
        self.calls = dict.fromkeys(RESULTS, 0)
        self.buckets = [0] * (len(DURATION_BUCKETS) + 1)
        self.total = 0
        self.longest = 0
        self.policies = PolicyCounts()

    def end(self, result: Result, nanoseconds: int, seconds: float) -> None:
        """Count the end of an active call that took this long, given in both units."""
        bucket = bisect_left(DURATION_BUCKETS, seconds)
        with self.lock:
            self.active.pop()
            self.calls[result] += 1
            self.buckets[bucket] += 1
            self.total += nanoseconds
            if nanoseconds > self.longest:  # noqa: PLR1730 - max() is a call on the hot path
                self.longest = nanoseconds

    def stats(self) -> ToolStats:
        """One consistent look at the numbers."""
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
            p95=min(_quantile(0.95, buckets), longest) if calls.total else None,
            **policies,
        )


class Tally:
    """The numbers of one tool name.

    Attributes:
        tool: The name.
        counts: What is counted now; replaced in the child of a fork.
        objective: The success ratio that the tool declared, if it did.
        policies: The options that put policies around the tool, so that their series exist from 0 on.
        circuit: Tells the state of its circuit breaker, if it has one.
    """

    __slots__ = ("circuit", "counts", "objective", "policies", "tool")

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.counts = Counts()
        self.objective: float | None = None
        self.policies: frozenset[str] = frozenset()
        self.circuit: Callable[[], CircuitState] | None = None

    def stats(self) -> ToolStats:
        """One consistent look at the numbers."""
        numbers = self.counts.stats()
        return numbers if self.circuit is None else replace(numbers, circuit=self.circuit())


_tallies: dict[str, Tally] = {}
_lock = RLock()


def tally_of(tool: str) -> Tally:
    """The tally of a tool name, made when first asked for; it stays for the life of the process, as its series do."""
    with _lock:
        return _tallies.setdefault(tool, Tally(tool))


def tallies() -> Iterable[Tally]:
    """All tallies, in the order in which their tools were decorated."""
    with _lock:
        return tuple(_tallies.values())


def stats() -> dict[str, ToolStats]:
    """The numbers of every tool in this process, by name: the same that are exported."""
    return {tally.tool: tally.stats() for tally in tallies()}


@contextmanager
def fresh_counts() -> Iterator[None]:
    """Every tool counts from zero in the block, and goes on from where it was after it."""
    before = {tally: tally.counts for tally in tallies()}
    for tally in before:
        tally.counts = Counts()
    try:
        yield
    finally:
        for tally in tallies():
            tally.counts = before.get(tally) or Counts()


def _quantile(q: float, buckets: tuple[int, ...]) -> float:
    """Linear interpolation inside the bucket that holds the quantile (Prometheus, ``histogram_quantile``)."""
    rank = q * sum(buckets)
    below = 0
    for index, count in enumerate(buckets[:-1]):
        if below + count >= rank:
            lower = DURATION_BUCKETS[index - 1] if index else 0.0
            return lower + (DURATION_BUCKETS[index] - lower) * (rank - below) / count
        below += count
    return DURATION_BUCKETS[-1]


def _start_again() -> None:
    """In the child of a fork: the parent's calls are not the child's, and a thread that is gone may hold any lock."""
    global _lock  # noqa: PLW0603 - a fork is the one event that makes a new lock necessary
    _lock = RLock()
    for tally in _tallies.values():
        tally.counts.lock = RLock()
        tally.counts = Counts()


at_fork(after_in_child=_start_again)
