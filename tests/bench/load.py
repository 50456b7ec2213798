"""Makes the machine busy. Run it beside the tests: ``python -m tests.bench.load [SECONDS [BUSY [SYNCING]]]``.

Half of its processes compute without end; the others write to a file and wait until the disk has it. A test that fails
only beside them measures the machine.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time

SECONDS, BUSY, SYNCING = 300.0, 4, 4


def compute(until: float) -> None:
    """Keep a core busy."""
    number = 1
    while time.monotonic() < until:
        for _ in range(10_000):
            number = number * 1_103_515_245 + 12_345 & 0x7FFFFFFF


def sync(until: float) -> None:
    """Keep the disk busy."""
    with tempfile.TemporaryFile() as file:
        while time.monotonic() < until:
            file.seek(0)
            file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())


def main(seconds: float = SECONDS, busy: int = BUSY, syncing: int = SYNCING) -> None:
    """Run the processes until the time is over."""
    until = time.monotonic() + seconds
    processes = [
        multiprocessing.Process(target=target, args=(until,), daemon=True)
        for target in (*[compute] * busy, *[sync] * syncing)
    ]
    for process in processes:
        process.start()
    print(f"{busy} processes compute and {syncing} write for {seconds:g} s", flush=True)
    for process in processes:
        process.join()


if __name__ == "__main__":
    given = sys.argv[1:4] + [str(default) for default in (SECONDS, BUSY, SYNCING)][len(sys.argv) - 1 :]
    main(float(given[0]), int(given[1]), int(given[2]))
