"""What a million calls leave behind. Run it: ``python -m tests.bench.memory [CALLS]`` (from the top of the repository).

Every policy is on and every argument new, so that whatever keeps something for each key, call or caller shows. The
resident memory is read after a tenth of the calls, when caches and tables have their size, and at the end.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Any

from otel_tools import Cache, CircuitBreaker, Concurrency, RateLimit, Retry, tool
from otel_tools._telemetry.instruments import bind_providers
from tests.bench.rounds import meter_provider, tracer_provider

CALLS = 1_000_000


def resident() -> float:
    """Resident memory of this process in MB, with all that can be freed freed."""
    tracer_provider.force_flush()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def worked(number: int, note: str = "") -> dict[str, Any]:
    """One in a hundred fails at first, one in a thousand for good."""
    failing.discard(number - 1)
    if number % 1000 == 0 or (number % 100 == 0 and number not in failing):
        failing.add(number)
        raise ConnectionError(number)
    return {"number": number, "note": note}


failing: set[int] = set()


def guarded(*, with_timeout: bool) -> Any:
    """The function under every policy."""
    return tool(
        name="worked",
        validate=True,
        fallback=lambda number, note="": {},  # noqa: ARG005 - the tool's parameters
        cache=Cache(ttl=300, maxsize=1024, stale_if_error=60),
        retry=Retry(attempts=2, initial=0),
        circuit_breaker=CircuitBreaker(failures=1000),
        concurrency=Concurrency(8),
        rate_limit=RateLimit(1_000_000, key=lambda args: args["number"]),
        failed_if=lambda result: result is None,
        timeout=60 if with_timeout else None,
    )(worked)


def main(calls: int = CALLS) -> float:
    """Make the calls; the growth in MB from a tenth of them on."""
    bind_providers(tracer_provider, meter_provider)
    plain, timed = guarded(with_timeout=False), guarded(with_timeout=True)
    began, after_a_tenth = time.monotonic(), 0.0
    for number in range(1, calls + 1):
        (timed if number % 20 == 0 else plain)(number=number)
        if number == calls // 10:
            after_a_tenth = resident()
    growth = resident() - after_a_tenth
    print(f"{calls:,} calls in {time.monotonic() - began:.0f} s, {plain.tool.stats().calls}")
    print(f"resident after the first tenth {after_a_tenth:.1f} MB, growth since {growth:.1f} MB")
    return growth


if __name__ == "__main__":
    import logging

    logging.disable()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
