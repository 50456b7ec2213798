"""Renders a recording for a terminal: a trace as a tree with a time line, the tools as a table."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from otel_tools._demo.recording import Span, ToolNumbers
from otel_tools._telemetry import names

_GAP = 2
_DURATION_WIDTH = 8
_MIN_BAR_WIDTH, _MAX_BAR_WIDTH = 6, 24  # columns of the time line, which takes what names and errors leave
_STYLES = {"ok": "green", "cached": "green", "error": "bold red", "invalid": "yellow", "fallback": "yellow"}


def tree(spans: Sequence[Span], console: Console) -> RenderableType:
    """Render one trace.

    Args:
        spans: the trace's spans, in the order of their start.
        console: the terminal; its width and encoding decide the layout and the line characters.
    """
    start = min(span.start for span in spans)
    length = max(max(span.end for span in spans) - start, 1)
    ascii_only = console.options.ascii_only
    rows = [
        (_one_line((guide, "dim"), (span.name, "" if guide else "bold")), span, _ending(span))
        for guide, span in _walk(spans, ascii_only=ascii_only)
    ]
    text_width = max(name.cell_len for name, _, _ in rows) + max(ending.cell_len for _, _, ending in rows)
    bar_width = console.width - text_width - _DURATION_WIDTH - 3 * _GAP
    columns = min(max(bar_width, _MIN_BAR_WIDTH), _MAX_BAR_WIDTH)
    table = Table.grid(padding=(0, _GAP))
    # On a narrow terminal names and errors are cut; durations and bars are not.
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_column(no_wrap=True, width=columns)
    for name, span, ending in rows:
        left = round((span.start - start) / length * (columns - 1))
        width = max(1, round((span.end - span.start) / length * columns))
        bar = " " * left + ("#" if ascii_only else "━") * min(width, columns - left)
        table.add_row(name, duration(span.seconds), ending, Text(bar, "red" if span.failed else "cyan"))
    return table


def _walk(spans: Sequence[Span], *, ascii_only: bool) -> Iterator[tuple[str, Span]]:
    """Each span with the tree lines before its name, parents before children."""
    tee, corner, pipe = ("|- ", "`- ", "|  ") if ascii_only else ("├─ ", "└─ ", "│  ")
    span_ids = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        # A span whose parent is not in the recording (but, for example, in another process) is a root here.
        children.setdefault(span.parent_id if span.parent_id in span_ids else "", []).append(span)

    def descendants(parent: str, indent: str) -> Iterator[tuple[str, Span]]:
        siblings = children.get(parent, [])
        for child in siblings:
            is_last = child is siblings[-1]
            yield indent + (corner if is_last else tee), child
            yield from descendants(child.span_id, indent + ("   " if is_last else pipe))

    for root in children.get("", []):
        yield "", root
        yield from descendants(root.span_id, "")


def _ending(span: Span) -> Text:
    outcome = str(span.attributes.get(names.OUTCOME, "error" if span.failed else ""))
    error = span.attributes.get(names.ERROR_TYPE)
    error_text = "" if error in {None, outcome} else f" {error}"
    return _one_line((outcome, _STYLES.get(outcome, "")), (error_text, "red" if span.failed else ""))


def _one_line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def table(tools: Iterable[ToolNumbers]) -> RenderableType:
    """Render the numbers of the tools. Only ok and error always have a column; other outcomes when they occurred.

    The mean is exact. The 95th percentile is an estimate: a histogram has only the number of calls per bucket.
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
                Text(str(tool.outcomes[outcome]), _STYLES.get(outcome, "") if tool.outcomes[outcome] else "dim")
                for outcome in outcomes
            ),
            "-" if rate is None else Text(f"{rate:.1%}", "" if rate == 1 else "bold red"),
            duration(tool.duration.mean),
            duration(tool.duration.quantile(0.95)),
        )
    return result


def duration(seconds: float | None) -> str:
    """A duration with three digits, in seconds or milliseconds; `-` for None."""
    if seconds is None:
        return "-"
    number, unit = (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms")
    return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f} {unit}"  # noqa: PLR2004  (digits)
