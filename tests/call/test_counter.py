"""Counting without a lock."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from otel_tools._call.counter import Counter


def test_what_is_read_is_what_was_counted_however_often_it_is_read() -> None:
    counter = Counter()
    assert counter.value == 0
    for _ in range(3):
        counter.more()
    assert [counter.value, counter.value] == [3, 3]


def test_threads_lose_nothing() -> None:
    counter = Counter()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            for _ in range(8):
                threads.submit(lambda: [counter.more() for _ in range(5_000)])
    finally:
        sys.setswitchinterval(before)
    assert counter.value == 40_000
