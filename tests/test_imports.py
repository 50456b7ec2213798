"""Which file may import which, and what an import costs."""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

import otel_tools
from tests.conftest import without_coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PACKAGE: Final = Path(otel_tools.__file__).parent

FLOORS: Final[Mapping[str, int]] = {
    "_urls": 1,
    "_option_names": 1,
    "_version": 1,
    "errors": 0,
    "_call": 1,
    "_arguments": 2,
    "stores": 2,
    "_telemetry": 2,
    "_schema": 3,
    "_policies": 3,
    "_tool": 4,
    "_model": 5,
    "_export": 6,
    "": 7,
    "testing": 7,
    "_sidecar": 8,
    "_terminal": 8,
    "_demo": 9,
    "_cli": 10,
    "__main__": 11,
}
"""The floor of each folder, and of each file at the top; "" is ``otel_tools/__init__.py``.

A file imports from floors below its own, and from its own folder without a circle. Imports for type checkers and
imports inside functions count. ``errors``, ``_option_names``, ``_urls`` and ``_version`` are single files that
``_call`` may import too.
"""

GROUND: Final = ("errors", "_option_names", "_urls", "_version")
"""Files at the top of floor 1 that every other file may import."""

ONLY_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "opentelemetry.sdk": ("_export", "_demo", "_cli", "testing"),
    "opentelemetry.exporter": ("_export", "_cli"),
    "opentelemetry": ("_telemetry", "_export", "_model", "_demo", "_cli", "testing"),
}
"""Packages that only these folders import; the longest name that fits counts."""


class Import(NamedTuple):
    """One import statement.

    Attributes:
        importer: The module that it stands in.
        imported: The module that it names.
    """

    importer: str
    imported: str


def modules_in(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_in(package: Path) -> list[Import]:
    """Every import in a package: at the top, inside functions, and for type checkers alone."""
    modules = modules_in(package)
    found = []
    for importer, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [Import(importer, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its folder"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found += [Import(importer, name if name in modules else node.module or "") for name in names]
    return [each for each in dict.fromkeys(found) if each.importer != each.imported]


def folder_of(module: str) -> str:
    """The folder, or the file at the top, that a module of the package belongs to."""
    return module.split(".")[1] if "." in module else ""


def upward_imports(package: Path) -> list[str]:
    """Imports of a floor that is not below the importer's own, and folders that have no floor."""
    found = []
    for importer, imported in imports_in(package):
        source, target = folder_of(importer), folder_of(imported)
        if imported.split(".")[0] != package.name or source == target or (target in GROUND and source not in GROUND):
            continue
        if source not in FLOORS or target not in FLOORS:
            found.append(f"{importer} -> {imported}: a folder without a floor")
        elif FLOORS[target] >= FLOORS[source]:
            found.append(f"{importer} (floor {FLOORS[source]}) -> {imported} (floor {FLOORS[target]})")
    return found


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other (Tarjan 1972, strongly connected components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for target in edges.get(node, ()):
            if target not in order:
                visit(target)
            if target in stack:
                lowest[node] = min(lowest[node], lowest[target])
        if lowest[node] == order[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in list(edges):
        if node not in order:
            visit(node)
    return found


def file_circles(package: Path) -> list[list[str]]:
    """Files that import each other."""
    modules = modules_in(package)
    edges: dict[str, set[str]] = {module: set() for module in modules}
    for importer, imported in imports_in(package):
        if imported in modules:
            edges[importer].add(imported)
    return circles(edges)


def folder_circles(package: Path) -> list[list[str]]:
    """Folders that import each other: the folders of the table, and the folders inside one of them."""
    modules = modules_in(package)

    def compared(importer: str, imported: str) -> tuple[str, str] | None:
        """The two folders where the paths of the files part; None where one file stands beside the other's folder."""
        ours, theirs = (
            name.split(".") if modules[name].name == "__init__.py" else name.split(".")[:-1]
            for name in (importer, imported)
        )
        shared = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
        return None if shared is None else (".".join(ours[: shared + 1]), ".".join(theirs[: shared + 1]))

    edges: dict[str, set[str]] = {}
    for importer, imported in imports_in(package):
        if imported in modules and (pair := compared(importer, imported)) is not None:
            edges.setdefault(pair[0], set()).add(pair[1])
    return circles(edges)


def misplaced_imports(package: Path) -> list[str]:
    """Imports of other packages from a folder that must do without them."""
    found = []
    for importer, imported in imports_in(package):
        fits = [name for name in ONLY_IN if imported == name or imported.startswith(f"{name}.")]
        if fits and folder_of(importer) not in ONLY_IN[max(fits, key=len)]:
            found.append(f"{importer} -> {imported}")
    return found


CHECKS: Final[Mapping[str, Callable[[Path], object]]] = {
    "upward": upward_imports,
    "file circle": file_circles,
    "folder circle": folder_circles,
    "misplaced": misplaced_imports,
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_imports_go_one_way(check: Callable[[Path], object]) -> None:
    assert check(PACKAGE) == []


LAZY = "def later():\n    "
FOR_CHECKERS = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "
PLANTED: Final = [
    ("upward", {"_call/low.py": "from otel_tools._policies import build"}),
    ("upward", {"_call/low.py": f"{LAZY}from otel_tools._policies import build"}),
    ("upward", {"_call/low.py": f"{FOR_CHECKERS}from otel_tools._policies import build"}),
    ("upward", {"_call/low.py": "import otel_tools._tool.tool"}),
    ("upward", {"_schema/beside.py": "from otel_tools._policies.build import policies_of"}),
    ("upward", {"_sidecar/beside.py": "from otel_tools._terminal import console"}),
    ("upward", {"_tool/high.py": "from otel_tools import tool"}),
    ("upward", {"errors.py": "from otel_tools._call import steps"}),
    ("upward", {"_new/file.py": "from otel_tools._call import steps"}),
    ("file circle", {"_call/a.py": "from otel_tools._call import b", "_call/b.py": "from otel_tools._call import a"}),
    (
        "file circle",
        {"_call/a.py": "from otel_tools._call.b import x", "_call/b.py": f"{LAZY}from otel_tools._call.a import x"},
    ),
    (
        "file circle",
        {
            "_call/a.py": "from otel_tools._call.b import x",
            "_call/b.py": f"{FOR_CHECKERS}from otel_tools._call.c import x",
            "_call/c.py": "from otel_tools._call.a import x",
        },
    ),
    (
        "folder circle",
        {
            "_policies/cache/a.py": "from otel_tools._policies.retry import b",
            "_policies/cache/d.py": "",
            "_policies/retry/b.py": "",
            "_policies/retry/c.py": "from otel_tools._policies.cache import d",
        },
    ),
    (
        "folder circle",
        {
            "_call/a.py": f"{LAZY}from otel_tools._policies import b",
            "_policies/b.py": "",
            "_policies/c.py": "from otel_tools._call import d",
            "_call/d.py": "",
        },
    ),
    ("misplaced", {"_policies/a.py": "from opentelemetry import trace"}),
    ("misplaced", {"_call/a.py": f"{FOR_CHECKERS}from opentelemetry.trace import Span"}),
    ("misplaced", {"_telemetry/a.py": f"{LAZY}from opentelemetry.sdk.trace import TracerProvider"}),
    ("misplaced", {"_model/a.py": "import opentelemetry.exporter.otlp.proto.http"}),
]
"""A violation of each kind, in files of a small package: what the checks are for, they find."""


@pytest.mark.parametrize(
    ("kind", "files"), PLANTED, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_a_planted_violation_is_found(kind: str, files: dict[str, str], tmp_path: Path) -> None:
    package = tmp_path / "otel_tools"
    for name, text in {
        "__init__.py": "",
        "_call/steps.py": "",
        "_policies/build.py": "",
        "_terminal/console.py": "",
        "_tool/tool.py": "",
        **files,
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)

    assert CHECKS[kind](package)
    for name in files:
        (package / name).write_text("")
    assert [check(package) for check in CHECKS.values()] == [[], [], [], []]


HEAVY: Final = (
    "openai",
    "pydantic",
    "grpc",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "typer",
    "rich",
    "tenacity",
    "cachetools",
    "redis",
    "sqlite3",
)

TIMED: Final = """
import json, sys, time
before = time.process_time()
{statement}
took = time.process_time() - before
print(json.dumps([took, sorted(sys.modules)]))
"""


def imported(statement: str) -> tuple[float, list[str]]:
    """CPU seconds that an import takes in a process of its own, and what is loaded after it."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement=statement)],
        cwd=PACKAGE.parent,
        env=without_coverage(),
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, modules = json.loads(done.stdout)
    return float(seconds), list(modules)


@pytest.mark.parametrize("module", ["otel_tools", "otel_tools.errors", "otel_tools.stores", "otel_tools.testing"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    _, modules = imported(f"import {module}")

    assert [name for name in modules if name.startswith(tuple(f"{heavy}." for heavy in HEAVY)) or name in HEAVY] == []


def test_importing_costs_little_more_than_the_opentelemetry_api(capsys: pytest.CaptureFixture[str]) -> None:
    def rounds(statement: str) -> Iterator[float]:
        return (imported(statement)[0] for _ in range(5))

    api = statistics.median(rounds("import opentelemetry.trace, opentelemetry.metrics"))
    ours = statistics.median(rounds("import otel_tools"))

    with capsys.disabled():
        print(
            f"import opentelemetry.trace, opentelemetry.metrics: {api:.3f} s; import otel_tools: {ours:.3f} s ", end=""
        )
    # CPU times in one run. The ratio is 3.6 on an idle machine, with asyncio and ssl in it, and 6 on a busy one.
    assert ours < 14 * api
