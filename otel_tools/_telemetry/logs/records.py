"""Reads the message and the extra fields of a `logging.LogRecord`, whatever the application put there."""

from __future__ import annotations

import logging
from typing import Any, Final

__all__ = ["IDS", "MAX_DEPTH", "MAX_NAME", "MAX_TEXT", "extra_fields", "message_of"]

MAX_TEXT: Final = 16 * 1024
"""Maximum number of characters of a message, of a stack trace, and of all extra fields together."""

MAX_NAME: Final = 256
"""Maximum number of characters of a logger's name, a level's name or an id."""

MAX_DEPTH: Final = 16
"""Maximum nesting of the extra fields."""

IDS: Final = ("trace_id", "span_id", "tool", "call_id")
"""Attributes that `correlate` puts on a record."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has. All others are extra fields."""


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the application added to a record, as by ``extra=``, without the ids."""
    return {
        key: value
        for key, value in record.__dict__.items()
        if key not in _STANDARD and key not in IDS and not str(key).startswith("_")
    }


def message_of(record: logging.LogRecord) -> str:
    """The formatted message; the unformatted one where its arguments do not fit."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a record whose message cannot be formatted is not lost
        message = record.msg if isinstance(record.msg, str) else f"<{type(record.msg).__name__} that cannot be shown>"
        return f"{message} (its arguments do not fit)"
