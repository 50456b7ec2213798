"""The table of the verbs of ``otel-tools``, and what they have in common: version, errors, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from otel_tools._cli.verbs import OPTIONS, Verb, Verbs
from otel_tools._sidecar.errors import SidecarError
from otel_tools._terminal import console
from otel_tools._version import __version__
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class OtelTools(Verbs):
    """All verbs. Our own errors end any of them with their message and their fix instead of a traceback."""

    verbs: ClassVar[Mapping[str, Verb]] = {
        "demo": Verb("otel_tools._cli.demo", "demo", "Run a tool-calling application and show what its tools did."),
        "doctor": Verb(
            "otel_tools._cli.doctor", "doctor", "Find out where telemetry stops on its way, and what to do."
        ),
        "sidecar": Verb(
            "otel_tools._cli.sidecar", "app", "Run the collector, Jaeger, Prometheus, Alertmanager (POSIX only)."
        ),
    }

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except SidecarError as error:
            console.print_error(error.what, error.fix)
        except ConfigurationError as error:
            console.print_error(str(error))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None  # as a shell reports Ctrl-C
        raise typer.Exit(1)


app = typer.Typer(cls=OtelTools, **OPTIONS)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"otel-tools {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 done, 1 failed, 2 wrong usage. Verbs with more say so in their --help.")
def otel_tools(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Trace, count and alert on the tool calls of LLM applications."""
