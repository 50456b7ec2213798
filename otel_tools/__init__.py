"""OpenTelemetry for LLM tool calls: decorate the functions that a model calls, trace them, alert when they fail."""

from __future__ import annotations

from otel_tools._version import __version__
from otel_tools.decorator import Objective, Tool, tool
from otel_tools.errors import ConfigurationError
from otel_tools.instrument import instrument
from otel_tools.telemetry.agent import agent
from otel_tools.telemetry.setup import configure, flush, shutdown
from otel_tools.telemetry.tally import CallCounts, ToolStats, stats
from otel_tools.typed import ToolFunction

__all__ = [
    "CallCounts",
    "ConfigurationError",
    "Objective",
    "Tool",
    "ToolFunction",
    "ToolStats",
    "__version__",
    "agent",
    "configure",
    "flush",
    "instrument",
    "shutdown",
    "stats",
    "tool",
]
