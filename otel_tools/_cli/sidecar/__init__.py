"""``otel-tools sidecar``: build, run and inspect the programs that receive telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import typer

from otel_tools._cli.verbs import OPTIONS, Verb, Verbs

if TYPE_CHECKING:
    from collections.abc import Mapping


class SidecarVerbs(Verbs):
    """The verbs of the sidecar, in the order in which a person needs them."""

    verbs: ClassVar[Mapping[str, Verb]] = {
        "build": Verb("otel_tools._cli.sidecar.build", "build", "Build the sidecar's programs with Go."),
        "up": Verb(
            "otel_tools._cli.sidecar.up", "up", "Run collector, Jaeger, Prometheus and Alertmanager on loopback."
        ),
        "status": Verb(
            "otel_tools._cli.sidecar.status", "status", "Show each program: its process, health, address and log."
        ),
        "down": Verb(
            "otel_tools._cli.sidecar.down", "down", "Stop the sidecar that `up` started; what it stored stays."
        ),
    }


app = typer.Typer(cls=SidecarVerbs, **OPTIONS)


@app.callback()
def sidecar() -> None:
    """Run the collector, Jaeger, Prometheus, Alertmanager (POSIX only)."""
