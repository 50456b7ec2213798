"""Callbacks that report the counters of policies to the SDK, and the event that tests get of each policy's action.

A series starts at 0 where the tool has the policy: Prometheus sees no increase in a series that starts at 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.metrics import CallbackOptions, Observation

from otel_tools._telemetry import names
from otel_tools._telemetry.counters import ToolMetrics, all_tool_metrics
from otel_tools._telemetry.policy_counters import THROTTLING_POLICIES, PolicyCounters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_tools._call.call import CircuitState

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

_CIRCUIT_STATES: Final[dict[CircuitState, int]] = {"closed": 0, "half_open": 1, "open": 2}


class PolicyEvent(NamedTuple):
    """One action of a policy of a tool.

    Attributes:
        tool: The tool's name.
        name: ``attempt_began``, ``attempt_ended``, ``retried``, ``cache_answered``, ``queued``, ``throttled``,
            ``store_failed``, ``abandoned`` or ``recovered``.
        values: Details of the action: ``number``, ``outcome``, ``error_type``, ``retry_in`` (seconds), ``result``,
            ``policy``, ``waited`` (seconds), ``operation``, ``change``.
    """

    tool: str
    name: str
    values: Mapping[str, Any]


def _snapshots(select: Callable[[PolicyCounters], dict[Any, int]]) -> Iterable[tuple[ToolMetrics, dict[Any, int]]]:
    for tool_metrics in all_tool_metrics():
        counters = tool_metrics.counters
        with counters.lock:
            counts = dict(select(counters.policies))
        yield tool_metrics, counts


def observe_retries(_options: CallbackOptions) -> Iterable[Observation]:
    """Retries, by the error that caused them."""
    for tool_metrics, counts in _snapshots(lambda counters: counters.retries):
        for error_type, count in counts.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.ERROR_TYPE: error_type})


def observe_cache(_options: CallbackOptions) -> Iterable[Observation]:
    """Calls, by the answer of the cache."""
    for tool_metrics, counts in _snapshots(
        lambda counters: {answer: count for answer, count in counters.cache.items() if count}
    ):
        if "cache" in tool_metrics.policies:
            counts = {"hit": 0, "miss": 0, **counts}  # noqa: PLW2901 - adds the series that start at 0
        for result, count in counts.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.CACHE_RESULT: result})


def observe_throttling(_options: CallbackOptions) -> Iterable[Observation]:
    """Attempts that asked for a slot or a token, by policy and result."""
    for tool_metrics, counts in _snapshots(lambda counters: counters.throttling):
        zeros = {
            (policy, result): 0
            for policy in THROTTLING_POLICIES
            if policy in tool_metrics.policies
            for result in ("acquired", "rejected")
        }
        for (policy, result), count in {**zeros, **counts}.items():
            yield Observation(
                count,
                {names.TOOL_NAME: tool_metrics.tool, names.THROTTLING_POLICY: policy, names.THROTTLING_RESULT: result},
            )


def observe_queued(_options: CallbackOptions) -> Iterable[Observation]:
    """Attempts that wait now, by policy."""
    for tool_metrics, counts in _snapshots(lambda counters: counters.queued):
        zeros = {policy: 0 for policy in THROTTLING_POLICIES if policy in tool_metrics.policies}
        for policy, count in {**zeros, **counts}.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.THROTTLING_POLICY: policy})


def observe_circuits(_options: CallbackOptions) -> Iterable[Observation]:
    """The state of the circuit breaker of each tool that has one."""
    for tool_metrics in all_tool_metrics():
        if tool_metrics.circuit is not None:
            yield Observation(_CIRCUIT_STATES[tool_metrics.circuit()], {names.TOOL_NAME: tool_metrics.tool})


def observe_abandoned(_options: CallbackOptions) -> Iterable[Observation]:
    """Abandoned sync functions that still run."""
    for tool_metrics in all_tool_metrics():
        abandoned = tool_metrics.counters.policies.abandoned
        if abandoned or "timeout" in tool_metrics.policies:
            yield Observation(abandoned, {names.TOOL_NAME: tool_metrics.tool})


def observe_store_errors(_options: CallbackOptions) -> Iterable[Observation]:
    """Errors of stores, by operation."""
    for tool_metrics, counts in _snapshots(lambda counters: counters.store_errors):
        for operation, count in counts.items():
            yield Observation(count, {names.TOOL_NAME: tool_metrics.tool, names.STORE_OPERATION: operation})
