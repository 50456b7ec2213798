"""A trace and the numbers of the tools as the terminal shows them."""

import io
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from otel_tools._demo.recording import Histogram, Span, ToolNumbers
from otel_tools._demo.view import duration, table, tree


def span(span_id: str, parent_id: str, name: str, start: float, end: float, **attributes: Any) -> Span:
    """A span between two times in milliseconds."""
    return Span(
        trace_id="t",
        span_id=span_id,
        parent_id=parent_id,
        name=name,
        start=int(start * 1e6),
        end=int(end * 1e6),
        failed="error.type" in attributes,
        attributes=attributes,
        instance="a",
    )


def rendered(draw: Any, encoding: str = "utf-8") -> list[str]:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding=encoding)
    console = Console(file=file, width=80, highlight=False)
    console.print(draw(console))
    file.flush()
    return [line.rstrip() for line in written.getvalue().decode(encoding).splitlines()]


SPANS = [
    span("1", "", "invoke_agent a", 0, 160),
    span("2", "1", "execute_tool f", 0, 40, **{"otel_tools.outcome": "ok"}),
    span("3", "2", "inner", 10, 20),
    span("4", "1", "execute_tool g", 80, 160, **{"otel_tools.outcome": "error", "error.type": "LookupError"}),
    span(
        "5",
        "elsewhere",
        "execute_tool h",
        159,
        160,
        **{"otel_tools.outcome": "cancelled"},
    ),
]


def test_a_trace_is_a_tree_with_a_time_line() -> None:
    assert rendered(lambda console: tree(SPANS, console)) == [
        "invoke_agent a      160 ms                     ━━━━━━━━━━━━━━━━━━━━━━━━",
        "├─ execute_tool f  40.0 ms  ok                 ━━━━━━",
        "│  └─ inner        10.0 ms                      ━━",
        "└─ execute_tool g  80.0 ms  error LookupError              ━━━━━━━━━━━━",
        "execute_tool h     1.00 ms  cancelled                                 ━",
    ]


def test_an_ascii_terminal_gets_ascii_lines_and_bars() -> None:
    lines = rendered(lambda console: tree(SPANS, console), encoding="ascii")
    assert lines[2] == "|  `- inner        10.0 ms                      ##"


def test_a_name_too_long_for_80_columns_is_cut_and_the_duration_is_not() -> None:
    long = [span("1", "", "execute_tool " + "x" * 90, 0, 1, **{"error.type": "package.module.VeryLongError" * 2})]
    (line,) = rendered(lambda console: tree(long, console))
    assert len(line) <= 80
    assert "…" in line
    assert "1.00 ms" in line


def test_the_table_has_calls_by_outcome_success_mean_and_p95() -> None:
    histogram = Histogram((0.01,), (4, 0), 0.008, minimum=0.001, maximum=0.003)
    tools = [
        ToolNumbers("f", Counter(ok=3, error=1, cached=1, fallback=0), histogram),
        ToolNumbers("idle", Counter(ok=0, error=0)),
    ]
    assert rendered(lambda _: table(tools)) == [
        "tool  calls  ok  cached  error  success     mean  p95 est.",
        "f         5   3       1      1    80.0%  2.00 ms   3.00 ms",
        "idle      0   0       0      0        -        -         -",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0000154, "0.02 ms"),
        (0.00154, "1.54 ms"),
        (0.0154, "15.4 ms"),
        (0.154, "154 ms"),
        (1.54, "1.54 s"),
    ],
)
def test_durations_have_three_digits(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
