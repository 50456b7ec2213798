"""The verbs of ``otel-tools``, each loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from otel_tools._sidecar.errors import SidecarError
from otel_tools._terminal import console
from otel_tools._version import __version__
from otel_tools.errors import ConfigurationError

_VERBS = {
    "demo": ("otel_tools._cli.demo", "demo"),
    "doctor": ("otel_tools._cli.doctor", "doctor"),
    "sidecar": ("otel_tools._cli.sidecar", "app"),
}


class Verbs(TyperGroup):
    """Imports a verb's module only when that verb, or the list of all, is asked for.

    So ``otel-tools sidecar status`` does not wait for what ``otel-tools demo`` needs. And whatever verb
    runs, our own errors end it with their message and their way out instead of a traceback.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the base class's signature
        """The verbs, in alphabetical order."""
        return sorted(_VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  # the base class's signature
        """The verb, imported now; None when there is none of that name."""
        if cmd_name not in _VERBS:
            return None
        module, attribute = _VERBS[cmd_name]
        verb = getattr(import_module(module), attribute)
        if not isinstance(verb, typer.Typer):
            alone = typer.Typer(**OPTIONS)
            alone.command(cmd_name)(verb)
            verb = alone
        command: Any = get_command(verb)
        command.name = cmd_name
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = _unfolded(each.help)
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except SidecarError as error:
            console.error(error.what, error.fix)
        except ConfigurationError as error:
            console.error(str(error))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None  # as a shell reports Ctrl-C
        raise typer.Exit(1)


def _unfolded(text: str) -> str:
    """A docstring's paragraphs as one line each, for the help to fold at the terminal's width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


# No shell completion to install unasked, and no values of local variables in tracebacks: they may be secrets.
OPTIONS: dict[str, Any] = {
    # Plain help folds well at 80 columns, on a terminal and off one; typer's boxes spend a third on frames.
    "rich_markup_mode": None,
    "add_completion": False,
    "no_args_is_help": True,
    "pretty_exceptions_show_locals": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

app = typer.Typer(cls=Verbs, **OPTIONS)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"otel-tools {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 done, 1 failed, 2 wrong usage. Verbs with more say so in their --help.")
def otel_tools(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Trace, count and alert on the tool calls of LLM applications."""
