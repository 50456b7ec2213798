"""Builds the sidecar's programs with Go, from the committed manifests into the user's cache."""

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

from otel_tools._sidecar.errors import BuildError
from otel_tools._sidecar.paths import cache_dir

if TYPE_CHECKING:
    from otel_tools._sidecar.binaries import Component

_TAIL_LINES = 25
_TEMPORARY = ".building-"
_GETS_NEWER_GO = (1, 21)  # since this version Go fetches the version that go.mod asks for

_OTHER_WAYS = (
    "Or use Docker: otel-tools sidecar up --docker\n"
    'Or do without a sidecar: configure(exporter="file", file="telemetry.otlp.jsonl")'
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is.

    Attributes:
        component: its name.
        step: in words, such as ``downloading modules``.
        count: modules downloaded, or packages compiled; 0 where there is nothing to count.
        seconds: since the build began.
    """

    component: str
    step: str
    count: int
    seconds: float


Report = Callable[[Progress], None]


def require_go(component: Component) -> str:
    """The ``go`` command, new enough for the component.

    Raises:
        BuildError: there is none, or it is too old; with the ways out.
    """
    needed = component.go_version()
    wanted = ".".join(map(str, needed))
    go = shutil.which("go")
    if go is None:
        raise BuildError(
            "Go is not installed (no `go` on PATH), and the sidecar is built with it",
            f"Install Go {wanted} or newer: https://go.dev/dl\n{_OTHER_WAYS}",
        )
    told = _output([go, "env", "GOVERSION", "GOTOOLCHAIN"]).split()
    version = tuple(int(part) for part in re.findall(r"\d+", told[0])[:2]) if told else ()
    fetches_newer = version >= _GETS_NEWER_GO and not (len(told) > 1 and told[1].startswith("local"))
    if version < needed[:2] and not fetches_newer:
        shown = told[0].removeprefix("go") if told else "of an unknown version"
        raise BuildError(
            f"Go {shown} ({go}) is too old: {component.name} needs Go {wanted} or newer",
            f"Install Go {wanted} or newer: https://go.dev/dl\n{_OTHER_WAYS}",
        )
    return go


def build(component: Component, report: Report, *, force: bool = False) -> Path:
    """Build one component, unless it is built.

    The programs appear in the cache all at once, complete. A second build of the same component, from
    another terminal, waits for the first and uses what it built.

    Args:
        component: what to build.
        report: told about each step forward, a few times a second at most.
        force: build even what is there.

    Returns:
        The folder with its programs.

    Raises:
        BuildError: Go is missing or too old, or the build failed.
    """
    target = component.installed()
    if target.is_dir() and not force:
        return target
    go = require_go(component)
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    asked, began = time.time(), time.monotonic()

    def step(text: str, count: int = 0) -> None:
        report(Progress(component.name, text, count, time.monotonic() - began))

    with _alone(cache / f".{component.name}.lock", lambda: step("waiting for another build of it")):
        if target.is_dir() and (not force or target.stat().st_mtime > asked):
            return target
        for left in cache.glob(f"{_TEMPORARY}{component.name}-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a build that was killed: the lock is ours
        with tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}{component.name}-", dir=cache) as folder:
            # A copy: Go may want to write beside go.mod, and an installed package may be read-only.
            source = shutil.copytree(component.module, Path(folder) / "source")
            made = Path(folder) / "made"
            made.mkdir(mode=0o755)
            for binary, package in component.packages.items():
                _go_build(go, source, package, made / binary, step)
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)
    return target


def _go_build(go: str, source: Path, package: str, output: Path, step: Callable[[str, int], None]) -> None:
    command = [
        go,
        "build",
        "-v",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags=-s -w",
        "-o",
        str(output),
        package,
    ]
    name = output.name
    downloaded = compiled = 0
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    step(f"{name}: resolving", 0)
    with subprocess.Popen(  # noqa: S603  # a fixed command
        command,
        cwd=source,
        # Our flags, so that the same manifest gives the same program; GOPROXY and its like are the user's.
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in _lines(process):
                if line.startswith("go: downloading"):
                    downloaded += 1
                    step(f"{name}: downloading modules", downloaded)
                elif re.fullmatch(r"[\w./~-]+", line):
                    compiled += 1
                    step(f"{name}: compiling packages", compiled)
                else:
                    tail.append(line)
            code = process.wait()
        except BaseException:
            # Go's compilers are its children: without this they would go on after Ctrl-C.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if code:
        raise BuildError(
            f"Go could not build {name} (`{' '.join(command)}` ended with code {code}):\n"
            + "\n".join(f"  | {line}" for line in tail or ["(it said nothing)"]),
            "If a module could not be fetched, check the network and GOPROXY"
            f" (`go env GOPROXY` says {_output([go, 'env', 'GOPROXY'])!r}), then run this again.\n"
            f"{_OTHER_WAYS}",
        )


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stderr is None:
        raise TypeError("the process was started without a pipe to read from")
    for line in process.stderr:
        yield line.rstrip()


def _output(command: list[str]) -> str:
    # In the root folder: a go.mod or go.work where the user stands must not decide which Go this is.
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603  # fixed
    return result.stdout.strip()


@contextmanager
def _alone(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when the process ends, however it ends."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
