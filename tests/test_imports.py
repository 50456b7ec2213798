"""What an import costs, and which part may know of which."""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import otel_tools

PACKAGE = Path(otel_tools.__file__).parent
HEAVY = (
    "openai",
    "pydantic",
    "grpc",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "typer",
    "rich",
    "tenacity",
    "cachetools",
)

TIMED = """
import json, sys, time
before = time.process_time()
{statement}
took = time.process_time() - before
print(json.dumps([took, sorted(sys.modules)]))
"""


def imported(statement: str) -> tuple[float, list[str]]:
    """Seconds of CPU that an import takes in a process of its own, and what is loaded after it."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement=statement)],
        cwd=PACKAGE.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, modules = json.loads(done.stdout)
    return float(seconds), list(modules)


@pytest.mark.parametrize("module", ["otel_tools", "otel_tools.testing"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    _, modules = imported(f"import {module}")

    assert [name for name in modules if name.startswith(tuple(f"{heavy}." for heavy in HEAVY)) or name in HEAVY] == []


def test_importing_costs_little_more_than_the_opentelemetry_api(capsys: pytest.CaptureFixture[str]) -> None:
    api = statistics.median(imported("import opentelemetry.trace, opentelemetry.metrics")[0] for _ in range(5))
    ours = statistics.median(imported("import otel_tools")[0] for _ in range(5))

    with capsys.disabled():
        print(
            f"import opentelemetry.trace, opentelemetry.metrics: {api:.3f} s; import otel_tools: {ours:.3f} s ", end=""
        )
    assert ours < api + 0.25


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, also where only type checkers look."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize(
    "path",
    [*PACKAGE.glob("call/*.py"), *PACKAGE.glob("policies/*.py")],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_what_runs_and_decides_knows_nothing_of_telemetry(path: Path) -> None:
    assert {name for name in imports_of(path) if name.startswith(("opentelemetry", "otel_tools.telemetry"))} == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("call/*.py")), ids=lambda path: path.name)
def test_what_runs_knows_no_policy(path: Path) -> None:
    assert {name for name in imports_of(path) if name.startswith("otel_tools.policies")} == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("telemetry/*.py")), ids=lambda path: path.name)
def test_the_core_touches_the_opentelemetry_api_alone(path: Path) -> None:
    assert {
        name for name in imports_of(path) if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    } == set()
