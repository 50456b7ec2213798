"""Runs the demo: the application with its functions instrumented and its loop under `agent()`, then a report."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import DefaultHttpxClient, OpenAI, OpenAIError
from opentelemetry import trace
from rich.console import Console
from rich.text import Text

from otel_tools import agent, configure, instrument, shutdown
from otel_tools._demo import destination, view
from otel_tools._demo.destination import Collector, Exporter, File
from otel_tools._demo.loop import run_conversation
from otel_tools._demo.model import ScriptedModel
from otel_tools._demo.protocol import MODEL as SCRIPTED
from otel_tools._demo.recording import Recording, read_recording
from otel_tools._demo.script import QUESTION
from otel_tools._demo.tools import available_functions, tools
from otel_tools._demo.transcript import failed_calls, printable, transcript
from otel_tools._sidecar.paths import display_path
from otel_tools._terminal.console import stdout

SERVICE_NAME = "otel-tools-demo"
AGENT_NAME = "travel-assistant"
DEFAULT_MODEL = "gpt-4.1-mini"

_MAX_WIDTH = 100  # longer lines are hard to read
_FLUSH_SECONDS = 5.0


@dataclass(frozen=True)
class Model:
    """The client of the model's API, the model's name, and its line in the output."""

    client: OpenAI
    name: str
    introduction: str


@dataclass
class Conversation:
    """One run of the application's loop."""

    trace_id: str = ""
    messages: list[Any] = field(default_factory=lambda: [{"role": "user", "content": QUESTION}])
    problem: str = ""
    """Why the model gave no answer; empty where it gave one."""


def run(
    *,
    repeat: int = 1,
    file: Path | None = None,
    exporter: Exporter = "auto",
    endpoint: str | None = None,
) -> int:
    """Run the demo.

    Args:
        repeat: the number of conversations, one after the other.
        file: the file to write telemetry to, instead of sending it.
        exporter: `auto`, `otlp` or `file`, see `destination.choose`.
        endpoint: the collector's URL.

    Returns:
        The exit code: 0, or 1 where the model or the collector failed. Tools that fail are part of the demo.

    Raises:
        ConfigurationError: an option is wrong, or no collector listens where one must.
    """
    console = _console()
    where = destination.choose(exporter, endpoint, file)
    configure(service_name=SERVICE_NAME, **where.options)
    with _model() as model:
        _show_header(console, model, where)
        conversation = _converse_often(model, repeat, console)
    # Not flush(): the export at the exit would follow it at once, without the exemplars that had just been sent.
    arrived = shutdown(_FLUSH_SECONDS)
    _report(console, where, conversation, repeat)
    if not arrived:
        console.print(Text(f"Within {_FLUSH_SECONDS:.0f} s, not all telemetry arrived: {where}.", "red"))
    return 0 if arrived and not conversation.problem else 1


def _report(console: Console, where: Collector | File, conversation: Conversation, repeat: int) -> None:
    """Show the last conversation, and its telemetry or the links to it."""
    _heading(console, f"Conversation, the last of {repeat}" if repeat > 1 else "Conversation")
    console.print(transcript(conversation.messages))
    if conversation.problem:
        console.print(Text(conversation.problem, "red"))
    console.print()
    if isinstance(where, File):
        _show_recording(console, where, conversation)
    else:
        _show_links(console, conversation)
    if failed_calls(conversation.messages):
        console.print(
            "The failed calls are on purpose: the tools refuse what their data does not hold, "
            "the model is told, and it tries otherwise."
        )
    if isinstance(where, File) and where.reason:
        console.print(
            f"This went to a file, as {where.reason}.\n"
            "In Jaeger and Prometheus: otel-tools sidecar up && otel-tools demo"
        )


def _converse_often(model: Model, repeat: int, console: Console) -> Conversation:
    functions = instrument(available_functions)
    with console.status(f"asking {model.name}") as status:
        conversation = _converse(model, functions)
        for number in range(2, repeat + 1):
            if conversation.problem:
                break
            status.update(f"conversation {number} of {repeat}")
            conversation = _converse(model, functions)
    return conversation


def _converse(model: Model, functions: dict[str, Callable[..., Any]]) -> Conversation:
    """Have one conversation: run the application's own loop under `agent()`."""
    conversation = Conversation()
    try:
        with agent(AGENT_NAME, conversation_id=uuid.uuid4().hex):
            conversation.trace_id = trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)
            run_conversation(model.client, model.name, conversation.messages, tools, functions)
    except (OpenAIError, RuntimeError) as error:
        conversation.problem = (
            f"The model {model.name} at {model.client.base_url} gave no answer: {printable(str(error))}\n"
            "Check OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL, or unset them for the scripted model."
        )
    return conversation


@contextmanager
def _model() -> Iterator[Model]:
    """The user's model where the environment has OPENAI_API_KEY or OPENAI_BASE_URL, else the scripted one."""
    key, url = os.environ.get("OPENAI_API_KEY"), os.environ.get("OPENAI_BASE_URL")
    if key or url:
        name = os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL
        # A self-hosted server often needs no key, but the client requires one.
        with OpenAI(api_key=key or "none", timeout=60) as client:
            yield Model(client, name, f"{name} at {client.base_url} (from OPENAI_*)")
        return
    with (
        ScriptedModel() as server,
        # Loopback is never behind a proxy, also where the environment sets one.
        DefaultHttpxClient(trust_env=False) as http,
        OpenAI(base_url=server.base_url, api_key="none", http_client=http) as client,
    ):
        yield Model(
            client,
            SCRIPTED,
            "scripted, a fixed part over real HTTP (OPENAI_API_KEY: a real one)",
        )


def _show_header(console: Console, model: Model, where: Collector | File) -> None:
    console.print(Text("otel-tools demo", "bold"))
    for label, text in (
        ("model", model.introduction),
        ("tools", "real work on real data: Seattle's weather, shares, Python's manual"),
        ("telemetry", str(where)),
    ):
        console.print(Text.assemble((f"{label:<9}  ", "bold"), text), soft_wrap=True)
    console.print()


def _heading(console: Console, text: str) -> None:
    console.print(Text(text, "bold underline"))


def _show_recording(console: Console, where: File, conversation: Conversation) -> None:
    """Show the trace and the numbers, both read from the file."""
    try:
        recording = read_recording(where.path)
    except FileNotFoundError:
        recording = Recording()
    spans = recording.trace(conversation.trace_id)
    if not spans:
        console.print(
            f"No trace was recorded in {display_path(where.path)}. "
            "Is OTEL_SDK_DISABLED, OTEL_CONFIG_FILE or a sampler set?"
        )
        return
    _heading(console, f"Trace {conversation.trace_id}")
    console.print(view.tree(spans, console))
    console.print()
    _heading(console, "Tools")
    console.print(view.table(recording.tools(spans[0].instance)))
    console.print()


def _show_links(console: Console, conversation: Conversation) -> None:
    for name, (page, data) in destination.links(conversation.trace_id).items():
        _heading(console, name)
        console.print(Text(f"page  {page}\nJSON  {data}"), soft_wrap=True)
    console.print(
        "Prometheus has the numbers after its next scrape, some seconds from now. "
        "What `otel-tools sidecar build` has built shows no pages: take the JSON there."
    )
    console.print()


def _console() -> Console:
    console = stdout()
    console.width = min(console.width, _MAX_WIDTH)
    if console.options.ascii_only and hasattr(console.file, "reconfigure"):
        # A model's text may have any character; one that the terminal cannot show must not end the demo.
        console.file.reconfigure(errors="replace")
    return console
