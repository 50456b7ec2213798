"""What `_telemetry` uses of the OpenTelemetry API: documented names, and a few others in one file."""

from __future__ import annotations

import ast
import contextvars
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import attach, get_current, set_value
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import otel_tools
from otel_tools._telemetry import api_private
from otel_tools._telemetry.api_private import detach_silently, is_suppressed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

TELEMETRY = Path(otel_tools.__file__).parent / "_telemetry"


def opentelemetry_names(source: str) -> set[str]:
    """The dotted names that a source imports from OpenTelemetry."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("opentelemetry.")}


def private_names(source: str) -> set[str]:
    return {name for name in opentelemetry_names(source) if "._" in name}


def outside_the_api(source: str) -> set[str]:
    api = ("_logs", "baggage", "context", "metrics", "propagate", "trace")
    return {name for name in opentelemetry_names(source) if name.split(".")[1] not in api}


MODULES = sorted(TELEMETRY.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TELEMETRY)))
def test_telemetry_imports_the_api_alone_and_its_private_names_in_one_file(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    assert outside_the_api(source) == set()
    assert path.name == "api_private.py" or private_names(source) == set()


def test_a_private_name_and_one_of_the_sdk_are_found() -> None:
    source = "from opentelemetry.context import _KEY, attach\nimport opentelemetry.sdk.trace"

    assert private_names(source) == {"opentelemetry.context._KEY"}
    assert outside_the_api(source) == {"opentelemetry.sdk.trace"}


class AskingExporter(SpanExporter):
    """Remembers whether telemetry was suppressed during the export."""

    def __init__(self) -> None:
        self.suppressed: list[bool] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.suppressed.append(is_suppressed())
        return SpanExportResult.SUCCESS


def test_the_sdk_suppresses_telemetry_while_it_exports() -> None:
    exporter = AskingExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    assert not is_suppressed()
    provider.get_tracer("test").start_span("work").end()

    assert exporter.suppressed == [True]
    assert not is_suppressed()


def test_without_the_key_nothing_is_suppressed_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(context_api, "_SUPPRESS_INSTRUMENTATION_KEY")
    api_private._suppress_key.cache_clear()
    try:
        assert [is_suppressed(), is_suppressed()] == [False, False]
    finally:
        api_private._suppress_key.cache_clear()

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("otel_tools", logging.WARNING)
    assert "_SUPPRESS_INSTRUMENTATION_KEY is gone" in record.getMessage()


def test_attach_returns_a_token_of_contextvars_which_is_detached() -> None:
    before = get_current()
    token = attach(set_value("key", 1))

    assert isinstance(token, contextvars.Token)
    detach_silently(token)
    assert get_current() == before


def test_a_token_of_another_context_is_left_without_a_log(caplog: pytest.LogCaptureFixture) -> None:
    token = contextvars.copy_context().run(attach, set_value("key", 1))

    detach_silently(token)

    assert caplog.records == []


def test_a_token_of_the_applications_own_context_goes_to_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    detached: list[object] = []
    monkeypatch.setattr(api_private, "detach", detached.append)
    token = object()

    detach_silently(token)  # type: ignore[arg-type] # what a context implementation may return

    assert detached == [token]


def test_the_logs_api_is_where_it_was() -> None:
    logger = api_private.get_logger("test")

    assert callable(logger.emit)
    assert api_private.SeverityNumber.ERROR.value == 17
    assert hasattr(api_private.LoggerProvider, "get_logger")
