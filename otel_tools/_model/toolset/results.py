"""What the model is given for a call: the tool's data, or what went wrong and what it can do about it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._model.toolset.failure_kinds import KINDS, RETRYABLE, Kinds
from otel_tools._model.toolset.serialize import dumped, plain, shown
from otel_tools._policies.retry.transient import retry_after as asked_for
from otel_tools._telemetry.content.capture import redact_text
from otel_tools.errors import ToolError

if TYPE_CHECKING:
    from otel_tools._model.toolset.failure_kinds import Kind

__all__ = ["MAX_CHARACTERS", "ToolFailure", "ToolResult"]

MAX_CHARACTERS: Final = 32_768
"""Most characters that a model is given for one call, unless a `ToolSet` says otherwise."""

_LONGEST_MESSAGE: Final = 2_000
_ENVELOPE: Final = 256
"""Characters that are kept free for what stands around the data."""

_TRACEBACK: Final = "Traceback (most recent call last)"
_KINDS: Final = Kinds()


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """What went wrong, in the model's words.

    Attributes:
        kind: One of a closed list.
        message: What happened; without secrets and tracebacks.
        retryable: Whether the very same call may succeed later.
        retry_after: Seconds until it may; None where nobody knows.
    """

    kind: Kind
    message: str
    retryable: bool
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is given for one call. A tool may return one itself, to word its failures.

    Attributes:
        success: Whether there are data.
        data: What the tool returned, as it is; None where it failed.
        error: What went wrong; None where nothing did.
        suggestion: What the model can do about it.
        timestamp: When the result was made; with a time zone.
    """

    success: bool
    data: Any = None
    error: ToolFailure | None = None
    suggestion: str | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.fromtimestamp(clock.time(), UTC))

    @classmethod
    def of(cls, value: Any) -> ToolResult:
        """The result of a call that returned; a `ToolResult` is left as it is."""
        return value if isinstance(value, ToolResult) else cls(success=True, data=value)

    @classmethod
    def failure(
        cls,
        kind: Kind,
        message: str,
        *,
        retry_after: float | None = None,
        suggestion: str | None = None,
        retryable: bool | None = None,
    ) -> ToolResult:
        """The result of a call that failed.

        Args:
            kind: One of ``rate_limited``, ``authentication``, ``timeout``, ``unavailable``, ``invalid_arguments``,
                ``unknown_tool``, ``bad_result``, ``cancelled`` and ``other``.
            message: What happened.
            retry_after: Seconds until the same call may succeed, where that is known.
            suggestion: What the model can do; what is usual for the kind by default.
            retryable: Whether the same call may succeed; what is usual for the kind by default.

        Raises:
            ValueError: There is no such kind.
        """
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r}: one of {', '.join(KINDS)} is needed")
        return cls(
            success=False,
            error=ToolFailure(
                kind, _clean(message), kind in RETRYABLE if retryable is None else retryable, retry_after
            ),
            suggestion=_KINDS.suggestion(kind) if suggestion is None else suggestion,
        )

    @classmethod
    def of_error(cls, error: BaseException, kinds: Kinds = _KINDS) -> ToolResult:
        """The result of a call that raised.

        Args:
            error: What it raised.
            kinds: How exceptions are explained.
        """
        kind = kinds.kind(error)
        return cls(
            success=False,
            error=ToolFailure(kind, _message_of(error), kind in RETRYABLE, asked_for(error)),
            suggestion=kinds.suggestion(kind, error),
        )

    def to_json(self, max_characters: int = MAX_CHARACTERS, *, redact: bool = True, kinds: Kinds = _KINDS) -> str:
        """The result as the model reads it: always valid JSON, whatever the data are.

        ``{"success": true, "data": ...}``, with a ``note`` where the data were cut, or ``{"success": false, "error":
        {"kind", "message", "retryable", "retry_after"}, "suggestion": ..., "timestamp": ...}``. Data that cannot be
        written as JSON become a failure of the kind ``bad_result``.

        Args:
            max_characters: Most characters of the text; 1,000 or more.
            redact: Whether secrets in the data are replaced, as they are in spans. In errors they always are.
            kinds: What suggests a way out where the data cannot be written.
        """
        if self.error is not None or not self.success:
            return self._failed(max_characters)
        try:
            data = plain(self.data)
            text, was_cut = shown(data, max(16, max_characters - _ENVELOPE), redact=redact)
        except Exception as error:  # noqa: BLE001 - the data's own code may raise anything
            return self._unwritable(error, kinds).to_json(max_characters)
        if not was_cut:
            return f'{{"success":true,"data":{text}}}'
        note = (
            f"The result was cut to fit: it is {_length_of(data)} characters of JSON, of which {len(text)} are given. "
            "An ellipsis marks what is left out; ask for less to see it."
        )
        return f'{{"success":true,"note":{dumped(note)},"data":{text}}}'

    def to_dict(self) -> dict[str, Any]:
        """As `to_json`, read again."""
        read: dict[str, Any] = json.loads(self.to_json())
        return read

    def _failed(self, max_characters: int) -> str:
        error = self.error or ToolFailure("other", "The tool failed.", retryable=False)
        room = max(16, (max_characters - _ENVELOPE) // 2)
        message, suggestion = (
            json.loads(shown(text, room, redact=False)[0])
            for text in (_clean(error.message), None if self.suggestion is None else _clean(self.suggestion))
        )
        return dumped(
            {
                "success": False,
                "error": {
                    "kind": error.kind if error.kind in KINDS else "other",
                    "message": message,
                    "retryable": error.retryable,
                    "retry_after": _rounded(error.retry_after),
                },
                "suggestion": suggestion,
                "timestamp": self.timestamp.astimezone(UTC).isoformat(timespec="milliseconds"),
            }
        )

    def _unwritable(self, error: Exception, kinds: Kinds) -> ToolResult:
        reason = "it is nested in itself or too deeply" if isinstance(error, (ValueError, RecursionError)) else ""
        if isinstance(error, UnicodeError):
            reason = "a name in it is no valid Unicode"
        elif isinstance(error, ValueError) and "digits" in str(error):
            reason = "a number in it is too long"
        if isinstance(error, TypeError) or type(error).__name__ == "PydanticSerializationError":
            reason = _message_of(error, named=False)
        message = f"The tool returned what cannot be written as JSON, a {type(self.data).__qualname__}"
        return ToolResult.failure(
            "bad_result",
            f"{message}: {reason}" if reason else f"{message}.",
            suggestion=kinds.suggestion("bad_result", error),
        )


def _message_of(error: BaseException, *, named: bool = True) -> str:
    """What an exception says, under its class's name unless it is one of ours, which say it all."""
    try:
        text = _clean(str(error))
    except Exception:  # noqa: BLE001 - an exception's __str__ may raise anything
        text = ""
    if isinstance(error, ToolError) or not named:
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _clean(message: str) -> str:
    """Without secrets, and without the traceback that some libraries put into messages of what failed elsewhere."""
    return redact_text(str(message), _LONGEST_MESSAGE).partition(_TRACEBACK)[0].strip()


def _length_of(data: Any) -> str:
    try:
        return format(len(data) + 2 if isinstance(data, str) else len(dumped(data)), ",")
    except Exception:  # noqa: BLE001 - numbers too long to be written, for example
        return "too many"


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 3) if seconds is not None and math.isfinite(seconds) else None
