"""Classifies exceptions for the model: the kind of the failure, and what the model can do about it.

The kinds are a closed list and not the ``error.type`` of spans: a model does not need the names of Python classes. The
kind comes from the exception's class and its HTTP status, and the suggestion from the kind. Neither comes from the text
of a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from otel_tools._call.outcome import is_cancellation
from otel_tools._policies.retry.transient import http_status, transient
from otel_tools.errors import (
    CircuitOpen,
    ConcurrencyLimited,
    ConfigurationError,
    FailedResult,
    InvalidArguments,
    InvalidResult,
    RateLimited,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAILURE_KINDS", "RETRYABLE", "SUGGESTIONS", "FailureKind", "FailureKinds"]

FailureKind: TypeAlias = Literal[
    "rate_limited",
    "authentication",
    "timeout",
    "unavailable",
    "invalid_arguments",
    "unknown_tool",
    "bad_result",
    "tool_error",
    "cancelled",
    "other",
]
"""The kinds of failures in the results that a model gets."""

FAILURE_KINDS: Final[tuple[FailureKind, ...]] = get_args(FailureKind)

RETRYABLE: Final[frozenset[FailureKind]] = frozenset({"rate_limited", "timeout", "unavailable"})
"""Kinds after which the same call may succeed later."""

SUGGESTIONS: Final[dict[FailureKind, str | None]] = {
    "rate_limited": "Wait before you call this tool again: for retry_after seconds, where that is given.",
    "authentication": "Do not call this tool again. Tell the user that access was refused.",
    "timeout": "Call this tool once more, or ask it for less.",
    "unavailable": "Go on without this tool, or call it again later: after retry_after seconds, where that is given.",
    "invalid_arguments": "Correct the arguments by the tool's schema, and call it again.",
    "unknown_tool": "Call one of the tools that you were given, by its exact name.",
    "bad_result": "Do not repeat this call. Go on without its result.",
    "tool_error": "Read in the data what went wrong. Do not repeat this call unchanged.",
    "cancelled": "Do not repeat this call unless the user asks for it.",
    "other": "Do not repeat this call unchanged.",
}
"""What the model can do, by kind."""

_CLASSES: Final[dict[type[BaseException], FailureKind]] = {
    InvalidArguments: "invalid_arguments",
    InvalidResult: "bad_result",
    FailedResult: "tool_error",
    RateLimited: "rate_limited",
    ConcurrencyLimited: "unavailable",
    CircuitOpen: "unavailable",
    TimeoutError: "timeout",
    PermissionError: "authentication",
}
_STATUSES: Final[dict[int, FailureKind]] = {
    400: "invalid_arguments",
    401: "authentication",
    403: "authentication",
    407: "authentication",
    408: "timeout",
    422: "invalid_arguments",
    429: "rate_limited",
    504: "timeout",
}
_CATCH_ALL: Final = (Exception, BaseException)


class FailureKinds:
    """Maps exceptions to kinds, and kinds to suggestions.

    Args:
        kinds: Additional kinds by exception class or HTTP status: ``{QuotaExceeded: "rate_limited", 451: "other"}``.
            The nearest class of an exception's bases decides; ``Exception`` applies where nothing else does.
        suggestions: Additional suggestions by kind or by exception class; None removes one.

    Raises:
        ConfigurationError: A key or a value has the wrong type, or there is no such kind.
    """

    __slots__ = ("_by_catch_all", "_by_class", "_by_status", "_suggestions", "_suggestions_by_class")

    def __init__(
        self,
        kinds: Mapping[type[BaseException] | int, FailureKind] | None = None,
        suggestions: Mapping[FailureKind | type[BaseException], str | None] | None = None,
    ) -> None:
        self._by_class = dict(_CLASSES)
        self._by_status = dict(_STATUSES)
        self._by_catch_all: dict[type[BaseException], FailureKind] = {}
        self._suggestions = dict(SUGGESTIONS)
        self._suggestions_by_class: dict[type[BaseException], str | None] = {}
        for key, kind in _checked_mapping("kinds", kinds):
            self._add_kind(key, kind)
        for key, suggestion in _checked_mapping("suggestions", suggestions):
            self._add_suggestion(key, suggestion)

    def _add_kind(self, key: Any, kind: Any) -> None:
        if not isinstance(kind, str) or kind not in FAILURE_KINDS:
            raise ConfigurationError(f"kinds={{{key!r}: {kind!r}}}: a kind is one of {', '.join(FAILURE_KINDS)}")
        if isinstance(key, int) and not isinstance(key, bool):
            self._by_status[key] = kind
        elif _is_exception_class(key):
            (self._by_catch_all if key in _CATCH_ALL else self._by_class)[key] = kind
        else:
            raise ConfigurationError(
                f"kinds={{{key!r}: {kind!r}}}: the key is an exception class or an HTTP status, as TimeoutError or 429"
            )

    def _add_suggestion(self, key: Any, suggestion: Any) -> None:
        if suggestion is not None and not isinstance(suggestion, str):
            raise ConfigurationError(
                f"suggestions={{{key!r}: {suggestion!r}}}: a suggestion is a text, or None for none"
            )
        if isinstance(key, str) and key in FAILURE_KINDS:
            self._suggestions[key] = suggestion
        elif _is_exception_class(key):
            self._suggestions_by_class[key] = suggestion
        else:
            raise ConfigurationError(
                f"suggestions={{{key!r}: ...}}: the key is an exception class or a kind: one of "
                f"{', '.join(FAILURE_KINDS)}"
            )

    def kind(self, error: BaseException) -> FailureKind:  # noqa: PLR0911 - one for each rule, in order
        """The kind of a failure."""
        classes = type(error).__mro__
        for cls in classes:
            if (kind := self._by_class.get(cls)) is not None:
                return kind
        status = http_status(error)
        if status is not None and (kind := self._by_status.get(status)) is not None:
            return kind
        # Timeouts of many client libraries are not subclasses of TimeoutError.
        if any("Timeout" in cls.__name__ for cls in classes):
            return "timeout"
        if transient(error):
            return "unavailable"
        if is_cancellation(error):
            return "cancelled"
        if isinstance(error, BaseExceptionGroup):
            inside = {self.kind(one) for one in error.exceptions}
            if len(inside) == 1:
                return inside.pop()
        return next((self._by_catch_all[cls] for cls in classes if cls in self._by_catch_all), "other")

    def suggestion(self, kind: FailureKind, error: BaseException | None = None) -> str | None:
        """What the model can do about a failure; None where there is no suggestion."""
        for cls in type(error).__mro__:
            if cls in self._suggestions_by_class:
                return self._suggestions_by_class[cls]
        return self._suggestions[kind]


def _checked_mapping(option: str, given: Any) -> list[tuple[Any, Any]]:
    if given is None:
        return []
    try:
        return list(given.items())
    except AttributeError:
        raise ConfigurationError(f"{option}={given!r}: a dictionary is needed") from None


def _is_exception_class(key: object) -> bool:
    return isinstance(key, type) and issubclass(key, BaseException)
