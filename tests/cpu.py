"""CPU time as a ratio to a fixed loop in the same process, so that a bound holds on a slow or busy machine too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOP = 3_000_000
"""Iterations of the loop; they take about 0.06 s of CPU time on an idle machine of 2026."""


def cpu_ratio(work: Callable[[], object], runs: int = 3) -> float:
    """The least CPU time of the work over some runs, in units of the loop's: 1 is about 0.06 s on an idle machine.

    The least of some runs leaves out the garbage collector, which may walk through all objects of the process.
    """
    return min(_cpu_time(work) for _ in range(runs)) / min(_cpu_time(_loop) for _ in range(runs))


def _loop() -> None:
    for _ in range(LOOP):
        pass


def _cpu_time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
