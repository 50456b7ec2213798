"""`configure(openai=True)`, in processes of their own: what is loaded, and what is said where it cannot be."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONVERSATION = """
import json, sys
import otel_tools
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
otel_tools.configure(exporter="none", openai=True)

from openai import OpenAI
from otel_tools._demo.model import ScriptedModel
from tests.model.response_readers import TURN, chat_create

@otel_tools.tool
def get_weather(location, unit="celsius"): return "sunny"

@otel_tools.tool
def get_time(location, unit=None): return "noon"

with ScriptedModel(lambda done, offered: TURN) as server:
    with OpenAI(base_url=server.base_url, api_key="none") as client:
        asked = chat_create(client)
for _, name, arguments in asked:
    {"get_weather": get_weather, "get_time": get_time}[name](**json.loads(arguments))
spans = [span for span in exporter.get_finished_spans() if span.name.startswith("execute_tool")]
assert [span.attributes["gen_ai.tool.call.id"] for span in spans] == [call_id for call_id, _, _ in asked]
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_configure_with_openai_gives_spans_their_call_ids() -> None:
    assert "telemetry failed" not in run(CONVERSATION)


@pytest.mark.parametrize("openai", [None, False])
def test_configure_without_openai_does_not_load_it(openai: bool | None) -> None:
    run(
        "import sys, otel_tools\n"
        f"otel_tools.configure(exporter='none', openai={openai})\n"
        "otel_tools.tool(name='f')(lambda: None)()\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'openai']\n"
        "from otel_tools._telemetry.instruments import instruments\n"
        "assert instruments.find_model_call is None\n"
    )


def test_an_error_says_that_openai_is_not_installed() -> None:
    run(
        "import sys, otel_tools\n"
        "sys.modules['openai'] = None\n"
        "try:\n"
        "    otel_tools.configure(exporter='none', openai=True)\n"
        "except otel_tools.ConfigurationError as error:\n"
        "    assert 'pip install openai' in str(error), error\n"
        "else:\n"
        "    raise AssertionError\n"
    )


def test_a_value_that_is_no_bool_is_refused() -> None:
    run(
        "import otel_tools\n"
        "try:\n"
        "    otel_tools.configure(openai='yes')\n"
        "except otel_tools.ConfigurationError as error:\n"
        "    assert str(error) == \"configure(openai='yes'): True or False is needed\", error\n"
        "else:\n"
        "    raise AssertionError\n"
    )
