"""Terminal output: folded at 80 columns on a terminal, plain elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from otel_tools._terminal import console


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    made = Console(file=shown, width=80, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr(console, "stdout", lambda: made)
    return shown


LONG = "nothing listens on localhost:4318 (Connection refused), and this is a long story about why that is so"


def test_a_long_entry_is_folded_within_its_last_column(terminal: io.StringIO) -> None:
    console.print_entry([(console.state_text("failed"), 9), ("collector", 15)], LONG, "fix: otel-tools sidecar up")
    lines = [line.rstrip() for line in terminal.getvalue().splitlines()]
    assert lines[0].startswith("failed   collector      nothing listens")
    assert all(line.startswith(" " * 24) for line in lines[1:])
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].strip() == "fix: otel-tools sidecar up"
    assert " ".join(" ".join(lines[:-1]).split()[2:]) == LONG


def test_off_a_terminal_lines_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_entry([("failed", 9)], LONG)
    console.print_text(LONG, indent=2)
    console.print_error(f"{LONG}\nsecond", "do this\ndo that")
    shown = capsys.readouterr()
    assert shown.out == f"failed   {LONG}\n  {LONG}\n"
    assert shown.err == f"error: {LONG}\nsecond\n  do this\n  do that\n"


def test_columns_are_aligned_without_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_columns([["program", "state"], [Text("jaeger"), console.state_text("healthy")], ["x", ""]], head=True)
    assert capsys.readouterr().out == "  program  state\n  jaeger   healthy\n  x\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.9, "12 s"),
        (185, "3 min 05 s"),
        (7805, "2 h 10 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_have_readable_units(seconds: float, shown: str) -> None:
    assert console.format_duration(seconds) == shown
