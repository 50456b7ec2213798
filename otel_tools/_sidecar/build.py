"""Builds the sidecar's programs with Go from the committed manifests, into the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otel_tools._sidecar.alternatives import without_building
from otel_tools._sidecar.errors import BuildError
from otel_tools._sidecar.paths import cache_dir

if TYPE_CHECKING:
    from otel_tools._sidecar.binaries import Component

_MAX_ERROR_LINES = 25
_TEMPORARY_PREFIX = ".building-"
_FIRST_SELF_UPDATING_GO = (1, 21)  # since this version Go downloads the version that go.mod requires


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a build.

    Attributes:
        component: the component's name.
        step: the present step, such as ``downloading modules``.
        count: the number of modules downloaded or packages compiled; 0 in other steps.
        total: how many there are; of modules at most; 0 where that is not known.
        seconds: the time since the build began.
    """

    component: str
    step: str
    count: int
    total: int
    seconds: float


ProgressCallback = Callable[[Progress], None]
Step = Callable[[str, int, int], None]


def require_go(component: Component) -> str:
    """The path of a ``go`` command that is new enough for the component.

    Raises:
        BuildError: there is none, or it is too old; with the alternatives.
    """
    required = component.go_version()
    required_text = ".".join(map(str, required))
    go = shutil.which("go")
    if go is None:
        raise BuildError(
            "Go is not installed (no `go` on PATH), and the sidecar is built with it",
            f"Install Go {required_text} or newer: https://go.dev/dl\n{without_building()}",
        )
    env = _output([go, "env", "GOVERSION", "GOTOOLCHAIN"]).split()
    version = tuple(int(part) for part in re.findall(r"\d+", env[0])[:2]) if env else ()
    can_update_itself = version >= _FIRST_SELF_UPDATING_GO and not (len(env) > 1 and env[1].startswith("local"))
    if version < required[:2] and not can_update_itself:
        shown = env[0].removeprefix("go") if env else "of an unknown version"
        raise BuildError(
            f"Go {shown} ({go}) is too old: {component.name} needs Go {required_text} or newer",
            f"Install Go {required_text} or newer: https://go.dev/dl\n{without_building()}",
        )
    return go


def build(component: Component, report: ProgressCallback, *, force: bool = False) -> Path:
    """Build one component, unless it is built already.

    The programs appear in the cache together, once all are complete. A second build of the same component in
    another process waits for the first and uses its result.

    Args:
        component: the component to build.
        report: called with each progress.
        force: build again what is built.

    Returns:
        The folder of the built programs.

    Raises:
        BuildError: Go is missing or too old, or the build failed.
    """
    target = component.build_dir()
    if target.is_dir() and not force:
        return target
    go = require_go(component)
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    requested_at, began = time.time(), time.monotonic()

    def step(text: str, count: int, total: int) -> None:
        report(Progress(component.name, text, count, total, time.monotonic() - began))

    with _lock(cache / f".{component.name}.lock", lambda: step("waiting for another build of it", 0, 0)):
        if target.is_dir() and (not force or target.stat().st_mtime > requested_at):
            return target
        for leftover in cache.glob(f"{_TEMPORARY_PREFIX}{component.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of a killed build: this process holds the lock
        with tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY_PREFIX}{component.name}-", dir=cache) as folder:
            output = _build_programs(go, component, Path(folder), step)
            shutil.rmtree(target, ignore_errors=True)
            output.rename(target)
    return target


def _build_programs(go: str, component: Component, folder: Path, step: Step) -> Path:
    """Build every program of a component; return the folder of the programs, inside ``folder``."""
    # A copy, because Go may write beside go.mod, and an installed package may be read-only.
    source = shutil.copytree(component.module, folder / "source")
    output = folder / "output"
    output.mkdir(mode=0o755)
    for binary, package in component.packages.items():
        _go_build(go, source, package, output / binary, step)
    return output


def _go_build(go: str, source: Path, package: str, output: Path, step: Step) -> None:
    """Build one program: fetch its modules, count the packages that are not compiled yet, compile them.

    Raises:
        BuildError: Go failed; with the last lines of its output.
    """
    name, flags = output.name, ["-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
    step(f"{name}: resolving", 0, 0)
    modules = len(re.findall(r"^(?:require )?\s*\S+ v\S+", (source / "go.mod").read_text(), re.MULTILINE))
    stale = "{{if .Stale}}{{.ImportPath}}{{end}}"
    listed = _go([go, "list", *flags, "-deps", "-f", stale, package], name, source, modules, 0, step)
    packages = len(listed.split())
    _go([go, "build", "-v", *flags, "-o", str(output), package], name, source, modules, packages, step)


def _go(command: list[str], name: str, source: Path, modules: int, packages: int, step: Step) -> str:  # noqa: PLR0913, PLR0917 - one call of one command
    """Run a Go command, report its steps, and return what it prints.

    Raises:
        BuildError: It failed; with the last lines of its output.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(  # noqa: S603  # a fixed command
            command,
            cwd=source,
            # Our flags, so that the same manifest gives the same program; GOPROXY and its like are the user's.
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        try:
            tail = _follow(process, name, modules, packages, step)
            code = process.wait()
        except BaseException:
            # Go's compilers are its children: without this they would go on after Ctrl-C.
            os.killpg(process.pid, signal.SIGKILL)
            raise
        printed.seek(0)
        output = printed.read()
    if code:
        raise BuildError(
            f"Go could not build {name} (`{' '.join(command)}` ended with code {code}):\n"
            + "\n".join(f"  | {line}" for line in tail or ["(it said nothing)"]),
            "If a module could not be fetched, check the network and GOPROXY"
            f" (`go env GOPROXY` says {_output([command[0], 'env', 'GOPROXY'])!r}), then run this again.\n"
            f"{without_building()}",
        )
    return output


def _follow(process: subprocess.Popen[str], name: str, modules: int, packages: int, step: Step) -> deque[str]:
    """Report the steps in the output of a Go command; return the last lines that are no steps."""
    if process.stderr is None:
        raise TypeError("the process was started without a pipe to read from")
    downloaded = compiled = 0
    tail: deque[str] = deque(maxlen=_MAX_ERROR_LINES)
    for line in map(str.rstrip, process.stderr):
        if line.startswith("go: downloading"):
            downloaded += 1
            step(f"{name}: downloading modules", downloaded, modules)
        elif re.fullmatch(r"[\w./~-]+", line):
            compiled += 1
            step(f"{name}: compiling packages", compiled, max(packages, compiled))
        else:
            tail.append(line)
    return tail


def _output(command: list[str]) -> str:
    # In the root folder, because a go.mod or go.work in the current one would change the Go version.
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603  # fixed
    return result.stdout.strip()


@contextmanager
def _lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file; the system releases it when the process ends, also by a signal."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
