"""Writes log records as lines of JSON with python-json-logger: one line a record, pure ASCII."""

from __future__ import annotations

import copy
import datetime as dt
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

from otel_tools._telemetry.content.capture import content, redact_text
from otel_tools._telemetry.content.jsonable import JsonWalker
from otel_tools._telemetry.logs.call_records import is_call_record
from otel_tools._telemetry.logs.records import IDS, MAX_DEPTH, MAX_NAME, MAX_TEXT, extra_fields, message_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_tools._telemetry.logs.correlation import RunningCall

__all__ = ["JsonFormatter", "JsonLines"]


class JsonFormatter(_JsonFormatter):
    """Formats a record as one line: ``timestamp`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ids, the rest.

    The application may give it to handlers of its own: ``handler.setFormatter(JsonFormatter())``. Texts are redacted as
    those of spans. An extra field whose name is taken is written as ``extra.NAME``.
    """

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line end."""
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 - a message whose arguments do not fit is written without them
            without_args = copy.copy(record)
            without_args.msg, without_args.args = message_of(record), None
            return super().format(without_args)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Set the fields of the line in their order."""
        created = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
        traces = {key: message_dict.pop(key) for key in ("exc_info", "stack_info") if key in message_dict}
        message = record.message or message_dict.pop("message", "")
        log_data["timestamp"] = created.isoformat(timespec="microseconds")
        log_data["level"] = redact_text(record.levelname, MAX_NAME)
        log_data["logger"] = redact_text(record.name, MAX_NAME)
        log_data["message"] = redact_text(message if isinstance(message, str) else str(message), MAX_TEXT)
        walker = JsonWalker(MAX_TEXT, content.redaction)
        for key in IDS:
            if value := record.__dict__.get(key):
                # Not redacted: a pattern of the user's own may match a trace id.
                is_id = type(value) is str and value.isascii()
                log_data[key] = value[:MAX_NAME] if is_id else walker.walk(value, MAX_DEPTH)
        extras = extra_fields(record)
        # The attributes of a call are redacted already, and equal those of its span. A second time could change them.
        fields = extras if is_call_record(record) else walker.walk({**extras, **message_dict}, MAX_DEPTH)
        for key, value in fields.items():
            log_data[f"extra.{key}" if key in log_data else key] = value
        for key, text in traces.items():
            log_data[key] = redact_text(str(text), MAX_TEXT, keep="end")


class JsonLines(logging.Handler):
    """A handler that writes records as lines of JSON; also a sink.

    Args:
        stream: Where to write; None is `sys.stderr` as it is at the time of the record.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(JsonFormatter())

    def __call__(self, record: logging.LogRecord, _context: Context, _running: RunningCall | None, /) -> None:
        """Handle a record, as a sink."""
        self.handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line and flush it: the last line before a crash matters most."""
        stream = self._stream or sys.stderr
        # Without a console, sys.stderr is None.
        if stream is not None:
            stream.write(self.format(record) + "\n")
            stream.flush()
