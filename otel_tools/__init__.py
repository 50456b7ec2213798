"""OpenTelemetry for LLM tool calls: decorate the functions that a model calls, trace them, alert when they fail."""

from __future__ import annotations

from otel_tools._call.scope import cancelled, remaining
from otel_tools._export.configure import configure, flush, shutdown
from otel_tools._model.call_ids.openai_client import instrument_openai, uninstrument_openai
from otel_tools._model.loop import LoopResult, arun_loop, run_loop
from otel_tools._model.toolset.results import ToolFailure, ToolResult
from otel_tools._model.toolset.toolset import ToolSet
from otel_tools._policies.cache.cache import Cache
from otel_tools._policies.circuit_breaker.breaker import CircuitBreaker
from otel_tools._policies.concurrency import Concurrency
from otel_tools._policies.rate_limit.limit import RateLimit
from otel_tools._policies.retry.retry import Retry
from otel_tools._policies.retry.transient import transient
from otel_tools._schema.from_model import schema_from_model
from otel_tools._telemetry.agent import agent
from otel_tools._telemetry.counters import CallCounts, ToolStats, stats
from otel_tools._telemetry.policy_counters import CacheCounts, ThrottlingCounts
from otel_tools._tool.decorator import tool
from otel_tools._tool.instrument import instrument
from otel_tools._tool.objective import Objective
from otel_tools._tool.tool import Tool
from otel_tools._tool.typing import ToolFunction
from otel_tools._version import __version__
from otel_tools.errors import (
    CircuitOpen,
    ConcurrencyLimited,
    ConfigurationError,
    FailedResult,
    FieldError,
    InvalidArguments,
    InvalidResult,
    RateLimited,
    ToolError,
    ToolTimeout,
)
from otel_tools.stores._redis.store import RedisStore
from otel_tools.stores._sqlite.store import SQLiteStore

__all__ = [
    "Cache",
    "CacheCounts",
    "CallCounts",
    "CircuitBreaker",
    "CircuitOpen",
    "Concurrency",
    "ConcurrencyLimited",
    "ConfigurationError",
    "FailedResult",
    "FieldError",
    "InvalidArguments",
    "InvalidResult",
    "LoopResult",
    "Objective",
    "RateLimit",
    "RateLimited",
    "RedisStore",
    "Retry",
    "SQLiteStore",
    "ThrottlingCounts",
    "Tool",
    "ToolError",
    "ToolFailure",
    "ToolFunction",
    "ToolResult",
    "ToolSet",
    "ToolStats",
    "ToolTimeout",
    "__version__",
    "agent",
    "arun_loop",
    "cancelled",
    "configure",
    "flush",
    "instrument",
    "instrument_openai",
    "remaining",
    "run_loop",
    "schema_from_model",
    "shutdown",
    "stats",
    "tool",
    "transient",
    "uninstrument_openai",
]
