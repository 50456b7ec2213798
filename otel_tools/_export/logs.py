"""Starts and stops the output of log records that `configure(logs=...)` asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otel_tools._export.endpoint import sdk_disabled
from otel_tools._telemetry.content.capture import CAPTURE_MESSAGE_CONTENT
from otel_tools._telemetry.logs.settings import Sink, logs

if TYPE_CHECKING:
    from otel_tools._export.settings import Settings

__all__ = ["start_logs", "stop_logs"]


def start_logs(settings: Settings) -> None:
    """Write the records of `logging`, and one record for the end of each call.

    Args:
        settings: The configuration. OTLP records go to the logger provider of the process, whoever has set it.
    """
    sinks: list[Sink] = []
    if settings.logs in {"json", "both"}:
        from otel_tools._telemetry.logs.json_lines import JsonLines  # noqa: PLC0415 - python-json-logger is an extra

        sinks.append(JsonLines(settings.log_stream))
    if settings.logs in {"otlp", "both"} and settings.signals["logs"].exporters and not sdk_disabled():
        from otel_tools._telemetry.logs.otlp import send_record  # noqa: PLC0415 - only where OTLP records are on

        sinks.append(send_record)
    if not sinks:
        return
    from otel_tools._telemetry.logs.hooks import install  # noqa: PLC0415 - only where logs are on

    logs.sinks = tuple(sinks)
    logs.replaces_last_resort = settings.logs in {"json", "both"}
    # The variable may allow content on spans only.
    logs.with_content = os.environ.get(CAPTURE_MESSAGE_CONTENT, "").strip().upper() != "SPAN_ONLY"
    install()
    logs.on = True


def stop_logs() -> None:
    """Restore `logging` and `threading`. A second call, or one without `start_logs`, does nothing."""
    if not logs.on:
        return
    from otel_tools._telemetry.logs.hooks import remove  # noqa: PLC0415 - only where logs are on

    logs.on = False
    logs.sinks = ()
    logs.replaces_last_resort = False
    remove()
