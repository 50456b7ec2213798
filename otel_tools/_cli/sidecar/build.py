"""``otel-tools sidecar build``: builds the programs and shows the progress."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress as ProgressBar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from otel_tools._sidecar.binaries import COMPONENTS, SIDECAR, Component
from otel_tools._sidecar.build import Progress, ProgressCallback, require_go
from otel_tools._sidecar.build import build as build_component
from otel_tools._sidecar.paths import display_path
from otel_tools._terminal import console

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPEAT_INTERVAL = 20.0  # seconds between two lines about the same step, off a terminal


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
    if any(force or not component.build_dir().is_dir() for component in chosen):
        for component in chosen:
            require_go(component)  # fail before the first minutes are spent
    began = time.monotonic()
    for number, component in enumerate(chosen, 1):
        started = time.monotonic()
        is_built = component.build_dir().is_dir() and not force
        with _progress(f"{number}/{len(chosen)}") as report:
            folder = build_component(component, report, force=force)
        result = "was built before" if is_built else f"in {console.format_duration(time.monotonic() - started)}"
        console.print_columns([[console.state_text("built"), f"{component.name:<12}", result]], indent=0)
        console.print_text(display_path(folder), indent=7)
    console.print_text()
    console.print_text(f"Done in {console.format_duration(time.monotonic() - began)}. Start it: otel-tools sidecar up")


def _chosen(names: list[str], *, everything: bool) -> list[Component]:
    if unknown := [name for name in names if name not in COMPONENTS]:
        raise typer.BadParameter(f"no component {', '.join(unknown)}; there are: {', '.join(COMPONENTS)}")
    return [COMPONENTS[name] for name in names or (COMPONENTS if everything else SIDECAR)]


@contextmanager
def _progress(place: str) -> Iterator[ProgressCallback]:
    """Show the progress of one component: a live line on a terminal, else a line for each new step."""
    target = console.stderr()
    if not target.is_terminal:
        yield _print_progress(place)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with ProgressBar(*columns, console=target, transient=True) as bar:
        task = bar.add_task(f"{place} looking")
        yield lambda progress: bar.update(task, description=f"{place} {_describe(progress)}")


def _print_progress(place: str) -> ProgressCallback:
    last_step, last_time = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal last_step, last_time
        if progress.step != last_step or progress.seconds - last_time > _REPEAT_INTERVAL:
            last_step, last_time = progress.step, progress.seconds
            after = console.format_duration(progress.seconds)
            console.print_text(f"{place} {_describe(progress)} ({after})", to=console.stderr())

    return report


def _describe(progress: Progress) -> str:
    counted = f", {progress.count} of {_total(progress)}" if progress.count else ""
    return f"{progress.component}: {progress.step}{counted}"


def _total(progress: Progress) -> str:
    # Of the modules that a program names, some may be there already.
    return f"at most {progress.total}" if "modules" in progress.step else str(progress.total)
