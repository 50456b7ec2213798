"""The command ``otel-tools``: one file per verb."""

from __future__ import annotations

import sys

_PACKAGES_OF_EXTRA = ("typer", "rich")


def main() -> None:
    """Run the command; without the ``cli`` extra, print how to install it and exit with code 2."""
    try:
        from otel_tools._cli.app import app  # noqa: PLC0415  # the packages of an extra, perhaps not installed
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _PACKAGES_OF_EXTRA:
            raise
        sys.stderr.write(
            f"otel-tools: the command line needs {missing}: pip install 'otel_tools[cli]' (with the quotes)\n"
        )
        sys.exit(2)
    app(prog_name="otel-tools")
