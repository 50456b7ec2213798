"""Calls with new arguments under every policy leave nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process as Linux tells it")
def test_many_calls_with_new_arguments_leave_nothing_behind() -> None:
    """A million of them: ``python -m tests.bench.memory``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.memory", "60000"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    growth = re.search(r"growth since (-?[\d.]+) MB", done.stdout)
    assert growth is not None, done.stdout
    assert float(growth[1]) < 10
    assert "ok=59940, cached=0, fallback=60" in done.stdout
