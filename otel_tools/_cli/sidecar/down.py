"""``otel-tools sidecar down``: stops the sidecar."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from otel_tools._sidecar import docker
from otel_tools._sidecar.paths import state_dir
from otel_tools._sidecar.stop import stop_running
from otel_tools._terminal import console


def down(
    use_docker: Annotated[bool, typer.Option("--docker", help="The one that docker compose runs.")] = False,
) -> None:
    """Stop the sidecar that `up` started; what it stored stays.

    Exit codes: 0 stopped, or there was nothing to stop; 1 could not be stopped.
    """
    folder = state_dir()
    began = time.monotonic()
    stopped = stop_running(folder)
    if use_docker or docker.runs_in_docker(folder):
        docker.require_engine()
        docker.down(folder)
        stopped = True
    took = console.format_duration(time.monotonic() - began)
    console.print_text(f"Stopped in {took}" if stopped else "No sidecar was running")
