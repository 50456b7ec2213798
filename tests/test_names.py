"""The exported names, as dashboards, alert rules and users' queries use them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, exception_attributes

import otel_tools
from otel_tools._telemetry import instruments, names

if TYPE_CHECKING:
    from otel_tools.testing import Captured

METRICS = {
    "gen_ai.execute_tool.duration": "s",
    "otel_tools.calls": "{call}",
    "otel_tools.call.active": "{call}",
    "otel_tools.retries": "{retry}",
    "otel_tools.cache.requests": "{request}",
    "otel_tools.throttling.requests": "{request}",
    "otel_tools.throttling.time_in_queue": "s",
    "otel_tools.throttling.queued": "{request}",
    "otel_tools.circuit.state": "",
    "otel_tools.timeout.abandoned": "{thread}",
    "otel_tools.store.errors": "{error}",
    "otel_tools.objective": "",
    "otel_tools.export.dropped": "{item}",
}

ATTRIBUTES = {
    "OPERATION_NAME": "gen_ai.operation.name",
    "TOOL_NAME": "gen_ai.tool.name",
    "TOOL_TYPE": "gen_ai.tool.type",
    "TOOL_DESCRIPTION": "gen_ai.tool.description",
    "TOOL_CALL_ID": "gen_ai.tool.call.id",
    "TOOL_CALL_ARGUMENTS": "gen_ai.tool.call.arguments",
    "TOOL_CALL_RESULT": "gen_ai.tool.call.result",
    "AGENT_NAME": "gen_ai.agent.name",
    "CONVERSATION_ID": "gen_ai.conversation.id",
    "ERROR_TYPE": "error.type",
    "EXCEPTION_EVENT": "exception",
    "EXCEPTION_TYPE": "exception.type",
    "EXCEPTION_MESSAGE": "exception.message",
    "EXCEPTION_STACKTRACE": "exception.stacktrace",
    "OWN_TOOL_NAME": "otel_tools.tool.name",
    "OUTCOME": "otel_tools.outcome",
    "RETRY_COUNT": "otel_tools.retry.count",
    "CACHE_RESULT": "otel_tools.cache.result",
    "THROTTLING_WAIT": "otel_tools.throttling.wait",
    "THROTTLING_POLICY": "otel_tools.throttling.policy",
    "THROTTLING_RESULT": "otel_tools.throttling.result",
    "CALL_DURATION": "otel_tools.call.duration",
    "STORE_OPERATION": "otel_tools.store.operation",
    "EXPORT_SIGNAL": "otel_tools.export.signal",
}

VALUES = {
    "SCOPE": "otel_tools",
    "EXECUTE_TOOL": "execute_tool",
    "INVOKE_AGENT": "invoke_agent",
    "ATTEMPT": "attempt",
    "FUNCTION": "function",
    "CALL_EVENT": "tool.call",
    "CALL_BEGUN_EVENT": "tool.call.begun",
    "CANCELLED": "cancelled",
    "UNKNOWN_TOOL": "unknown_tool",
}

CONVENTIONS = {
    names.OPERATION_NAME: gen_ai_attributes.GEN_AI_OPERATION_NAME,
    names.TOOL_NAME: gen_ai_attributes.GEN_AI_TOOL_NAME,
    names.TOOL_TYPE: gen_ai_attributes.GEN_AI_TOOL_TYPE,
    names.TOOL_DESCRIPTION: gen_ai_attributes.GEN_AI_TOOL_DESCRIPTION,
    names.TOOL_CALL_ID: gen_ai_attributes.GEN_AI_TOOL_CALL_ID,
    names.TOOL_CALL_ARGUMENTS: gen_ai_attributes.GEN_AI_TOOL_CALL_ARGUMENTS,
    names.TOOL_CALL_RESULT: gen_ai_attributes.GEN_AI_TOOL_CALL_RESULT,
    names.AGENT_NAME: gen_ai_attributes.GEN_AI_AGENT_NAME,
    names.CONVERSATION_ID: gen_ai_attributes.GEN_AI_CONVERSATION_ID,
    names.EXECUTE_TOOL: gen_ai_attributes.GenAiOperationNameValues.EXECUTE_TOOL.value,
    names.INVOKE_AGENT: gen_ai_attributes.GenAiOperationNameValues.INVOKE_AGENT.value,
    names.ERROR_TYPE: error_attributes.ERROR_TYPE,
    names.EXCEPTION_TYPE: exception_attributes.EXCEPTION_TYPE,
    names.EXCEPTION_MESSAGE: exception_attributes.EXCEPTION_MESSAGE,
    names.EXCEPTION_STACKTRACE: exception_attributes.EXCEPTION_STACKTRACE,
}


def test_the_metrics_have_these_names_and_units() -> None:
    metrics = [value for value in vars(names).values() if isinstance(value, names.Metric)]

    assert {metric.name: metric.unit for metric in metrics} == METRICS
    assert all(metric.description.endswith(".") for metric in metrics)


def test_the_attributes_and_values_have_these_names() -> None:
    texts = {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}

    assert texts == ATTRIBUTES | VALUES


def test_the_buckets_are_those_of_the_conventions() -> None:
    assert tuple(round(0.01 * 2**power, 2) for power in range(14)) == names.DURATION_BUCKETS


@pytest.mark.parametrize(("ours", "theirs"), CONVENTIONS.items())
def test_names_of_the_conventions_equal_those_of_the_conventions_package(ours: str, theirs: str) -> None:
    assert ours == theirs


def test_every_metric_is_exported_under_its_scope_name_unit_and_description(
    seen: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(instruments.dropped, "traces", 0)  # as configure() does

    class BrokenStore(dict[Any, Any]):
        def get(self, _key: Any, _default: Any = None) -> Any:
            raise OSError

    attempts = iter([ConnectionError(), None])

    @otel_tools.tool(
        objective=otel_tools.Objective(success=0.9),
        timeout=5,
        retry=otel_tools.Retry(initial=0),
        cache=otel_tools.Cache(ttl=5, store=BrokenStore()),
        rate_limit=otel_tools.RateLimit(2, per=60, max_wait=0),
        circuit_breaker=otel_tools.CircuitBreaker(),
    )
    def work(_number: int) -> None:
        if error := next(attempts):
            raise error

    work(1)
    with pytest.raises(otel_tools.RateLimited):
        work(2)

    exported = {metric.name: (metric.unit, metric.description) for metric in seen.metrics}
    wanted = {m.name: (m.unit, m.description) for m in vars(names).values() if isinstance(m, names.Metric)}
    assert exported == wanted


def test_no_other_file_of_the_package_spells_a_name() -> None:
    spelt = set(ATTRIBUTES.values()) - {"exception"} | set(METRICS)
    package = Path(otel_tools.__file__).parent
    paths = [path for path in package.rglob("*.py") if path != package / "_telemetry" / "names.py"]

    assert len(paths) > 100
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        assert not {value for value in constants if isinstance(value, str)} & spelt, path
