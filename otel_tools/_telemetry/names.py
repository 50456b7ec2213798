"""Names, units, buckets and attributes of all exported telemetry. No other file of the package spells one.

Sources: the ``gen_ai.*`` names, the span name and the duration buckets are those of the OpenTelemetry semantic
conventions for generative AI (repository ``open-telemetry/semantic-conventions-genai``, commit 32c328e, status
Development); ``error.type`` and ``exception.*`` are from the core conventions 1.44 (Stable). Names under
``otel_tools.`` are our own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SCOPE: Final = "otel_tools"
"""The instrumentation scope of every signal."""

# Spans
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
ATTEMPT: Final = "attempt"
"""Not an operation of the conventions, so that nobody counts the span of an attempt as a call."""

# Attributes of the conventions
OPERATION_NAME: Final = "gen_ai.operation.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

FUNCTION: Final = "function"
"""The ``gen_ai.tool.type`` of a tool that runs in the client's process."""

# Our own attributes
OWN_TOOL_NAME: Final = "otel_tools.tool.name"
"""The tool's name on spans that are no call of it: viewers count each span with ``gen_ai.tool.name`` as a call."""
OUTCOME: Final = "otel_tools.outcome"
RETRY_COUNT: Final = "otel_tools.retry.count"
CACHE_RESULT: Final = "otel_tools.cache.result"
THROTTLING_WAIT: Final = "otel_tools.throttling.wait"
THROTTLING_POLICY: Final = "otel_tools.throttling.policy"
THROTTLING_RESULT: Final = "otel_tools.throttling.result"
CALL_DURATION: Final = "otel_tools.call.duration"
STORE_OPERATION: Final = "otel_tools.store.operation"
EXPORT_SIGNAL: Final = "otel_tools.export.signal"

CALL_EVENT: Final = "tool.call"
"""The event name of the log record of a call that ended."""

CALL_BEGUN_EVENT: Final = "tool.call.begun"
"""The event name of the log record, at DEBUG, of a call that begins."""

CANCELLED: Final = "cancelled"
"""The outcome of what its caller gave up. It has no ``error.type``: the conventions want one only beside an ERROR."""


UNKNOWN_TOOL: Final = "unknown_tool"
"""The ``error.type`` of a call of a model that names no tool. Others that are no class are in ``otel_tools.errors``."""


class Metric(NamedTuple):
    """One instrument: its name, its unit (UCUM) and its description."""

    name: str
    unit: str
    description: str


DURATION: Final = Metric("gen_ai.execute_tool.duration", "s", "Duration of one tool call, with all its attempts.")
CALLS: Final = Metric("otel_tools.calls", "{call}", "Tool calls that ended, by outcome.")
ACTIVE: Final = Metric("otel_tools.call.active", "{call}", "Tool calls that are running now.")
RETRIES: Final = Metric("otel_tools.retries", "{retry}", "Attempts after the first of a call, by what failed before.")
CACHE_REQUESTS: Final = Metric("otel_tools.cache.requests", "{request}", "Calls that asked the cache, by its answer.")
THROTTLING_REQUESTS: Final = Metric(
    "otel_tools.throttling.requests", "{request}", "Attempts that asked for a slot or a token, by what came of it."
)
THROTTLING_TIME: Final = Metric(
    "otel_tools.throttling.time_in_queue", "s", "Time that attempts waited for a slot or a token, or until refused."
)
THROTTLING_QUEUED: Final = Metric(
    "otel_tools.throttling.queued", "{request}", "Attempts that wait for a slot or a token now."
)
CIRCUIT_STATE: Final = Metric("otel_tools.circuit.state", "", "Circuit breaker: 0 closed, 1 half open, 2 open.")
ABANDONED: Final = Metric(
    "otel_tools.timeout.abandoned", "{thread}", "Sync functions that still run although their timeout is over."
)
STORE_ERRORS: Final = Metric("otel_tools.store.errors", "{error}", "What a shared store could not do, by operation.")
OBJECTIVE: Final = Metric("otel_tools.objective", "", "Success ratio that the tool is meant to keep.")
EXPORT_DROPPED: Final = Metric(
    "otel_tools.export.dropped", "{item}", "Spans, data points and log records that could not be delivered."
)

DURATION_BUCKETS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
"""Upper bounds of the duration histogram's buckets, inclusive, in seconds."""
