"""Nothing begins after the caller was told that its time is over, whatever a tool inside was waiting for."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from otel_tools import Concurrency, ConcurrencyLimited, RateLimit, RateLimited, Retry, ToolTimeout, tool

WAITS: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "rate limit": ({"rate_limit": RateLimit(1, per=0.6, burst=1)}, RateLimited),
    "concurrency": ({"concurrency": Concurrency(1)}, ConcurrencyLimited),
    "retry": ({"retry": Retry(attempts=3, initial=0.6, jitter=None)}, ConnectionError),
}


@pytest.mark.parametrize(("options", "error"), WAITS.values(), ids=list(WAITS))
def test_a_payment_does_not_begin_after_its_caller_was_told_of_the_timeout(
    options: dict[str, Any], error: type[Exception]
) -> None:
    begun: list[float] = []
    raised: list[BaseException] = []
    occupied = threading.Event()

    @tool(**options)
    def pay(amount: int) -> int:
        begun.append(time.monotonic())
        if "concurrency" in options and amount == 0:
            occupied.set()
            time.sleep(0.7)
        if "retry" in options:
            raise ConnectionError("x")
        return amount

    @tool(timeout=0.3)
    def order() -> int:
        try:
            return pay(1)
        except Exception as failed:
            raised.append(failed)
            raise

    if "rate_limit" in options:
        pay(0)
    other = threading.Thread(target=pay, args=(0,))
    if "concurrency" in options:
        other.start()
        occupied.wait(5)
    with pytest.raises((ToolTimeout, error)):
        order()
    told = time.monotonic()
    time.sleep(0.9)

    assert all(began <= told for began in begun)
    assert [type(failed) for failed in raised] == [error]
    if "concurrency" in options:
        other.join()
        # The slot was not lost.
        assert pay(1) == 1
