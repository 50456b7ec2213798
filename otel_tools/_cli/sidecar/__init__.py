"""``otel-tools sidecar``: build, run and look at the programs that receive telemetry."""

from __future__ import annotations

import typer

from otel_tools._cli.app import OPTIONS
from otel_tools._cli.sidecar.build import build
from otel_tools._cli.sidecar.down import down
from otel_tools._cli.sidecar.status import status
from otel_tools._cli.sidecar.up import up

app = typer.Typer(help="Build and run the collector, Jaeger, Prometheus and Alertmanager.", **OPTIONS)
for verb in (build, up, status, down):
    app.command()(verb)
