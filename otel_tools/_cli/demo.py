"""``otel-tools demo``: an ordinary tool-calling application with telemetry."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from otel_tools._export.endpoint import is_http_url
from otel_tools._urls import shown


def demo(
    repeat: Annotated[int, typer.Option(min=1, help="How many conversations to have; more make alerts.")] = 1,
    file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write telemetry to this file (OTLP JSON lines).")
    ] = None,
    exporter: Annotated[
        Literal["auto", "otlp", "file"],
        typer.Option(help="otlp: to a collector. file: to a file. auto: to a collector where one listens."),
    ] = "auto",
    endpoint: Annotated[
        str | None, typer.Option(help="The collector, such as http://127.0.0.1:4318.", metavar="URL")
    ] = None,
) -> None:
    """Run a tool-calling application and show what its tools did.

    The model is yours where OPENAI_API_KEY or OPENAI_BASE_URL is set (its name:
    OPENAI_MODEL), else a scripted one on this machine. Some calls fail, on purpose.
    """
    if endpoint is not None and not is_http_url(endpoint.strip()):
        raise typer.BadParameter(
            f"{shown(endpoint)}: a URL is needed, such as http://127.0.0.1:4318", param_hint="--endpoint"
        )
    if file is not None and (exporter == "otlp" or endpoint is not None):
        raise typer.BadParameter("a file and a collector at once: leave out one of them", param_hint="--file")
    if exporter == "file" and endpoint is not None:
        raise typer.BadParameter("--exporter file sends nothing to it: leave out one of them", param_hint="--endpoint")
    from otel_tools._demo.run import run  # noqa: PLC0415  # openai and the SDK, which only this verb needs

    raise typer.Exit(run(repeat=repeat, file=file, exporter=exporter, endpoint=endpoint))
