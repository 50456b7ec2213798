"""The result of a tool call as the model gets it: the tool's data, or the failure and a suggestion."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._call.outcome import ReportsOutcome
from otel_tools._model.toolset.failure_kinds import FAILURE_KINDS, RETRYABLE, FailureKinds
from otel_tools._model.toolset.serialize import bounded_json, compact_json, json_values
from otel_tools._option_names import check_option_names
from otel_tools._policies.retry.transient import retry_after as retry_after_of
from otel_tools._telemetry.content.capture import redact_text
from otel_tools.errors import FailedResult, InvalidResult, ToolError

if TYPE_CHECKING:
    from otel_tools._call.outcome import OutcomeName
    from otel_tools._model.toolset.failure_kinds import FailureKind
    from otel_tools._telemetry.content.redaction import Redact

__all__ = ["MAX_CHARACTERS", "ToolFailure", "ToolResult"]

MAX_CHARACTERS: Final = 32_768
"""Characters of the answer to one call, unless a `ToolSet` sets another limit."""

_MAX_MESSAGE_LENGTH: Final = 2_000
_ENVELOPE_LENGTH: Final = 256
"""Characters reserved for the JSON around the data."""

_TRACEBACK: Final = "Traceback (most recent call last)"
_DEFAULT_KINDS: Final = FailureKinds()
_MISTAKES: Final = frozenset({"invalid_arguments", "unknown_tool"})
"""Kinds of failures that are mistakes of the model."""

_ERROR_TYPES: Final = {"bad_result": InvalidResult.error_type}
"""The ``error.type`` of the kinds that spans and metrics have another name for."""


@check_option_names
@dataclass(frozen=True, slots=True)
class ToolFailure:
    """A failure, described for the model.

    Attributes:
        kind: One of a closed list; see `ToolResult.failure`.
        message: What happened; without secrets and tracebacks.
        retryable: Whether the same call may succeed later.
        retry_after: Seconds until it may; None where that is unknown.
    """

    kind: FailureKind
    message: str
    retryable: bool
    retry_after: float | None = None


@check_option_names
@dataclass(frozen=True, slots=True)
class ToolResult(ReportsOutcome):
    """The result of one tool call for the model. A tool may return one itself, to describe its failures.

    A call that returns a failure is counted as one: its ``error.type`` is the kind of the failure.

    Attributes:
        success: Whether the call succeeded.
        data: What the tool returned, unchanged. Of a failure, what the tool returned to describe it, or None.
        error: The failure; None where the call succeeded.
        suggestion: What the model can do about the failure.
        timestamp: When the result was made; with a time zone.
    """

    success: bool
    data: Any = None
    error: ToolFailure | None = None
    suggestion: str | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.fromtimestamp(clock.time(), UTC))

    @property
    def outcome(self) -> tuple[OutcomeName, str | None]:
        """How a call is counted that returns this result: its outcome, and its ``error.type``."""
        if self.error is None and self.success:
            return "ok", None
        kind = _kind_of(self.error)
        if kind == "cancelled":
            return "cancelled", None
        # What the model did wrong says nothing about whether the tool works.
        return "invalid" if kind in _MISTAKES else "error", _ERROR_TYPES.get(kind, kind)

    @property
    def retry_after(self) -> float | None:
        """Seconds until the same call may succeed; None where that is unknown."""
        return getattr(self.error, "retry_after", None)

    @property
    def message(self) -> str | None:
        """What went wrong; None where the call succeeded."""
        return getattr(self.error, "message", None)

    @classmethod
    def of(cls, value: Any) -> ToolResult:
        """The result of a call that returned; a `ToolResult` is returned unchanged."""
        return value if isinstance(value, ToolResult) else cls(success=True, data=value)

    @classmethod
    def failure(
        cls,
        kind: FailureKind,
        message: str,
        *,
        retry_after: float | None = None,
        suggestion: str | None = None,
        retryable: bool | None = None,
    ) -> ToolResult:
        """The result of a call that failed.

        Args:
            kind: One of ``rate_limited``, ``authentication``, ``timeout``, ``unavailable``, ``invalid_arguments``,
                ``unknown_tool``, ``bad_result``, ``tool_error``, ``cancelled`` and ``other``.
            message: What happened.
            retry_after: Seconds until the same call may succeed, where that is known.
            suggestion: What the model can do; by default, the suggestion of the kind.
            retryable: Whether the same call may succeed; by default, as usual for the kind.

        Raises:
            ValueError: The kind is unknown.
        """
        if kind not in FAILURE_KINDS:
            raise ValueError(f"kind={kind!r}: one of {', '.join(FAILURE_KINDS)} is needed")
        return cls(
            success=False,
            error=ToolFailure(
                kind, _clean(message), kind in RETRYABLE if retryable is None else retryable, retry_after
            ),
            suggestion=_DEFAULT_KINDS.suggestion(kind) if suggestion is None else suggestion,
        )

    @classmethod
    def of_error(cls, error: BaseException, kinds: FailureKinds = _DEFAULT_KINDS) -> ToolResult:
        """The result of a call that raised.

        Args:
            error: The exception that the tool raised.
            kinds: Maps exceptions to kinds and suggestions.
        """
        kind = kinds.kind(error)
        return cls(
            success=False,
            error=ToolFailure(kind, _message_of(error), kind in RETRYABLE, retry_after_of(error)),
            suggestion=kinds.suggestion(kind, error),
        )

    @classmethod
    def of_failed_result(cls, value: Any, tool: str, kinds: FailureKinds = _DEFAULT_KINDS) -> ToolResult:
        """The result of a call that returned what counts as a failure: a ``ToolResult.failure``, or by ``failed_if``.

        Args:
            value: What the tool returned.
            tool: The tool's name.
            kinds: Maps the failure, a `FailedResult`, to a kind and a suggestion.
        """
        if isinstance(value, ToolResult):
            if value.outcome[0] != "ok":
                return value
            value = value.data
        message = f"{tool} returned a result that reports a failure."
        return replace(cls.of_error(FailedResult(message, tool=tool, result=value), kinds), data=value)

    def to_json(
        self,
        max_characters: int = MAX_CHARACTERS,
        *,
        redact: Redact = True,
        kinds: FailureKinds = _DEFAULT_KINDS,
        envelope: bool = True,
    ) -> str:
        """The result as the model gets it: always valid JSON, whatever the data are.

        ``{"success": true, "data": ..., "timestamp": ...}``, with a ``note`` where the data were cut, or ``{"success":
        false, "error": {"kind", "message", "retryable", "retry_after"}, "suggestion": ..., "timestamp": ...}``, with
        the ``data`` where the tool returned some with its failure. Data that cannot be written as JSON become a failure
        of the kind ``bad_result``.

        Args:
            max_characters: The most characters of the text; 1,000 or more.
            redact: Which secrets in the data are replaced: those that have a shape of their own (True), the values of
                secret keys too, as in spans (``"keys"``), or none. In errors they always are.
            kinds: Gives the suggestion where the data cannot be written.
            envelope: Whether a success has the form above. If not, it is its data alone: a text as it is, anything
                else as JSON.
        """
        return self.to_json_or_failure(max_characters, redact=redact, kinds=kinds, envelope=envelope)[0]

    def to_json_or_failure(
        self,
        max_characters: int = MAX_CHARACTERS,
        *,
        redact: Redact = True,
        kinds: FailureKinds = _DEFAULT_KINDS,
        envelope: bool = True,
    ) -> tuple[str, ToolFailure | None]:
        """As `to_json`; and the failure that stands in the place of data that cannot be written, else None."""
        if self.error is not None or not self.success:
            return self._failure_json(max_characters, redact=redact), None
        try:
            data = json_values(self.data)
            text, was_cut = bounded_json(data, max(16, max_characters - _ENVELOPE_LENGTH), redact=redact)
        except Exception as error:  # noqa: BLE001 - the data's own code may raise anything
            failed = self._unwritable_result(error, kinds)
            return failed.to_json(max_characters), failed.error
        if not envelope:
            return str(json.loads(text)) if isinstance(data, str) else text, None
        end = f',"timestamp":{compact_json(self._time())}}}'
        if not was_cut:
            return f'{{"success":true,"data":{text}{end}', None
        return f'{{"success":true,"note":{compact_json(_cut_note(data, text))},"data":{text}{end}', None

    def to_dict(self) -> dict[str, Any]:
        """As `to_json`, parsed."""
        read: dict[str, Any] = json.loads(self.to_json())
        return read

    def _failure_json(self, max_characters: int, *, redact: Redact) -> str:
        error = self.error or ToolFailure("other", "The tool failed.", retryable=False)
        room = max(16, (max_characters - _ENVELOPE_LENGTH) // (2 if self.data is None else 3))
        message, suggestion = (
            json.loads(bounded_json(text, room, redact=False)[0])
            for text in (_clean(error.message), None if self.suggestion is None else _clean(self.suggestion))
        )
        text = compact_json(
            {
                "success": False,
                "error": {
                    "kind": _kind_of(error),
                    "message": message,
                    "retryable": error.retryable,
                    "retry_after": _rounded(error.retry_after),
                },
                "suggestion": suggestion,
                "timestamp": self._time(),
            }
        )
        if self.data is None and error.kind != "tool_error":
            return text
        try:
            data = json_values(self.data)
            written, was_cut = bounded_json(data, max(16, max_characters - len(text) - _ENVELOPE_LENGTH), redact=redact)
        except Exception:  # noqa: BLE001 - the data's own code may raise anything
            return f'{text[:-1]},"note":"What the tool returned cannot be written as JSON."}}'
        note = f',"note":{compact_json(_cut_note(data, written))}' if was_cut else ""
        return f'{text[:-1]}{note},"data":{written}}}'

    def _time(self) -> str:
        return self.timestamp.astimezone(UTC).isoformat(timespec="milliseconds")

    def _unwritable_result(self, error: Exception, kinds: FailureKinds) -> ToolResult:
        reason = "it is nested in itself or too deeply" if isinstance(error, (ValueError, RecursionError)) else ""
        if isinstance(error, UnicodeError):
            reason = "a name in it is no valid Unicode"
        elif isinstance(error, ValueError) and "digits" in str(error):
            reason = "a number in it is too long"
        if isinstance(error, TypeError) or type(error).__name__ == "PydanticSerializationError":
            reason = _message_of(error, with_class=False)
        message = f"The tool returned what cannot be written as JSON, a {type(self.data).__qualname__}"
        return ToolResult.failure(
            "bad_result",
            f"{message}: {reason}" if reason else f"{message}.",
            suggestion=kinds.suggestion("bad_result", error),
        )


def _kind_of(error: ToolFailure | None) -> FailureKind:
    """The kind of a failure, which the tool may have made itself."""
    kind = getattr(error, "kind", None)
    return kind if isinstance(kind, str) and kind in FAILURE_KINDS else "other"


def _cut_note(data: Any, text: str) -> str:
    return (
        f"The result was cut to fit: it is {_length(data)} characters of JSON, of which {len(text)} are given. "
        "An ellipsis marks what is left out; ask for less to see it."
    )


def _message_of(error: BaseException, *, with_class: bool = True) -> str:
    """The message of an exception after the name of its class, which a `ToolError` does not need."""
    try:
        text = _clean(str(error))
    except Exception:  # noqa: BLE001 - an exception's __str__ may raise anything
        text = ""
    if isinstance(error, ToolError) or not with_class:
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _clean(message: str) -> str:
    """The message without secrets, and without the traceback that some libraries append to it."""
    return redact_text(str(message), _MAX_MESSAGE_LENGTH).partition(_TRACEBACK)[0].strip()


def _length(data: Any) -> str:
    try:
        return format(len(data) + 2 if isinstance(data, str) else len(compact_json(data)), ",")
    except Exception:  # noqa: BLE001 - numbers too long to be written, for example
        return "too many"


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 3) if seconds is not None and math.isfinite(seconds) else None
