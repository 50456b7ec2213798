"""How far the calls of one turn are from running all at once. Run it: ``python -m tests.bench.parallel``.

All tools sleep, so all could be done when one is: that is the first ratio. The second is to the same sleeps without
tools, a thread or a task for each: what Python itself can do on this machine. First without an SDK, as in a program
that configures none; then with spans and metrics recorded by the SDK (batch span processor, an exporter that does
nothing).
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from otel_tools import tool
from otel_tools._model.toolset.toolset import ToolSet
from otel_tools._telemetry.instruments import bind_providers
from tests.bench.rounds import meter_provider, tracer_provider

ROUNDS = 7
SLEEP = 0.05
THREADS = 100
TASKS = 1000


@tool
def look_up(place: int) -> dict[str, Any]:
    """Look something up."""
    time.sleep(SLEEP)
    return {"place": place, "found": True}


@tool
async def fetch(place: int) -> dict[str, Any]:
    """Fetch something."""
    await asyncio.sleep(SLEEP)
    return {"place": place, "found": True}


def calls(name: str, count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{each}", "type": "function", "function": {"name": name, "arguments": f'{{"place": {each}}}'}}
        for each in range(count)
    ]


def plain_threads() -> None:
    threads = [threading.Thread(target=time.sleep, args=(SLEEP,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def plain_tasks() -> None:
    await asyncio.gather(*(asyncio.sleep(SLEEP) for _ in range(TASKS)))


async def gathered() -> None:
    await asyncio.gather(*(fetch(each) for each in range(TASKS)))


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """The median and the fastest of the rounds; one more before them warms up."""
    took = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:]), min(took[1:])


def report(tools: ToolSet) -> None:
    looked_up, fetched = calls("look_up", THREADS), calls("fetch", TASKS)

    async def in_one_loop(said: list[dict[str, Any]]) -> None:
        await tools.arun(said)

    tables: list[list[tuple[str, Callable[[], Any]]]] = [
        [
            (f"{THREADS} threads that sleep, no tools", plain_threads),
            (f"{THREADS} sync tools, run", lambda: tools.run(looked_up)),
            (f"{THREADS} sync tools, arun", lambda: asyncio.run(in_one_loop(looked_up))),
        ],
        [
            (f"{TASKS} tasks that sleep, no tools", lambda: asyncio.run(plain_tasks())),
            (f"{TASKS} async tools, gathered by hand", lambda: asyncio.run(gathered())),
            (f"{TASKS} async tools, run", lambda: tools.run(fetched)),
            (f"{TASKS} async tools, arun", lambda: asyncio.run(in_one_loop(fetched))),
        ],
    ]
    for table in tables:
        plain = None
        for name, work in table:
            median, fastest = seconds(work)
            plain = plain or median
            times = f"{median * 1000:8.1f} ms{fastest * 1000:8.1f} ms"
            print(f"{name:40}{times}{median / SLEEP:10.2f}x{median / plain:10.2f}x")


def main() -> None:
    tools = ToolSet([look_up, fetch], max_parallel=TASKS)
    print(f"{'':40}{'median':>11}{'fastest':>11}{'of 50 ms':>11}{'of plain':>11}")
    print("without an SDK")
    report(tools)
    bind_providers(tracer_provider, meter_provider)
    print("with the SDK")
    report(tools)
    tracer_provider.shutdown()


if __name__ == "__main__":
    main()
