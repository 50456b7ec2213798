"""`multiprocessing` and its pools: tools go to other processes by their name, and a trace by W3C context."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Final

import pytest

from tests.export.program import Program
from tests.export.receiver import HttpReceiver
from tests.interop import weather as w

PROGRAM: Final = """
import asyncio, multiprocessing
from concurrent.futures import ProcessPoolExecutor
from opentelemetry import context, propagate
from tests.interop import weather as w

def begin():
    configure(service_name="worker")
    w.outages.append(ConnectionError())

def joined(carrier, function, place, days):
    token = context.attach(propagate.extract(carrier))
    try:
        return function(place, days=days)
    finally:
        context.detach(token)

def in_task(place, days):
    async def main():
        return await w.weather_async(place, days=days)

    return asyncio.run(main())

def alone(place, queue):
    configure(service_name="worker")
    queue.put(w.weather(place, days=2))

if __name__ == "__main__":
    by = multiprocessing.get_context(METHOD)
    configure(service_name="parent")
    oslo, carrier = w.Place(city="Oslo"), {}
    with agent("travel"):
        propagate.inject(carrier)
        with ProcessPoolExecutor(1, mp_context=by, initializer=begin) as pool:
            results = [pool.submit(joined, carrier, w.weather, oslo, 2).result() for _ in range(2)]
            results.append(pool.submit(joined, carrier, in_task, oslo, 2).result())
        with by.Pool(1, begin) as pool:
            results += pool.starmap(joined, [(carrier, w.weather, oslo, 2)] * 2)
            results += pool.starmap(w.weather, [(oslo, "celsius", 2)])
            pool.close()
            pool.join()
        queue = by.Queue()
        process = by.Process(target=alone, args=(oslo, queue))
        process.start()
        results.append(queue.get())
        process.join()
    assert results == [w.bare(oslo, days=2)] * 7, results
    report(results=[each.model_dump() for each in results], inherited=METHOD == "fork")
"""

METHODS = ["spawn"] if sys.platform == "win32" else ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_tools_in_other_processes(method: str) -> None:
    with HttpReceiver() as receiver:
        send = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        ended = Program(f"METHOD = {method!r}\n{PROGRAM}", send, 60).run()
        assert ended.code == 0, ended.err
        receiver.wait(lambda seen: len(seen.spans) >= 8)
        spans = receiver.spans
    assert ended.reported["results"] == [w.EXPECTED.model_dump()] * 7
    [agent] = [span for span in spans if span.name == "invoke_agent travel"]
    calls = [span for span in spans if span.name.startswith("execute_tool")]
    assert Counter(span.name for span in calls) == {"execute_tool weather": 6, "execute_tool weather_async": 1}
    # A fork inherits what is current; other processes know what they are told.
    roots = 0 if method == "fork" else 2
    assert Counter(span.parent for span in calls) == Counter({agent.id: 7 - roots, "": roots})
    assert {span.trace for span in calls if span.parent} == {agent.trace}
    policies = Counter(
        (span.attributes.get("otel_tools.retry.count", 0), span.attributes["otel_tools.cache.result"]) for span in calls
    )
    assert policies == {(1, "miss"): 2, (0, "miss"): 2, (0, "hit"): 3}
    assert len({span.instance for span in calls}) == 3
    assert os.getpid() not in {span.resource.get("process.pid") for span in calls}
