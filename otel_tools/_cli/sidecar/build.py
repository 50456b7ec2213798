"""``otel-tools sidecar build``."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from otel_tools._sidecar.binaries import COMPONENTS, SIDECAR, Component
from otel_tools._sidecar.build import Progress, Report, require_go
from otel_tools._sidecar.build import build as build_component
from otel_tools._sidecar.paths import short
from otel_tools._terminal import console

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEARTBEAT = 20.0  # seconds between two plain lines about one step


def build(
    components: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMPONENT", help=f"Of: {', '.join(COMPONENTS)}. Default: what `up` needs."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what only the development of otel_tools needs.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Build again what is built.")] = False,
) -> None:
    """Build the sidecar's programs with Go.

    The first time takes about fifteen minutes on two cores, and network for Go's modules; the versions and
    checksums are fixed. What is built stays in ~/.cache/otel-tools (or $OTEL_TOOLS_CACHE_DIR).

    Exit codes: 0 all is built, 1 Go is missing or too old, or a build failed, 2 wrong usage.
    """
    chosen = _chosen(components or [], everything=everything)
    if any(force or not component.installed().is_dir() for component in chosen):
        for component in chosen:
            require_go(component)  # said before the first minutes are spent
    began = time.monotonic()
    for number, component in enumerate(chosen, 1):
        started = time.monotonic()
        there = component.installed().is_dir() and not force
        with _progress(f"{number}/{len(chosen)}") as report:
            folder = build_component(component, report, force=force)
        took = "was built before" if there else f"in {console.span(time.monotonic() - started)}"
        console.columns([[console.word("built"), f"{component.name:<12}", took]], indent=0)
        console.say(short(folder), indent=7)
    console.say()
    console.say(f"Done in {console.span(time.monotonic() - began)}. Start it: otel-tools sidecar up")


def _chosen(names: list[str], *, everything: bool) -> list[Component]:
    if unknown := [name for name in names if name not in COMPONENTS]:
        raise typer.BadParameter(f"no component {', '.join(unknown)}; there are: {', '.join(COMPONENTS)}")
    return [COMPONENTS[name] for name in names or (COMPONENTS if everything else SIDECAR)]


@contextmanager
def _progress(place: str) -> Iterator[Report]:
    """Show one component's build: a live line on a terminal, else a line now and then."""
    target = console.err()
    if not target.is_terminal:
        yield _plain(place)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=target, transient=True) as bars:
        task = bars.add_task(f"{place} looking")
        yield lambda progress: bars.update(task, description=f"{place} {_words(progress)}")


def _plain(place: str) -> Report:
    last_step, last_time = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal last_step, last_time
        if progress.step != last_step or progress.seconds - last_time > _HEARTBEAT:
            last_step, last_time = progress.step, progress.seconds
            after = console.span(progress.seconds)
            console.say(f"{place} {_words(progress)} ({after})", to=console.err())

    return report


def _words(progress: Progress) -> str:
    counted = f", {progress.count}" if progress.count else ""
    return f"{progress.component}: {progress.step}{counted}"
