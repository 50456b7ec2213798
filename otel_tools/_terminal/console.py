"""Prints text, tables and errors: folded and coloured on a terminal, plain elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STYLES = {
    "ok": "green",
    "healthy": "green",
    "built": "green",
    "up": "green",
    "warning": "yellow",
    "starting": "yellow",
    "restarting": "yellow",
    "held": "yellow",
    "stopping": "yellow",
    "failed": "bold red",
    "unhealthy": "bold red",
    "stopped": "red",
    "missing": "red",
    "down": "red",
}

_COLUMN_GAP = 2


def stdout() -> Console:
    """Standard output. Rich itself follows NO_COLOR, and writes plain text where it is not a terminal."""
    return Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """Standard error, with the same settings as `stdout`."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_text(text: str | Text = "", *, indent: int = 0, to: Console | None = None) -> None:
    """Print text, folded between words on a terminal; in a file or pipe each line stays whole.

    Args:
        text: one or more lines.
        indent: spaces before each line.
        to: where to print; standard output by default.
    """
    console = to or stdout()
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent)) if indent else text)
        return
    plain = text.plain if isinstance(text, Text) else text
    for line in plain.split("\n"):
        console.print(" " * indent + line if line else "", soft_wrap=True)


def print_raw(text: str) -> None:
    """Print the text unchanged, for programs to read."""
    print(text)  # noqa: T201  # rich would fold or colour the text


def print_error(what: str, fix: str = "") -> None:
    """Print an error to standard error.

    Args:
        what: what is wrong; may have several lines.
        fix: what to do about it, indented below.
    """
    first, *rest = what.splitlines() or [""]
    console = stderr()
    print_text(Text.assemble(("error: ", "bold red"), first), to=console)
    for line in rest:
        print_text(line, to=console)
    for line in fix.splitlines():
        print_text(Text.assemble((line, "cyan")), indent=2, to=console)


def state_text(name: str) -> Text:
    """A state such as ``healthy``, in its colour."""
    return Text(name, _STYLES.get(name, ""))


def print_columns(rows: Iterable[Sequence[str | Text]], *, indent: int = 2, head: bool = False) -> None:
    """Print rows with aligned columns. The last column is neither padded nor folded.

    Args:
        rows: the cells of each row.
        indent: spaces before each row.
        head: the first row names the columns.
    """
    table = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(max(map(len, table), default=0))]
    console = stdout()
    for number, row in enumerate(table):
        line = Text(" " * indent)
        for i, cell in enumerate(row):
            line.append_text(cell)
            if i + 1 < len(row):
                line.append(" " * (widths[i] - len(cell) + _COLUMN_GAP))
        if head and number == 0:
            line.stylize("dim")
        line.rstrip()
        console.print(line, soft_wrap=True)


def print_entry(cells: Sequence[tuple[str | Text, int]], text: str, note: str = "") -> None:
    """Print one row. On a terminal its last column is folded within the column, with the note below.

    Args:
        cells: the first columns, each with its width.
        text: the last column.
        note: one or more lines below ``text``.
    """
    console = stdout()
    line = Text()
    for cell, width in cells:
        line.append_text(cell if isinstance(cell, Text) else Text(cell))
        line.pad_right(sum(width for _, width in cells[: cells.index((cell, width)) + 1]) - len(line))
    indent = len(line)
    notes = [Text(part, "cyan") for part in note.splitlines()]
    for number, part in enumerate([Text(text), *notes]):
        folded = part.wrap(console, max(20, console.width - indent)) if console.is_terminal else [part]
        for piece, shown in enumerate(folded):
            lead = line if number == piece == 0 else Text(" " * indent)
            console.print(Text.assemble(lead, shown), soft_wrap=True)


def format_duration(seconds: float) -> str:
    """A duration in readable units: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 10:  # noqa: PLR2004  # below this, tenths of a second matter
        return f"{max(0.0, seconds):.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    days, hours_rest = divmod(hours, 24)
    if days:
        return f"{days} d {hours_rest} h"
    if hours:
        return f"{hours} h {minutes_rest:02} min"
    if minutes:
        return f"{minutes} min {rest:02} s"
    return f"{rest} s"


def format_age(epoch: float) -> str:
    """The time since then, in readable units.

    Args:
        epoch: seconds since 1970.
    """
    return format_duration(time.time() - epoch)
