"""Arguments and results as span attributes: off unless asked for, bounded, redacted, valid JSON.

Nothing that a tool is called with can break or slow its call: no code of the value's own class runs (`plain.py`), and
at most four times the cap is looked at. The order is: cut to four times the cap, redact, cut to the cap; a secret that
the cap would cut in half is redacted before it is cut.
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
"""Most characters of the arguments, and as many of the result, that a span carries."""

_LOOK: Final = 4
_DEPTH: Final = 16

logger = logging.getLogger("otel_tools")


class Content:
    """What `configure()` and the environment say about content.

    Attributes:
        on: Whether arguments and results are recorded.
        redaction: How everything that is recorded is redacted, exceptions included.
    """

    __slots__ = ("on", "redaction")

    def __init__(self) -> None:
        self.on = asked_for_by_environment()
        self.redaction = Redaction()


def asked_for_by_environment() -> bool:
    """What the conventions' environment variable says; an unknown value is logged and means no."""
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


content = Content()


def redact_text(text: str, cap: int, keep: Literal["start", "end"] = "start") -> str:
    """Cut, redact and cut again, keeping the start or the end of a text; at most ``cap`` characters."""
    redact = redacted_start if keep == "start" else redacted_end
    text, was_cut = redact(text, cap * _LOOK, content.redaction)
    if len(text) <= cap - was_cut:
        return _marked(text, keep) if was_cut else text
    room = cap - len(CUT)
    return _marked(text[:room] if keep == "start" else text[len(text) - room :], keep)


def _marked(text: str, keep: Literal["start", "end"]) -> str:
    return text + CUT if keep == "start" else CUT + text


def render(value: Any, cap: int = CAP) -> str:
    """A value as JSON of at most ``cap`` characters, redacted; what was left out is marked by an ellipsis."""
    looked_at = JsonWalker(cap * _LOOK, content.redaction).at(value, _DEPTH)
    text = _dump(looked_at)
    room = cap
    while len(text) > cap and room > 1:
        # What a string costs in JSON is only known once it is escaped: shrink the room until it all fits.
        room = room * 3 // 4
        text = _dump(_Fit(room).at(looked_at))
    return text if len(text) <= cap else json.dumps(CUT, ensure_ascii=False)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Fit:
    """Copies plain, redacted JSON types as far as a room of characters goes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def at(self, value: Any) -> Any:
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
            kept[key] = self.at(item)
        return kept

    def _items(self, value: list[Any]) -> list[Any]:
        kept: list[Any] = []
        for item in value:
            if self.room <= 0:
                kept.append(CUT)
                break
            kept.append(self.at(item))
        return kept
