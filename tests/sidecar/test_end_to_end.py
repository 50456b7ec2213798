"""The real programs end to end: a tool's span in Jaeger, its numbers in Prometheus, its alert."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from otel_tools._sidecar import configs, http
from otel_tools._sidecar.runner import Sidecar
from otel_tools._telemetry import names
from tests.sidecar.controlled import ControlledSidecar

pytestmark = pytest.mark.sidecar

T = TypeVar("T")

APP = Path(__file__).parent / "app.py"
CONVERSATIONS = 10
# What the demo's scripted conversation calls, and what comes of it.
CALLS = {
    ("get_weather", "ok"): 1,
    ("get_weather", "error"): 0,
    ("get_stock_price", "ok"): 1,
    ("get_stock_price", "error"): 2,
    ("search_web", "ok"): 2,
    ("search_web", "error"): 0,
}


def until(ask: Callable[[], T | None], what: str, within: float = 120.0) -> T:
    """Poll until there is an answer, and return it."""
    deadline = time.monotonic() + within
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within:g} s")
        time.sleep(0.2)
    return answer


def query(sidecar: Sidecar, expression: str) -> list[dict[str, Any]]:
    url = f"{sidecar.prometheus}/api/v1/query?query={urllib.parse.quote(expression)}"
    found: list[dict[str, Any]] = http.get_json(url, timeout=30)["data"]["result"]
    return found


def some(sidecar: Sidecar, expression: str) -> list[dict[str, Any]] | None:
    return query(sidecar, expression) or None


def spans_of(sidecar: Sidecar, trace_id: str) -> list[dict[str, Any]] | None:
    """The spans of a trace by Jaeger's stable API; None while it has none."""
    status, _ = http.get(url := f"{sidecar.jaeger}/api/v3/traces/{trace_id}", timeout=30)
    if status == 404:
        return None
    return [
        span
        for resource in http.get_json(url, timeout=30)["result"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def whole_trace(sidecar: Sidecar, trace_id: str, count: int) -> list[dict[str, Any]] | None:
    spans = spans_of(sidecar, trace_id) or []
    return spans if len(spans) >= count else None


def attributes(span: dict[str, Any]) -> dict[str, str]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span.get("attributes", [])}


def environment(sidecar: Sidecar) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "OPENAI_"))}
    return clean | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sidecar.otlp_http,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_TOOLS_JAEGER_URL": sidecar.jaeger,
        "OTEL_TOOLS_PROMETHEUS_URL": sidecar.prometheus,
        "NO_PROXY": "127.0.0.1",
    }


def run_app(sidecar: Sidecar, name: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(APP), name],
        env=environment(sidecar),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def demo(sidecar: Sidecar) -> str:
    """Run the demo against the sidecar; return its output."""
    until(lambda: query(sidecar, 'up{job="otel-tools"} == 1') or None, "Prometheus scrapes the collector")
    ran = subprocess.run(
        [sys.executable, "-m", "otel_tools", "demo", "--exporter", "otlp", "--repeat", str(CONVERSATIONS)],
        env=environment(sidecar),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_demos_loop_is_one_trace_in_jaeger(sidecar: Sidecar, demo: str) -> None:
    link = re.search(rf"{re.escape(sidecar.jaeger)}/trace/([0-9a-f]{{32}})", demo)
    assert link, demo
    # A long trace may leave the process in two batches.
    spans = until(partial(whole_trace, sidecar, link[1], 1 + sum(CALLS.values())), "the demo's whole trace")

    (root,) = [span for span in spans if not span.get("parentSpanId")]
    assert root["name"] == "invoke_agent travel-assistant"
    assert attributes(root)["gen_ai.conversation.id"]
    calls = [span for span in spans if span is not root]
    assert {span["parentSpanId"] for span in calls} == {root["spanId"]}
    assert sorted(span["name"] for span in calls) == [
        "execute_tool get_stock_price",
        "execute_tool get_stock_price",
        "execute_tool get_stock_price",
        "execute_tool get_weather",
        "execute_tool search_web",
        "execute_tool search_web",
    ]
    for span in calls:
        values = attributes(span)
        tool = span["name"].removeprefix("execute_tool ")
        assert values["gen_ai.operation.name"] == "execute_tool"
        assert values["gen_ai.tool.name"] == tool
        assert values["gen_ai.tool.type"] == "function"
        assert values["gen_ai.tool.description"]
        assert values["gen_ai.agent.name"] == "travel-assistant"
        assert "gen_ai.tool.call.arguments" not in values
        assert int(root["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
        assert int(span["endTimeUnixNano"]) <= int(root["endTimeUnixNano"])

    failed = [span for span in calls if attributes(span)["otel_tools.outcome"] == "error"]
    assert [span["name"] for span in failed] == ["execute_tool get_stock_price"] * 2
    for span in failed:
        assert span["status"]["code"] == 2
        assert "GOOG" in span["status"]["message"]
        assert attributes(span)["error.type"] == "LookupError"
        (event,) = span["events"]
        assert event["name"] == "exception"
        values = attributes(event)
        assert values["exception.type"] == "LookupError"
        assert "in get_stock_price" in values["exception.stacktrace"]
    for span in calls:
        if span not in failed:
            assert attributes(span)["otel_tools.outcome"] == "ok"
            assert not span["status"].get("code")
            assert "error.type" not in attributes(span)


def test_prometheus_has_every_count(sidecar: Sidecar, demo: str) -> None:
    def counts(metric: str, label: str) -> dict[tuple[str, str | None], int]:
        return {
            (one["metric"]["gen_ai_tool_name"], one["metric"].get(label)): int(one["value"][1])
            for one in query(sidecar, f'{metric}{{service_name="otel-tools-demo"}}')
        }

    calls = {key: count * CONVERSATIONS for key, count in CALLS.items()}
    until(lambda: counts("otel_tools_calls_total", "otel_tools_outcome") == calls or None, f"the counters {calls}")
    # What was scraped with the last counters.
    assert counts("gen_ai_execute_tool_duration_seconds_count", "error_type") == {
        ("get_weather", None): CONVERSATIONS,
        ("get_stock_price", None): CONVERSATIONS,
        ("get_stock_price", "LookupError"): 2 * CONVERSATIONS,
        ("search_web", None): 2 * CONVERSATIONS,
    }
    durations = query(sidecar, 'gen_ai_execute_tool_duration_seconds_count{service_name="otel-tools-demo"}')
    for one in durations:
        labels = one["metric"]
        assert labels["job"] == labels["service_name"] == "otel-tools-demo"
        assert labels["gen_ai_tool_type"] == "function"
        assert labels["gen_ai_agent_name"] == "travel-assistant"
        assert re.fullmatch(r"[0-9a-f-]{36}", labels["instance"])
    buckets = query(
        sidecar,
        'gen_ai_execute_tool_duration_seconds_bucket{service_name="otel-tools-demo",gen_ai_tool_name="get_weather"}',
    )
    bounds = sorted(float(one["metric"]["le"]) for one in buckets)
    assert bounds == [*names.DURATION_BUCKETS, float("inf")]
    active = query(sidecar, 'otel_tools_call_active{service_name="otel-tools-demo"}')
    assert {one["metric"]["gen_ai_tool_name"]: one["value"][1] for one in active} == {
        "get_weather": "0",
        "get_stock_price": "0",
        "search_web": "0",
    }


def test_exemplars_name_traces_that_jaeger_has(sidecar: Sidecar, demo: str) -> None:
    expression = urllib.parse.quote('gen_ai_execute_tool_duration_seconds_bucket{service_name="otel-tools-demo"}')
    now = time.time()
    url = f"{sidecar.prometheus}/api/v1/query_exemplars?query={expression}&start={now - 600}&end={now + 600}"

    def exemplars() -> set[tuple[str, str]] | None:
        found = {
            (series["seriesLabels"]["gen_ai_tool_name"], exemplar["labels"]["trace_id"])
            for series in http.get_json(url, timeout=30)["data"]
            for exemplar in series["exemplars"]
        }
        return found if {tool for tool, _ in found} == {"get_weather", "get_stock_price", "search_web"} else None

    for tool, trace_id in until(exemplars, "an exemplar of each tool"):
        spans = until(partial(whole_trace, sidecar, trace_id, 7), f"the trace of an exemplar, {trace_id}")
        assert f"execute_tool {tool}" in {span["name"] for span in spans}


def test_the_alert_fires_only_for_the_failing_tool_and_resolves(sidecar: Sidecar, webhook: Any, demo: str) -> None:
    def is_alert_of_demo(status: str) -> Callable[[dict[str, Any]], bool]:
        return lambda alert: (
            alert["status"] == status
            and alert["labels"]["alertname"] == "ToolFailureRateHigh"
            and alert["labels"]["service_name"] == "otel-tools-demo"
        )

    fired = webhook.wait_for(is_alert_of_demo("firing"), within=120)
    assert fired["labels"]["gen_ai_tool_name"] == "get_stock_price"
    assert fired["labels"]["severity"] == "critical"
    assert "get_stock_price" in fired["annotations"]["summary"]
    assert "66.67%" in fired["annotations"]["description"]
    assert fired["annotations"]["runbook_url"].endswith("RUNBOOK.md#toolfailureratehigh")
    webhook.wait_for(is_alert_of_demo("resolved"), within=180)
    blamed = {
        alert["labels"]["gen_ai_tool_name"]
        for alert in webhook.alerts()
        if alert["labels"].get("service_name") == "otel-tools-demo"
    }
    assert blamed == {"get_stock_price"}


def test_objectives_and_tools_without_calls_are_series(sidecar: Sidecar) -> None:
    run_app(sidecar, "objectives")
    (objective,) = until(lambda: query(sidecar, 'otel_tools_objective{service_name="objectives"}') or None, "objective")
    assert (objective["metric"]["gen_ai_tool_name"], objective["value"][1]) == ("promised", "0.9")
    calls = query(sidecar, 'otel_tools_calls_total{service_name="objectives"}')
    assert {
        (one["metric"]["gen_ai_tool_name"], one["metric"]["otel_tools_outcome"]): one["value"][1] for one in calls
    } == {
        ("promised", "ok"): "1",
        ("promised", "error"): "0",
        ("never_called", "ok"): "0",
        ("never_called", "error"): "0",
    }
    judged = 'tool:otel_tools_objective:ratio{service_name="objectives"}'
    ratios = until(lambda: query(sidecar, judged) or None, "what the rules make of the objectives")
    assert {one["metric"]["gen_ai_tool_name"]: one["value"][1] for one in ratios} == {
        "promised": "0.9",
        "never_called": "0.99",
    }


def test_a_thousand_tools_keep_every_series(sidecar: Sidecar) -> None:
    run_app(sidecar, "many_tools")

    def number(expression: str) -> int:
        found = query(sidecar, expression)
        return int(found[0]["value"][1]) if found else 0

    calls = 'otel_tools_calls_total{service_name="many-tools"}'
    until(lambda: number(f"count({calls})") == 2000 or None, "2,000 series of calls")
    assert number(f'sum({calls.replace("}", "")},otel_tools_outcome="ok"}})') == 500
    assert number(f'sum({calls.replace("}", "")},otel_tools_outcome="error"}})') == 500
    assert number('count(gen_ai_execute_tool_duration_seconds_count{service_name="many-tools"})') == 1000
    assert number('count({otel_metric_overflow="true"})') == 0


def test_policies_appear_in_jaeger_and_prometheus(sidecar: Sidecar) -> None:
    trace_id = run_app(sidecar, "guarded").strip()
    # The agent, seven calls, and two attempts of each of the three that were tried again.
    spans = until(partial(whole_trace, sidecar, trace_id, 1 + 7 + 6), "the trace of the guarded tool")
    calls = sorted(
        (span for span in spans if span["name"] == "execute_tool temperature"),
        key=lambda span: int(span["startTimeUnixNano"]),
    )
    assert [attributes(span)["otel_tools.outcome"] for span in calls] == [
        "ok",
        "cached",
        "fallback",
        "fallback",
        "error",
        "invalid",
        "ok",
    ]
    assert [attributes(span).get("otel_tools.retry.count") for span in calls] == ["1", None, "1", "1", None, None, None]
    assert [attributes(span).get("otel_tools.cache.result") for span in calls] == [
        "miss",
        "hit",
        "miss",
        "miss",
        "miss",
        None,
        "miss",
    ]
    assert attributes(calls[4])["error.type"] == "circuit_open"
    assert [event["name"] for event in calls[2]["events"]] == ["exception"]
    attempts = [span for span in spans if span["name"] == "attempt temperature"]
    assert sorted(span["parentSpanId"] for span in attempts) == sorted(
        [calls[index]["spanId"] for index in (0, 2, 3)] * 2
    )
    assert not any(name.startswith("gen_ai.") for span in attempts for name in attributes(span))

    def number(metric: str, **labels: str) -> int | None:
        selector = ",".join(f'{name}="{value}"' for name, value in {"service_name": "guarded", **labels}.items())
        found = query(sidecar, f"{metric}{{{selector}}}")
        return int(found[0]["value"][1]) if found else None

    until(lambda: number("otel_tools_retries_total", error_type="TimeoutError"), "the retries")
    assert number("otel_tools_retries_total", error_type="ConnectionError") == 2
    assert number("otel_tools_calls_total", otel_tools_outcome="fallback") == 2
    assert number("otel_tools_calls_total", otel_tools_outcome="invalid") == 1
    assert number("otel_tools_cache_requests_total", otel_tools_cache_result="hit") == 1
    assert number("otel_tools_cache_requests_total", otel_tools_cache_result="miss") == 5
    acquired = {"otel_tools_throttling_result": "acquired"}
    for policy in ("rate_limit", "concurrency"):
        assert number("otel_tools_throttling_requests_total", otel_tools_throttling_policy=policy, **acquired) == 7
        assert number("otel_tools_throttling_queued", otel_tools_throttling_policy=policy) == 0
    assert number("otel_tools_throttling_time_in_queue_seconds_count", **acquired)
    assert number("otel_tools_circuit_state") == 0
    assert number("otel_tools_timeout_abandoned") == 0


def test_every_metric_that_the_rules_name_exists(sidecar: Sidecar, demo: str) -> None:
    run_app(sidecar, "objectives")
    rules = (configs.collector_dir() / "prometheus" / "rules" / "tools.yml").read_text()
    expressions = " ".join(
        re.findall(r"expr: (?:>-\n)?((?:.|\n)*?)(?=\n\s+(?:for|labels|- record|- alert):|\n\n)", rules)
    )
    named = set(re.findall(r"\b((?:tool|service):\w+:\w+|otel_tools_\w+|gen_ai_\w+_seconds\w*)\b(?!\")", expressions))
    labels = {"otel_tools_outcome"}
    assert {"otel_tools_calls_total", "otel_tools_objective", "tool:otel_tools_failures:ratio5m"} <= named
    for name in sorted(named - labels):
        until(partial(some, sidecar, f"count_over_time({name}[10m])"), f"a series of {name}")


def test_every_metric_of_otel_tools_is_exported(sidecar: Sidecar, demo: str) -> None:
    run_app(sidecar, "objectives")
    for name in (
        "gen_ai_execute_tool_duration_seconds_bucket",
        "otel_tools_calls_total",
        "otel_tools_call_active",
        "otel_tools_objective",
        "otel_tools_export_dropped_total",
    ):
        until(partial(some, sidecar, name), f"a series of {name}")


def test_no_span_is_lost_or_duplicated_while_jaeger_and_the_collector_are_killed(sidecar: ControlledSidecar) -> None:
    app = subprocess.Popen(
        [sys.executable, str(APP), "steady"], env=environment(sidecar), stdout=subprocess.PIPE, text=True
    )
    try:
        assert app.stdout is not None
        began = app.stdout.readline()
        assert began
        time.sleep(2)  # some calls before, some after
        sidecar.kill("jaeger", hold=True)
        time.sleep(2)  # some calls while it is away
        sidecar.restart("jaeger")
        sidecar.kill("collector")
        sidecar.wait_healthy("collector", within=120)
        output, _ = app.communicate(timeout=120)
    finally:
        app.kill()
        app.wait()
    assert app.returncode == 0
    traces = [began.strip(), *output.split()]
    assert len(traces) == 20

    def all_calls() -> list[str] | None:
        found = [span["spanId"] for trace_id in traces for span in spans_of(sidecar, trace_id) or ()]
        return found if len(set(found)) == 20 * 101 else None

    spans = until(all_calls, "2,000 calls and 20 agents in Jaeger", within=180)
    assert len(spans) == len(set(spans))
