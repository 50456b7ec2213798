"""Without an SDK nothing is sent; providers of the application are found whenever they are set."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import otel_tools


def run(program: str) -> str:
    """What a program prints that runs as a process of its own: the global providers can be set only once."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        cwd=Path(otel_tools.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


TOOLS = """
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("otel_tools.calls").setLevel(logging.INFO)  # at DEBUG, each call that begins is logged
from otel_tools import Objective, agent, stats, tool

@tool(objective=Objective(success=0.9))
def add(a):
    return a + 1

@tool
async def add_later(a):
    return a + 1

@tool
def count(n):
    yield from range(n)

@tool
def fail():
    raise OSError("no network")

def use():
    with agent("a"):
        assert add(1) == 2
        assert list(count(2)) == [0, 1]
    async def main():
        assert await add_later(1) == 2
    asyncio.run(main())
    try:
        fail()
    except OSError:
        pass
"""


def test_without_any_sdk_tools_work_and_are_counted() -> None:
    printed = run(
        TOOLS
        + """
logging.disable(logging.CRITICAL)  # asyncio's own
use()
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
print({name: (numbers.calls.ok, numbers.calls.error) for name, numbers in stats().items()})
"""
    )

    assert printed.strip() == "{'add': (1, 0), 'add_later': (1, 0), 'count': (1, 0), 'fail': (0, 1)}"


def test_providers_that_are_set_after_decoration_and_first_calls_are_found() -> None:
    printed = run(
        TOOLS
        + """
logging.disable(logging.CRITICAL)
use()
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
logger_provider = LoggerProvider()
logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
set_logger_provider(logger_provider)
import os
os.environ["OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"] = "logs"
use()
print(sorted(span.name for span in spans.get_finished_spans()))
print(len(logs.get_finished_logs()))
points = {}
for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    for point in metric.data.data_points:
        if point.attributes["gen_ai.tool.name"] == "add":
            number = getattr(point, "value", getattr(point, "count", None))
            points[metric.name, point.attributes.get("otel_tools.outcome")] = number
print(sorted(points.items(), key=repr))
"""
    )

    names, logs, points = printed.strip().splitlines()
    assert names == str(
        ["execute_tool add", "execute_tool add_later", "execute_tool count", "execute_tool fail", "invoke_agent a"]
    )
    assert logs == "1"
    # The counters know of the calls before there was a provider; the histogram is the SDK's and does not.
    assert "('gen_ai.execute_tool.duration', None), 1)" in points
    assert "('otel_tools.calls', 'ok'), 2)" in points
    assert "('otel_tools.objective', None), 0.9)" in points


def test_a_program_that_sets_no_provider_prints_nothing() -> None:
    assert run(TOOLS.replace("logging.basicConfig(level=logging.DEBUG)", "") + "use()") == ""


def test_a_program_may_end_while_calls_of_every_kind_run() -> None:
    printed = run(
        TOOLS
        + """
import builtins
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + chr(10))))
trace.set_tracer_provider(provider)

@tool
async def wait():
    await asyncio.get_running_loop().create_future()

@tool
async def count_later():
    yield 1

def suspended():
    generator = count(3)
    next(generator)
    return generator

plain, builtins.kept, cycle = suspended(), suspended(), [suspended()]
cycle.append(cycle)

async def main():
    global waiting, open_generator
    waiting, open_generator = wait(), count_later()
    waiting.send(None)
    await anext(open_generator)

logging.disable(logging.CRITICAL)
asyncio.run(main())
"""
    )

    assert "execute_tool count_later" in printed.splitlines()
