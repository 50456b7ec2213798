"""What stands in a record of the standard library's `logging`, whatever somebody put there."""

from __future__ import annotations

import logging
from typing import Any, Final

__all__ = ["IDS", "extra_fields", "message_of"]

IDS: Final = ("trace_id", "span_id", "tool", "call_id")
"""What `correlate` puts on a record."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes that every record has; all others are what was said with it."""


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was said with a record, as in ``extra=``, without the ids."""
    return {
        key: value
        for key, value in record.__dict__.items()
        if key not in _STANDARD and key not in IDS and not str(key).startswith("_")
    }


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments in it; the bare one where they do not fit, as much of it as can be shown."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the record is not lost
        bare = record.msg if isinstance(record.msg, str) else f"<{type(record.msg).__name__} that cannot be shown>"
        return f"{bare} (its arguments do not fit)"
