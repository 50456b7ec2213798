"""How a recording looks in a terminal: a trace as a tree along its time line, the tools as a table."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from otel_tools._demo.otlp_file import Span, Tool
from otel_tools._telemetry import names

_GAP = 2
_DURATION = 8
_BAR = range(6, 25)  # columns of the time line: as many as names and errors leave it
_STYLES = {"ok": "green", "cached": "green", "error": "bold red", "invalid": "yellow", "fallback": "yellow"}


def tree(spans: Sequence[Span], console: Console) -> RenderableType:
    """Show one trace.

    Args:
        spans: the trace's spans, in the order in which they began.
        console: where it will be shown, for the characters that it can show.
    """
    start = min(span.start for span in spans)
    length = max(max(span.end for span in spans) - start, 1)
    plain = console.options.ascii_only
    rows = [
        (_one_line((guide, "dim"), (span.name, "" if guide else "bold")), span, _ending(span))
        for guide, span in _walk(spans, plain=plain)
    ]
    words = max(name.cell_len for name, _, _ in rows) + max(ending.cell_len for _, _, ending in rows)
    columns = min(max(console.width - words - _DURATION - 3 * _GAP, _BAR[0]), _BAR[-1])
    table = Table.grid(padding=(0, _GAP))
    # Where the terminal is narrow still, names and errors give way; durations and bars do not.
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_column(no_wrap=True, width=columns)
    for name, span, ending in rows:
        left = round((span.start - start) / length * (columns - 1))
        width = max(1, round((span.end - span.start) / length * columns))
        bar = " " * left + ("#" if plain else "━") * min(width, columns - left)
        table.add_row(name, duration(span.seconds), ending, Text(bar, "red" if span.failed else "cyan"))
    return table


def _walk(spans: Sequence[Span], *, plain: bool) -> Iterator[tuple[str, Span]]:
    """Each span with the lines that lead to it, parents before children."""
    tee, corner, pipe = ("|- ", "`- ", "|  ") if plain else ("├─ ", "└─ ", "│  ")
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        # A span whose parent is elsewhere (in another process, say) is a root here.
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)

    def below(parent: str, lead: str) -> Iterator[tuple[str, Span]]:
        family = children.get(parent, [])
        for child in family:
            last = child is family[-1]
            yield lead + (corner if last else tee), child
            yield from below(child.span_id, lead + ("   " if last else pipe))

    for root in children.get("", []):
        yield "", root
        yield from below(root.span_id, "")


def _ending(span: Span) -> Text:
    outcome = str(span.attributes.get(names.OUTCOME, "error" if span.failed else ""))
    error = span.attributes.get(names.ERROR_TYPE)
    said = "" if error in {None, outcome} else f" {error}"
    return _one_line((outcome, _STYLES.get(outcome, "")), (said, "red" if span.failed else ""))


def _one_line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def table(tools: Iterable[Tool]) -> RenderableType:
    """Show the numbers of the tools; outcomes that never happened get no column, but for ok and error.

    The mean is exact, the 95th percentile an estimate: a histogram knows only how many calls fell in each bucket.
    """
    tools = list(tools)
    seen = {outcome for tool in tools for outcome, count in tool.outcomes.items() if count}
    outcomes = ["ok", *sorted(seen - {"ok", "error"}), "error"]
    result = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    result.add_column("tool", overflow="ellipsis", no_wrap=True)
    for heading in ("calls", *outcomes, "success", "mean", "p95 est."):
        result.add_column(heading, justify="right", no_wrap=True)
    for tool in tools:
        rate = tool.success_rate
        result.add_row(
            tool.name,
            str(tool.outcomes.total()),
            *(
                Text(str(tool.outcomes[each]), _STYLES.get(each, "") if tool.outcomes[each] else "dim")
                for each in outcomes
            ),
            "-" if rate is None else Text(f"{rate:.1%}", "" if rate == 1 else "bold red"),
            duration(tool.duration.mean),
            duration(tool.duration.quantile(0.95)),
        )
    return result


def duration(seconds: float | None) -> str:
    """Write a duration to three digits, in a unit that suits it."""
    if seconds is None:
        return "-"
    number, unit = (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms")
    return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f} {unit}"  # noqa: PLR2004  (digits)
