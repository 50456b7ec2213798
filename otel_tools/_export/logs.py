"""What `configure(logs=...)` turns on, and how it is turned off again."""

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
    """Meet the records of `logging`, and have each call tell how it ended.

    Args:
        settings: What was asked for. OTLP records go to the logger provider of the process, whoever has set it.
    """
    sinks: list[Sink] = []
    if settings.logs in {"json", "both"}:
        from otel_tools._telemetry.logs.json_lines import JsonLines  # noqa: PLC0415 - python-json-logger is an extra

        sinks.append(JsonLines(settings.log_stream))
    if settings.logs in {"otlp", "both"} and settings.exporter("logs") != "none" and not sdk_disabled():
        from otel_tools._telemetry.logs.otlp import send_record  # noqa: PLC0415 - only where it was asked for

        sinks.append(send_record)
    if not sinks:
        return
    from otel_tools._telemetry.logs.hooks import install  # noqa: PLC0415 - only where it was asked for

    logs.sinks = tuple(sinks)
    logs.replaces_last_resort = settings.logs in {"json", "both"}
    # The environment may say that content is for spans alone.
    logs.with_content = os.environ.get(CAPTURE_MESSAGE_CONTENT, "").strip().upper() != "SPAN_ONLY"
    install()
    logs.on = True


def stop_logs() -> None:
    """Leave `logging` and `threading` as they were. Doing it twice, or where nothing was started, does nothing."""
    if not logs.on:
        return
    from otel_tools._telemetry.logs.hooks import remove  # noqa: PLC0415 - loaded where something is to be removed

    logs.on = False
    logs.sinks = ()
    logs.replaces_last_resort = False
    remove()
