"""What the verbs print: readable at 80 columns, plain when not a terminal."""

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

_GAP = 2


def out() -> Console:
    """Standard output. Rich itself heeds NO_COLOR, and is plain where this is no terminal."""
    return Console(highlight=False, markup=False, emoji=False)


def err() -> Console:
    """Standard error, likewise."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str | Text = "", *, indent: int = 0, to: Console | None = None) -> None:
    """One paragraph: folded at words on a terminal, whole lines in a file or pipe."""
    console = to or out()
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent)) if indent else text)
        return
    plain = text.plain if isinstance(text, Text) else text
    for line in plain.split("\n"):
        console.print(" " * indent + line if line else "", soft_wrap=True)


def raw(text: str) -> None:
    """The text to the letter, for programs to read."""
    print(text)  # noqa: T201  # rich would fold or colour it


def error(what: str, fix: str = "") -> None:
    """What is wrong and the way out, to standard error."""
    first, *rest = what.splitlines() or [""]
    console = err()
    say(Text.assemble(("error: ", "bold red"), first), to=console)
    for line in rest:
        say(line, to=console)
    for line in fix.splitlines():
        say(Text.assemble((line, "cyan")), indent=2, to=console)


def word(name: str) -> Text:
    """A word of state, in its colour."""
    return Text(name, _STYLES.get(name, ""))


def columns(rows: Iterable[Sequence[str | Text]], *, indent: int = 2, head: bool = False) -> None:
    """Rows with aligned columns; the last one may be as long as it likes, and nothing is padded after it.

    Args:
        rows: the cells of each row.
        indent: spaces before each row.
        head: the first row names the columns.
    """
    table = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(max(map(len, table), default=0))]
    console = out()
    for number, row in enumerate(table):
        line = Text(" " * indent)
        for i, cell in enumerate(row):
            line.append_text(cell)
            if i + 1 < len(row):
                line.append(" " * (widths[i] - len(cell) + _GAP))
        if head and number == 0:
            line.stylize("dim")
        line.rstrip()
        console.print(line, soft_wrap=True)


def entry(cells: Sequence[tuple[str | Text, int]], text: str, note: str = "") -> None:
    """One row whose last column is folded under itself on a terminal, with a note below.

    Args:
        cells: the first columns, each with its width.
        text: the last column.
        note: a line (or more) of its own under ``text``.
    """
    console = out()
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


def span(seconds: float) -> str:
    """A length of time as people say it: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 10:  # noqa: PLR2004  # below this, tenths tell something
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


def since(epoch: float) -> str:
    """How long ago that was."""
    return span(time.time() - epoch)
