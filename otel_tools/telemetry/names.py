"""Every name, unit, bucket and attribute that leaves the process. Nothing else in the package spells one.

Sources: the ``gen_ai.*`` names, the span name and the duration buckets are those of the OpenTelemetry semantic
conventions for generative AI (repository ``open-telemetry/semantic-conventions-genai``, commit 32c328e, status
Development); ``error.type`` and ``exception.*`` are from the core conventions 1.44 (Stable). Everything under
``otel_tools.`` is ours.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SCOPE: Final = "otel_tools"
"""The instrumentation scope of every signal."""

# Spans
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"

# Attributes of the conventions
OPERATION_NAME: Final = "gen_ai.operation.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
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

# Attributes of ours
OUTCOME: Final = "otel_tools.outcome"
EXPORT_SIGNAL: Final = "otel_tools.export.signal"

# Values of error.type that are not the class of an exception
TOOL_ERROR: Final = "tool_error"
CANCELLED: Final = "cancelled"


class Metric(NamedTuple):
    """One instrument: its name, its unit (UCUM) and what it says."""

    name: str
    unit: str
    description: str


DURATION: Final = Metric("gen_ai.execute_tool.duration", "s", "Duration of one tool call, with all its attempts.")
CALLS: Final = Metric("otel_tools.calls", "{call}", "Tool calls that ended, by outcome.")
ACTIVE: Final = Metric("otel_tools.call.active", "{call}", "Tool calls that are running now.")
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
"""Upper bounds, inclusive, in seconds."""
