"""Log records as lines of JSON, by python-json-logger: one line a record, pure ASCII, whatever is in it."""

from __future__ import annotations

import copy
import datetime as dt
import logging
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

from otel_tools._telemetry.content.capture import content, redact_text
from otel_tools._telemetry.content.jsonable import JsonWalker
from otel_tools._telemetry.logs.call_records import is_end_of_call
from otel_tools._telemetry.logs.records import IDS, extra_fields, message_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_tools._telemetry.logs.call_records import RunningCall

__all__ = ["JsonFormatter", "JsonLines"]

_CAP: Final = 16 * 1024
"""Most characters of a message, of a stack trace, and of all that is said beside them."""

_NAME_CAP: Final = 256
_DEPTH: Final = 16


class JsonFormatter(_JsonFormatter):
    """One record as one line: ``timestamp`` (ISO 8601, UTC), ``level``, ``logger``, ``message``; the ids; the rest.

    For handlers of the application's own too, as in ``handler.setFormatter(JsonFormatter())``. Texts are redacted as
    spans are. What is said under the name of one of the first four is written as ``extra.NAME``.
    """

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 - a message whose arguments do not fit is written without them
            plainer = copy.copy(record)
            plainer.msg, plainer.args = message_of(record), None
            return super().format(plainer)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Choose what is written, in which order."""
        when = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
        traces = {key: message_dict.pop(key) for key in ("exc_info", "stack_info") if key in message_dict}
        message = record.message or message_dict.pop("message", "")
        log_data["timestamp"] = when.isoformat(timespec="microseconds")
        log_data["level"] = redact_text(record.levelname, _NAME_CAP)
        log_data["logger"] = redact_text(record.name, _NAME_CAP)
        log_data["message"] = redact_text(message if isinstance(message, str) else str(message), _CAP)
        look = JsonWalker(_CAP, content.redaction)
        for key in IDS:
            if value := record.__dict__.get(key):
                # Not redacted: a pattern of the user's own may look like an id of a trace.
                log_data[key] = value[:_NAME_CAP] if type(value) is str and value.isascii() else look.at(value, _DEPTH)
        extras = extra_fields(record)
        # As they are on the span: redacting what is redacted would make another text of it.
        said = extras if is_end_of_call(record) else look.at({**extras, **message_dict}, _DEPTH)
        for key, value in said.items():
            log_data[f"extra.{key}" if key in log_data else key] = value
        for key, text in traces.items():
            log_data[key] = redact_text(str(text), _CAP, keep="end")


class JsonLines(logging.Handler):
    """Writes the lines.

    Args:
        stream: Where; None is standard error, whatever that is at the time.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(JsonFormatter())

    def __call__(self, record: logging.LogRecord, _context: Context, _running: RunningCall | None, /) -> None:
        """Write a record."""
        self.handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line at once: the last one before a crash is the one that is looked for."""
        stream = self._stream or sys.stderr
        # A program without a console has none.
        if stream is not None:
            stream.write(self.format(record) + "\n")
            stream.flush()
