"""The spans of the model's calls are OpenTelemetry's own, one for each call, and the tools' spans lead to them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from openai import AsyncOpenAI, OpenAI
import otel_tools
from otel_tools._model.call_ids.openai_client import instrument_openai, uninstrument_openai
from tests.model.responses_server import ModelServer
from tests.model.response_readers import ASYNC_WAYS, TURN, WAYS

@otel_tools.tool
def get_weather(location, unit="celsius"): return "sunny"

@otel_tools.tool
def get_time(location, unit=None): return "noon"

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

{switch_on}

def work(asked):
    for _, name, arguments in asked:
        globals()[name](**json.loads(arguments))

def told(way):
    spans = exporter.get_finished_spans()
    exporter.clear()
    return {{
        "way": way.__name__,
        "spans": [
            {{
                "name": span.name,
                "id": span.context.span_id,
                "kind": span.kind.name,
                "attributes": dict(span.attributes),
                "links": [link.context.span_id for link in span.links],
            }}
            for span in spans
        ],
    }}

async def main(server):
    for inside in ({agents}):
        with OpenAI(base_url=server.base_url, api_key="none") as client:
            for way in WAYS:
                if inside:
                    with otel_tools.agent("travel"):
                        work(way(client))
                else:
                    work(way(client))
                print(json.dumps(told(way)))
        async with AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
            for way in ASYNC_WAYS:
                if way.__name__ == "async_chat_streaming_response":
                    continue  # OpenTelemetry's instrumentation 1.3b0 leaves a coroutine of the client's unawaited
                if inside:
                    with otel_tools.agent("travel"):
                        work(await asyncio.create_task(way(client)))
                else:
                    work(await way(client))
                print(json.dumps(told(way)))

with ModelServer(lambda done, offered: TURN) as server:
    asyncio.run(main(server))
{switch_off}
assert OpenAIInstrumentor().is_instrumented_by_opentelemetry is {left_on}
"""


def run(switch_on: str, switch_off: str = "", *, left_on: bool, agents: str = "False, True") -> list[dict[str, Any]]:
    program = PROGRAM.format(switch_on=switch_on, switch_off=switch_off, left_on=left_on, agents=agents)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("switch_on", "left_on"),
    [
        ("instrument_openai()", False),
        ("OpenAIInstrumentor().instrument(); instrument_openai()", True),
        ("instrument_openai(); instrument_openai()", False),
    ],
    ids=["ours", "the application's", "twice"],
)
def test_each_call_of_the_model_is_one_span_that_its_tools_link_to(switch_on: str, left_on: bool) -> None:
    for told in run(switch_on, "uninstrument_openai()", left_on=left_on):
        of_the_model = [span for span in told["spans"] if span["kind"] == "CLIENT"]
        of_tools = [span for span in told["spans"] if span["name"].startswith("execute_tool ")]
        (chat,) = of_the_model
        assert chat["name"] == "chat scripted", told
        assert chat["attributes"]["gen_ai.operation.name"] == "chat"
        if "stream" not in told["way"] and "next" not in told["way"] and "helper" not in told["way"]:
            assert chat["attributes"]["gen_ai.usage.input_tokens"] > 0, told
        assert [span["links"] for span in of_tools] == [[chat["id"]]] * 4, told
        assert len({span["attributes"]["gen_ai.tool.call.id"] for span in of_tools}) == 4


def test_another_instrumentation_of_the_client_is_the_only_one() -> None:
    by_others = """
import functools
from openai.resources.chat.completions import Completions

def around(original):
    @functools.wraps(original)
    def create(*args, **kwargs):
        with provider.get_tracer("another").start_as_current_span("llm", kind=trace.SpanKind.CLIENT):
            return original(*args, **kwargs)
    return create

Completions.create = around(Completions.create)
instrument_openai()
"""
    first, *_ = run(by_others, left_on=False, agents="False,")
    assert first["way"] == "chat_create"
    assert [span["name"] for span in first["spans"]].count("llm") == 1
    assert [span["name"] for span in first["spans"] if span["kind"] == "CLIENT"] == ["llm"]
    (llm,) = (span for span in first["spans"] if span["name"] == "llm")
    assert all(span["links"] == [llm["id"]] for span in first["spans"] if span is not llm)
