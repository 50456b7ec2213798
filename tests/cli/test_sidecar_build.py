"""Builds a small module with the real Go; the errors where Go is missing, too old or fails."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_tools._sidecar import binaries
from otel_tools._sidecar.binaries import COMPONENTS, SIDECAR, Component
from otel_tools._sidecar.build import Progress, build, require_go
from otel_tools._sidecar.errors import BuildError
from otel_tools._sidecar.state import Identity

if TYPE_CHECKING:
    from tests.cli.conftest import Run

TINY = Component("tiny", {"hello": ".", "bye": "./bye"}, "is small")
MAIN = 'package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("hello") }\n'


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Component:
    if not shutil.which("go"):
        why = "Go is not installed"
        pytest.fail(why) if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1" else pytest.skip(why)
    module = tmp_path / "collector" / "build" / "tiny"
    (module / "bye").mkdir(parents=True)
    (module / "go.mod").write_text("module example.test/tiny\n\ngo 1.21\n")
    (module / "main.go").write_text(MAIN)
    (module / "bye" / "main.go").write_text(MAIN.replace("hello", "bye"))
    monkeypatch.setattr(binaries, "collector_dir", lambda: tmp_path / "collector")
    monkeypatch.setenv("OTEL_TOOLS_CACHE_DIR", str(tmp_path / "cache"))
    return TINY


def ignore(_: Progress) -> None:
    pass


def temporary_folders(component: Component) -> list[str]:
    return [path.name for path in component.build_dir().parent.iterdir() if path.name.startswith(".building")]


def test_every_program_of_a_component_is_built(tiny: Component) -> None:
    seen: list[Progress] = []
    folder = build(tiny, seen.append)
    assert folder == tiny.build_dir()
    assert sorted(path.name for path in folder.iterdir()) == ["bye", "hello"]
    ran = subprocess.run([folder / "bye"], capture_output=True, text=True, check=True)
    assert ran.stdout == "bye"
    assert {progress.component for progress in seen} == {"tiny"}
    assert seen[0].step == "hello: resolving"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert temporary_folders(tiny) == []


def test_of_the_packages_to_compile_all_are_counted(tiny: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty cache: everything that a program is made of is to be compiled.
    monkeypatch.setenv("GOCACHE", str(tiny.module / "go-cache"))
    seen: list[Progress] = []

    build(tiny, seen.append)

    compiled = [progress for progress in seen if progress.step == "hello: compiling packages"]
    assert [progress.count for progress in compiled] == list(range(1, len(compiled) + 1))
    assert {progress.total for progress in compiled} == {len(compiled)}
    assert len(compiled) > 20


def test_a_built_component_is_built_again_only_with_force(tiny: Component) -> None:
    folder = build(tiny, ignore)
    built_at = (folder / "hello").stat().st_mtime_ns
    assert build(tiny, ignore) == folder
    assert (folder / "hello").stat().st_mtime_ns == built_at
    build(tiny, ignore, force=True)
    assert (folder / "hello").stat().st_mtime_ns > built_at


def test_parallel_builds_of_a_component_build_it_once(tiny: Component) -> None:
    steps: list[str] = []
    threads = [threading.Thread(target=build, args=(tiny, lambda step: steps.append(step.step))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert steps.count("hello: resolving") == 1
    assert steps.count("waiting for another build of it") == 2


def test_the_files_of_a_killed_build_are_deleted(tiny: Component) -> None:
    left = tiny.build_dir().parent / ".building-tiny-abc"
    left.mkdir(parents=True)
    (left / "half").touch()
    build(tiny, ignore)
    assert temporary_folders(tiny) == []


def test_a_failed_build_shows_gos_errors_and_installs_nothing(tiny: Component) -> None:
    (tiny.module / "bye" / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(BuildError) as caught:
        build(tiny, ignore)
    assert "could not build bye" in caught.value.what
    assert "undefined: nonsense" in caught.value.what
    assert "docker" in caught.value.fix
    assert not tiny.build_dir().exists()
    assert temporary_folders(tiny) == []


def test_a_module_that_cannot_be_fetched_names_goproxy(tiny: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "off")
    (tiny.module / "go.mod").write_text("module example.test/tiny\n\ngo 1.21\n\nrequire example.test/none v1.0.0\n")
    (tiny.module / "main.go").write_text('package main\n\nimport _ "example.test/none"\n\nfunc main() {}\n')
    with pytest.raises(BuildError) as caught:
        build(tiny, ignore)
    assert "GOPROXY" in caught.value.fix
    assert "'off'" in caught.value.fix


def test_without_go_the_error_names_the_alternatives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError) as caught:
        require_go(COMPONENTS["prometheus"])
    assert "no `go` on PATH" in caught.value.what
    for way in ("Install Go 1.26", "otel-tools sidecar up --docker", 'exporter="file"'):
        assert way in caught.value.fix


@pytest.mark.parametrize(
    ("version", "toolchain", "good"),
    [
        ("go1.26.8", "local", True),
        ("go1.27rc1", "local", True),
        ("go1.25.1", "auto", True),  # it fetches the version that go.mod asks for
        ("go1.25.1", "local", False),
        ("go1.20", "", False),  # it cannot
    ],
)
def test_an_old_go_is_refused_unless_it_can_download_a_newer_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, toolchain: str, good: bool
) -> None:
    fake = tmp_path / "go"
    fake.write_text(f"#!/bin/sh\necho {version}\necho {toolchain}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if good:
        assert require_go(COMPONENTS["jaeger"]) == str(fake)
    else:
        with pytest.raises(BuildError, match=rf"Go {version[2:]} .* is too old: jaeger needs Go 1\.26 or newer"):
            require_go(COMPONENTS["jaeger"])


def test_ctrl_c_also_ends_gos_compilers(tiny: Component, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    fake = tmp_path / "bin" / "go"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = env ]; then echo go1.99; echo local; exit; fi\n'
        f"sleep 60 & echo $! > {pids}\n"
        "echo go: downloading x v1 >&2; wait\n"
    )
    fake.chmod(0o755)
    script = (
        "from pathlib import Path\n"
        "from otel_tools._sidecar import binaries\n"
        "from otel_tools._sidecar.build import build\n"
        f"binaries.collector_dir = lambda: Path({str(tiny.module.parent.parent)!r})\n"
        "build(binaries.Component('tiny', {'hello': '.'}, ''), lambda progress: print(progress.step, flush=True))\n"
    )
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as builder:
        assert builder.stdout
        assert any("downloading" in line for line in builder.stdout)
        compiler = Identity.of(int(pids.read_text()))
        assert compiler
        builder.send_signal(signal.SIGINT)
        builder.wait(60)
    deadline = time.monotonic() + 60
    while compiler.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert temporary_folders(tiny) == []


def test_off_a_terminal_each_step_is_one_line(run: Run, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "go"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = env ]; then echo go1.99; echo local; exit; fi\n'
        'if [ "$1" = list ]; then\n'
        "for module in a b c; do echo go: downloading $module v1.0.0 >&2; done\n"
        "echo runtime; echo golang.org/x/net; echo; exit; fi\n"
        "for package in runtime golang.org/x/net; do echo $package >&2; done\n"
        'while [ "$1" != -o ]; do shift; done; echo built > "$2"\n'
    )
    fake.chmod(0o755)
    variables = {"PATH": f"{fake.parent}:{os.environ['PATH']}", "OTEL_TOOLS_CACHE_DIR": str(tmp_path / "cache")}
    done = run("sidecar", "build", "compose", variables=variables)
    modules = sum(" v" in line for line in (COMPONENTS["compose"].module / "go.mod").read_text().splitlines())
    steps = [line.partition(" (")[0] for line in done.stderr.splitlines()]
    assert steps == [
        "1/1 compose: compose-check: resolving",
        f"1/1 compose: compose-check: downloading modules, 1 of at most {modules}",
        "1/1 compose: compose-check: compiling packages, 1 of 2",
    ]
    assert "built  compose" in done.stdout
    installed = next((tmp_path / "cache" / "sidecar").glob("compose-*"))
    assert (installed / "compose-check").read_text() == "built\n"


def test_an_unknown_component_is_wrong_usage(run: Run) -> None:
    assert "there are: jaeger, collector" in " ".join(run("sidecar", "build", "grafana", code=2).stderr.split())


def test_the_verb_fails_before_the_first_build_where_go_is_missing(run: Run, tmp_path: Path) -> None:
    done = run(
        "sidecar", "build", code=1, variables={"PATH": str(tmp_path), "OTEL_TOOLS_CACHE_DIR": str(tmp_path / "cache")}
    )
    assert done.stdout == ""
    assert done.stderr.startswith("error: Go is not installed (no `go` on PATH)")


@pytest.mark.sidecar
def test_the_verb_prints_the_folders_of_the_built_programs(run: Run) -> None:
    if not all(COMPONENTS[name].build_dir().is_dir() for name in SIDECAR):
        why = "the sidecar is not built (otel-tools sidecar build)"
        pytest.fail(why) if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1" else pytest.skip(why)
    shown = run("sidecar", "build").stdout
    for name in SIDECAR:
        assert COMPONENTS[name].build_dir().name in shown
    assert shown.count("was built before") == 4
    assert "otel-tools sidecar up" in shown
