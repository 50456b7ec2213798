"""A group of verbs that lists them from a table and imports only the one that runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

from otel_tools._terminal import console

if TYPE_CHECKING:
    from collections.abc import Mapping

# No shell completion to install unasked, and no values of local variables in tracebacks: they may be secrets.
OPTIONS: dict[str, Any] = {
    # Plain help folds well at 80 columns, on a terminal and off one; typer's boxes spend a third on frames.
    "rich_markup_mode": None,
    "add_completion": False,
    "no_args_is_help": True,
    "pretty_exceptions_show_locals": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

_POSIX_MODULES = ("fcntl",)


class Verb(NamedTuple):
    """Where a verb is, and its line in the list.

    Attributes:
        module: the module to import when the verb runs.
        attribute: its function there, or the `typer.Typer` of its own verbs.
        help: the first line of its docstring, repeated here because the list imports nothing.
    """

    module: str
    attribute: str
    help: str


class Verbs(TyperGroup):
    """Imports a verb's module only when that verb is asked for.

    So ``otel-tools sidecar status`` does not wait for what ``otel-tools demo`` needs, and the list works on
    systems where some verbs cannot run.

    Attributes:
        verbs: by name, in the order of the list.
    """

    verbs: ClassVar[Mapping[str, Verb]]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the base class's signature
        """The verbs' names."""
        return list(self.verbs)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # the base class's signature
        """Write the list of verbs from the table; the base class would import each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in self.verbs.items()])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb, imported now; None when there is none of that name.

        Raises:
            typer.Exit: the verb needs a POSIX system; says so.
        """
        if cmd_name not in self.verbs:
            return None
        verb = self.verbs[cmd_name]
        try:
            found = getattr(import_module(verb.module), verb.attribute)
        except ModuleNotFoundError as error:
            if error.name not in _POSIX_MODULES:
                raise
            console.print_error(
                f"`{ctx.command_path} {cmd_name}` needs a POSIX system such as Linux, macOS or WSL"
                f" (this Python has no {error.name})"
            )
            raise typer.Exit(2) from None
        if not isinstance(found, typer.Typer):
            program = typer.Typer(**OPTIONS)
            program.command(cmd_name)(found)
            found = program
        command: Any = get_command(found)
        command.name = cmd_name
        command.help = _unfolded(command.help)
        return command


def _unfolded(text: str) -> str:
    """A docstring's paragraphs as one line each, for the help to fold at the terminal's width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
