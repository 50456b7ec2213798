"""The alert rules: valid for the real promtool; their test file finds mistakes; they use existing metrics only."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_tools._sidecar.configs import alert_names, collector_dir
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTOR = collector_dir()
RULES = COLLECTOR / "prometheus" / "rules" / "tools.yml"
RULES_TEST = RULES.with_name("tools_test.yml")
RUNBOOK = COLLECTOR / "RUNBOOK.md"

ALERTS = ["ToolFailureRateHigh", "ToolDown", "ToolTelemetryMissing"]


@pytest.fixture(params=["built", "debian"])
def promtool(request: pytest.FixtureRequest, binaries: Mapping[str, Path]) -> Path:
    """The built promtool and the older one of distributions: the rules work with both."""
    if request.param == "built":
        return binaries["promtool"]
    path = Path("/usr/bin/promtool")
    if not path.exists():
        pytest.skip("no promtool of a distribution on this machine")
    return path


def run(*command: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, timeout=180
    )  # our own programs
    return done.returncode, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


# --- promtool ---


def test_prometheus_accepts_its_config(promtool: Path) -> None:
    code, output = run(
        promtool, "check", "config", "--lint=all", "--lint-fatal", COLLECTOR / "prometheus" / "prometheus.yml"
    )
    assert code == 0, output
    assert "1 rule files found" in output


def test_prometheus_refuses_a_broken_config(promtool: Path, tmp_path: Path) -> None:
    shutil.copytree(COLLECTOR / "prometheus", tmp_path / "prometheus")
    config = tmp_path / "prometheus" / "prometheus.yml"
    config.write_text(config.read_text().replace("scrape_interval: 10s", "scrape_interval: often"))
    code, output = run(promtool, "check", "config", config)
    assert code != 0
    assert "often" in output


def test_prometheus_accepts_the_rules(promtool: Path) -> None:
    code, output = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert code == 0, output


def test_the_rules_pass_their_tests(promtool: Path) -> None:
    code, output = run(promtool, "test", "rules", RULES_TEST)
    assert code == 0, output


# What to break, and what it would mean for the person on call.
MISTAKES = {
    "each process on its own": (
        "sum by (deployment_environment_name, service_name, gen_ai_tool_name)",
        "sum by (deployment_environment_name, service_name, gen_ai_tool_name, instance)",
    ),
    "staging wakes production's people": (
        "by (deployment_environment_name, service_name, gen_ai_tool_name)",
        "by (service_name, gen_ai_tool_name)",
    ),
    "the model's mistakes are calls": ('=~"ok|cached|fallback|error"', '=~"ok|cached|fallback|error|invalid"'),
    "cached answers are no calls": ('=~"ok|cached|fallback|error"', '=~"ok|fallback|error"'),
    "a tool without failures has no ratio": ("or 0 * tool:otel_tools_calls:increase5m", ""),
    "another default objective": ("+ 0.99", "+ 0.999"),
    "the laxer of two objectives": (
        "max by (deployment_environment_name, service_name, gen_ai_tool_name) (otel_tools_objective)",
        "min by (deployment_environment_name, service_name, gen_ai_tool_name) (otel_tools_objective)",
    ),
    "a threshold above 1": (
        " < 1 - tool:otel_tools_objective:ratio / 2\n          or 1 - tool:otel_tools_objective:ratio / 2",
        "",
    ),
    "a blip wakes": ("and tool:otel_tools_failures:ratio1h > tool:otel_tools_failure_threshold:ratio", ""),
    "it goes on for an hour after the repair": (
        "tool:otel_tools_failures:ratio5m > tool:otel_tools_failure_threshold:ratio\n          and ",
        "",
    ),
    "no traffic floor": ("and tool:otel_tools_calls:increase1h >= 20", ""),
    "down at the first failure": ("increase5m >= 3", "increase5m >= 1"),
    "down only at many failures": ("increase5m >= 3", "increase5m >= 30"),
    "down though something answered": (
        '=~"ok|cached|fallback"}[5m])) > 0',
        '=~"ok|fallback"}[5m])) > 0',
    ),
    "down though a success is in the window": (
        '(increase(otel_tools_calls_total{otel_tools_outcome=~"ok|cached|fallback"}[5m])) > 0',
        '(increase(otel_tools_calls_total{otel_tools_outcome=~"ok|cached|fallback"}[5m])) > 1e9',
    ),
    "blind, and nobody is told": ('up{job="otel-tools"} == 0 or ', ""),
    "a sidecar that is not scraped at all": (' or absent(up{job="otel-tools"})', ""),
    "one missed scrape wakes": ("for: 2m", "for: 0m"),
    "each service is reported beside the sidecar": ('          and on () up{job="otel-tools"} == 1\n', ""),
    "each script that ends is missed": (">= 30\n", ">= 1\n"),
    "a silent service is never missed": (">= 30\n", ">= 300\n"),
    "another severity": ("severity: critical", "severity: warning"),
    "another runbook": ("RUNBOOK.md#tooldown", "RUNBOOK.md#other"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_rules_fails_their_tests(mistake: str, binaries: Mapping[str, Path], tmp_path: Path) -> None:
    right, wrong = MISTAKES[mistake]
    text = RULES.read_text()
    assert right in text, "the mistake is no longer one: the rules were changed"
    (tmp_path / RULES.name).write_text(text.replace(right, wrong))
    shutil.copy(RULES_TEST, tmp_path)
    assert run(binaries["promtool"], "check", "rules", tmp_path / RULES.name)[0] == 0, "valid, just wrong"
    code, output = run(binaries["promtool"], "test", "rules", tmp_path / RULES_TEST.name)
    assert code != 0, output
    assert "FAILED" in output


# --- what the rules say ---


def prometheus_name(metric: names.Metric, kind: str) -> str:
    """The metric's name as the collector's exporter writes it."""
    unit = "_seconds" if metric.unit == "s" else ""  # what stands in braces is a note, no unit
    return metric.name.replace(".", "_") + unit + kind


EXPORTED = {
    prometheus_name(names.CALLS, "_total"),
    prometheus_name(names.ACTIVE, ""),
    prometheus_name(names.RETRIES, "_total"),
    prometheus_name(names.CACHE_REQUESTS, "_total"),
    prometheus_name(names.THROTTLING_REQUESTS, "_total"),
    *(prometheus_name(names.THROTTLING_TIME, kind) for kind in ("_bucket", "_sum", "_count")),
    prometheus_name(names.THROTTLING_QUEUED, ""),
    prometheus_name(names.CIRCUIT_STATE, ""),
    prometheus_name(names.ABANDONED, ""),
    prometheus_name(names.STORE_ERRORS, "_total"),
    prometheus_name(names.OBJECTIVE, ""),
    prometheus_name(names.EXPORT_DROPPED, "_total"),
    *(prometheus_name(names.DURATION, kind) for kind in ("_bucket", "_sum", "_count")),
}
LABELS = {
    *(
        name.replace(".", "_")
        for name in (
            names.TOOL_NAME,
            names.OUTCOME,
            names.ERROR_TYPE,
            names.CACHE_RESULT,
            names.THROTTLING_POLICY,
            names.THROTTLING_RESULT,
            names.STORE_OPERATION,
            names.EXPORT_SIGNAL,
        )
    ),
    "service_name",
    "deployment_environment_name",
    "job",
    "instance",
    "__name__",
}


def metrics_in(expression: str) -> set[str]:
    without_texts = re.sub(r'"[^"]*"', '""', expression)
    without_labels = re.sub(r"\{[^}]*\}|\b(?:by|on|without|ignoring)\s*\([^)]*\)|\[[^\]]*\]", " ", without_texts)
    words = re.findall(r"(?<![\w:.])[a-z_][\w:]*(?!\s*\(|[\w:])", without_labels)
    return set(words) - {"by", "on", "or", "and", "unless", "bool"}


def labels_in(expression: str) -> set[str]:
    matchers = {
        label for inside in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*(?:=|!)", inside)
    }
    groups = {
        label.strip()
        for inside in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression)
        for label in inside.split(",")
        if label.strip()
    }
    return matchers | groups


def test_the_rules_use_only_exported_metrics_and_labels() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        expression = rule["expr"]
        assert metrics_in(expression) <= EXPORTED | recorded | {"up"}, expression
        assert labels_in(expression) <= LABELS, expression


def runbook_queries() -> list[str]:
    return re.findall(r"```promql\n(.*?)\n```", re.sub(r"(?m)^ +", "", RUNBOOK.read_text()), re.DOTALL)


def test_the_runbook_uses_only_exported_metrics_and_labels() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert len(runbook_queries()) > 5
    for query in runbook_queries():
        collectors_own = {name for name in metrics_in(query) if name.startswith("otelcol_")}
        assert metrics_in(query) - collectors_own <= EXPORTED | recorded | {"up"}, query
        assert labels_in(query) <= LABELS, query


def test_the_queries_of_the_runbook_are_valid(promtool: Path, tmp_path: Path) -> None:
    checked = tmp_path / "runbook.yml"
    queries = [{"record": f"runbook:query{number}", "expr": query} for number, query in enumerate(runbook_queries())]
    checked.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": queries}]}))
    code, output = run(promtool, "check", "rules", checked)
    assert code == 0, output


def test_the_alerts_are_these_and_each_is_documented() -> None:
    assert list(dict.fromkeys(rule["alert"] for rule in alerts())) == ALERTS == list(dict.fromkeys(alert_names()))
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"(?m)^#+ (.*)$", RUNBOOK.read_text())
    }
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "https://github.com/otel-tools/otel_tools/blob/main/collector/RUNBOOK.md"
        assert anchor == rule["alert"].lower()
        assert anchor in anchors
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_scrape_interval_is_at_most_the_export_interval() -> None:
    config = yaml.safe_load((COLLECTOR / "prometheus" / "prometheus.yml").read_text())
    # Exemplars of one export are gone with the next, 10 s later.
    assert config["global"]["scrape_interval"] == "10s"
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["otel-tools"]["honor_labels"] is True
    assert "otel-tools" in jobs
