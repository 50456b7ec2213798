"""The numbers of policies as the SDK reads them when it exports, and what a test is told of each thing that they do.

A tool's series exist from 0 on where it has the policy: a series that is born at 1 shows no increase to Prometheus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.metrics import CallbackOptions, Observation

from otel_tools._telemetry import names
from otel_tools._telemetry.counters import ToolMetrics, all_tool_metrics
from otel_tools._telemetry.policy_counters import THROTTLING_POLICIES, PolicyCounters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_tools._call.steps import CircuitState

__all__ = [
    "PolicyEvent",
    "observe_abandoned",
    "observe_cache",
    "observe_circuits",
    "observe_queued",
    "observe_retries",
    "observe_store_errors",
    "observe_throttling",
]

_STATES: Final[dict[CircuitState, int]] = {"closed": 0, "half_open": 1, "open": 2}


class PolicyEvent(NamedTuple):
    """One thing that a policy of a tool did.

    Attributes:
        tool: The tool's name.
        name: ``attempt_began``, ``attempt_ended``, ``retried``, ``cache_answered``, ``queued``, ``throttled``,
            ``store_failed``, ``abandoned`` or ``recovered``.
        values: What else is known of it: ``number``, ``outcome``, ``error_type``, ``retry_in`` (seconds), ``result``,
            ``policy``, ``waited`` (seconds), ``operation``, ``change``.
    """

    tool: str
    name: str
    values: Mapping[str, Any]


def _copies(which: Callable[[PolicyCounters], dict[Any, int]]) -> Iterable[tuple[ToolMetrics, dict[Any, int]]]:
    for tool_metrics in all_tool_metrics():
        counts = tool_metrics.counters
        with counts.lock:
            numbers = dict(which(counts.policies))
        yield tool_metrics, numbers


def observe_retries(_options: CallbackOptions) -> Iterable[Observation]:
    """Retries by what caused them."""
    for tool_metrics, numbers in _copies(lambda counts: counts.retries):
        for error_type, count in numbers.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.ERROR_TYPE: error_type})


def observe_cache(_options: CallbackOptions) -> Iterable[Observation]:
    """Calls by what the cache answered."""
    for tool_metrics, numbers in _copies(lambda counts: counts.cache):
        if "cache" in tool_metrics.policies:
            numbers = {"hit": 0, "miss": 0, **numbers}  # noqa: PLW2901 - with the series that begin at 0
        for result, count in numbers.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.CACHE_RESULT: result})


def observe_throttling(_options: CallbackOptions) -> Iterable[Observation]:
    """Attempts that asked for a slot or a token."""
    for tool_metrics, numbers in _copies(lambda counts: counts.throttling):
        zeros = {
            (policy, result): 0
            for policy in THROTTLING_POLICIES
            if policy in tool_metrics.policies
            for result in ("acquired", "rejected")
        }
        for (policy, result), count in {**zeros, **numbers}.items():
            yield Observation(
                count,
                {names.TOOL_NAME: tool_metrics.tool, names.THROTTLING_POLICY: policy, names.THROTTLING_RESULT: result},
            )


def observe_queued(_options: CallbackOptions) -> Iterable[Observation]:
    """Attempts that wait now."""
    for tool_metrics, numbers in _copies(lambda counts: counts.queued):
        zeros = {policy: 0 for policy in THROTTLING_POLICIES if policy in tool_metrics.policies}
        for policy, count in {**zeros, **numbers}.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.THROTTLING_POLICY: policy})


def observe_circuits(_options: CallbackOptions) -> Iterable[Observation]:
    """The state of each circuit breaker, once for each tool that it stands around."""
    for tool_metrics in all_tool_metrics():
        if tool_metrics.circuit is not None:
            yield Observation(_STATES[tool_metrics.circuit()], {names.TOOL_NAME: tool_metrics.tool})


def observe_abandoned(_options: CallbackOptions) -> Iterable[Observation]:
    """Threads whose function still runs."""
    for tool_metrics in all_tool_metrics():
        abandoned = tool_metrics.counters.policies.abandoned
        if abandoned or "timeout" in tool_metrics.policies:
            yield Observation(abandoned, {names.TOOL_NAME: tool_metrics.tool})


def observe_store_errors(_options: CallbackOptions) -> Iterable[Observation]:
    """What stores could not do."""
    for tool_metrics, numbers in _copies(lambda counts: counts.store_errors):
        for operation, count in numbers.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.STORE_OPERATION: operation})
