"""The command ``otel-tools``: one file per verb."""

from __future__ import annotations

import sys

_NEEDS = ("typer", "rich")


def main() -> None:
    """The entry point; without the ``cli`` extra it says how to install it."""
    try:
        from otel_tools._cli.app import app  # noqa: PLC0415  # the packages of an extra, perhaps not installed
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDS:
            raise
        sys.stderr.write(
            f"otel-tools: the command line needs {missing}: pip install 'otel_tools[cli]' (with the quotes)\n"
        )
        sys.exit(2)
    app(prog_name="otel-tools")
