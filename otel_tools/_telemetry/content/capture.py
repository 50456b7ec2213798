"""Renders arguments and results as span attributes: valid JSON, bounded, redacted, and off by default.

No argument can break or slow the call: no code of the value's own class runs (`jsonable.py`), and at most four times
the cap is read. A text is cut to four times the cap, redacted, then cut to the cap. So a secret that the cap would cut
in two is redacted first.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final, Literal

from otel_tools._telemetry.content.jsonable import CUT, JsonWalker, redacted_end, redacted_start
from otel_tools._telemetry.content.redaction import Redaction

__all__ = ["CAP", "CAPTURE_MESSAGE_CONTENT", "content", "redact_text", "render"]

CAPTURE_MESSAGE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Environment variable of the conventions: NO_CONTENT (default), SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT."""

CAP: Final = 4096
"""Maximum number of characters of the arguments on a span, and of the result."""

_READ_FACTOR: Final = 4
"""How many times the cap is read and redacted before the cut to the cap."""

_MAX_DEPTH: Final = 16

logger = logging.getLogger("otel_tools")


class ContentSettings:
    """The content settings of the process, from `configure()` and the environment.

    Attributes:
        on: Whether arguments and results are recorded.
        redaction: Redacts all recorded texts, those of exceptions too.
    """

    __slots__ = ("on", "redaction")

    def __init__(self) -> None:
        self.on = enabled_by_environment()
        self.redaction = Redaction()


def enabled_by_environment() -> bool:
    """Whether the conventions' environment variable turns content on; an unknown value is logged and does not."""
    value = os.environ.get(CAPTURE_MESSAGE_CONTENT, "").strip().upper()
    if value in {"SPAN_ONLY", "SPAN_AND_EVENT"}:
        return True
    if value not in {"", "NO_CONTENT", "EVENT_ONLY"}:
        logger.warning(
            "%s=%s is unknown, content stays off; it takes NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
            CAPTURE_MESSAGE_CONTENT,
            value,
        )
    return False


content = ContentSettings()


def redact_text(
    text: str, cap: int, keep: Literal["start", "end"] = "start", redaction: Redaction | None = None
) -> str:
    """The start or the end of a text, redacted, at most ``cap`` characters; an ellipsis marks the cut."""
    redact = redacted_start if keep == "start" else redacted_end
    text, was_cut = redact(text, cap * _READ_FACTOR, redaction or content.redaction)
    if len(text) <= cap - was_cut:
        return _with_mark(text, keep) if was_cut else text
    room = cap - len(CUT)
    return _with_mark(text[:room] if keep == "start" else text[len(text) - room :], keep)


def _with_mark(text: str, keep: Literal["start", "end"]) -> str:
    return text + CUT if keep == "start" else CUT + text


def render(value: Any, cap: int = CAP) -> str:
    """A value as JSON of at most ``cap`` characters, redacted; an ellipsis marks what was left out."""
    converted = JsonWalker(cap * _READ_FACTOR, content.redaction).walk(value, _MAX_DEPTH)
    text = _dump(converted)
    room = cap
    while len(text) > cap and room > 1:
        # The length of a string in JSON is known only once it is escaped: reduce the room until the text fits.
        room = room * 3 // 4
        text = _dump(_Truncation(room).of(converted))
    return text if len(text) <= cap else json.dumps(CUT, ensure_ascii=False)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Truncation:
    """Copies JSON types up to a number of characters."""

    def __init__(self, room: int) -> None:
        self.room = room

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            kept = value[: max(self.room, 0)]
            self.room -= len(json.dumps(kept, ensure_ascii=False))
            return value if kept == value else kept + CUT
        self.room -= 2
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list):
            return self._items(value)
        self.room -= len(json.dumps(value))
        return value

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            self.room -= len(json.dumps(key, ensure_ascii=False)) + 2
            if self.room <= 0:
                kept[CUT] = CUT
                break
            kept[key] = self.of(item)
        return kept

    def _items(self, value: list[Any]) -> list[Any]:
        kept: list[Any] = []
        for item in value:
            if self.room <= 0:
                kept.append(CUT)
                break
            kept.append(self.of(item))
        return kept
