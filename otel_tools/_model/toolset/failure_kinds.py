"""What kind of failure is an exception, for the model, and what can the model do about it?

A closed list, apart from the ``error.type`` of spans: a model that has read what each kind means needs no names of
Python classes. The kind comes from the exception's class and its HTTP status, and the suggestion from the kind;
neither ever comes from words in a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from otel_tools._call.outcome import is_cancellation
from otel_tools._policies.retry.transient import http_status, transient
from otel_tools.errors import (
    CircuitOpen,
    ConcurrencyLimited,
    ConfigurationError,
    InvalidArguments,
    InvalidResult,
    RateLimited,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KINDS", "RETRYABLE", "SUGGESTIONS", "Kind", "Kinds"]

Kind: TypeAlias = Literal[
    "rate_limited",
    "authentication",
    "timeout",
    "unavailable",
    "invalid_arguments",
    "unknown_tool",
    "bad_result",
    "cancelled",
    "other",
]
"""The kinds of failure that a model is told of."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

RETRYABLE: Final[frozenset[Kind]] = frozenset({"rate_limited", "timeout", "unavailable"})
"""Kinds of which the same call may succeed a while later."""

SUGGESTIONS: Final[dict[Kind, str | None]] = {
    "rate_limited": "Wait before you call this tool again: for retry_after seconds, where that is given.",
    "authentication": "Do not call this tool again. Tell the user that access was refused.",
    "timeout": "Call this tool once more, or ask it for less.",
    "unavailable": "Go on without this tool, or call it again later: after retry_after seconds, where that is given.",
    "invalid_arguments": "Correct the arguments by the tool's schema, and call it again.",
    "unknown_tool": "Call one of the tools that you were given, by its exact name.",
    "bad_result": "Do not repeat this call. Go on without its result.",
    "cancelled": "Do not repeat this call unless the user asks for it.",
    "other": "Do not repeat this call unchanged.",
}
"""What the model is told to do."""

_CLASSES: Final[dict[type[BaseException], Kind]] = {
    InvalidArguments: "invalid_arguments",
    InvalidResult: "bad_result",
    RateLimited: "rate_limited",
    ConcurrencyLimited: "unavailable",
    CircuitOpen: "unavailable",
    TimeoutError: "timeout",
    PermissionError: "authentication",
}
_STATUSES: Final[dict[int, Kind]] = {
    400: "invalid_arguments",
    401: "authentication",
    403: "authentication",
    407: "authentication",
    408: "timeout",
    422: "invalid_arguments",
    429: "rate_limited",
    504: "timeout",
}
_EVERYTHING: Final = (Exception, BaseException)


class Kinds:
    """How exceptions are explained to the model.

    Args:
        kinds: Kinds of your own, by exception class or HTTP status: ``{QuotaExceeded: "rate_limited", 451: "other"}``.
            The nearest class of an exception's bases decides; ``Exception`` is for all that nothing else is known of.
        suggestions: Suggestions of your own, by kind or by exception class; None takes one away.

    Raises:
        ConfigurationError: A key or a value is not what it has to be.
    """

    __slots__ = ("_classes", "_rest", "_statuses", "_suggested_for", "_suggestions")

    def __init__(
        self,
        kinds: Mapping[type[BaseException] | int, Kind] | None = None,
        suggestions: Mapping[Kind | type[BaseException], str | None] | None = None,
    ) -> None:
        self._classes = dict(_CLASSES)
        self._statuses = dict(_STATUSES)
        self._rest: dict[type[BaseException], Kind] = {}
        self._suggestions = dict(SUGGESTIONS)
        self._suggested_for: dict[type[BaseException], str | None] = {}
        for key, kind in _checked_mapping("kinds", kinds):
            self._add_kind(key, kind)
        for key, suggestion in _checked_mapping("suggestions", suggestions):
            self._add_suggestion(key, suggestion)

    def _add_kind(self, key: Any, kind: Any) -> None:
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigurationError(f"kinds={{{key!r}: {kind!r}}}: a kind is one of {', '.join(KINDS)}")
        if isinstance(key, int) and not isinstance(key, bool):
            self._statuses[key] = kind
        elif _is_exception_class(key):
            (self._rest if key in _EVERYTHING else self._classes)[key] = kind
        else:
            raise ConfigurationError(
                f"kinds={{{key!r}: {kind!r}}}: the key is an exception class or an HTTP status, as TimeoutError or 429"
            )

    def _add_suggestion(self, key: Any, suggestion: Any) -> None:
        if suggestion is not None and not isinstance(suggestion, str):
            raise ConfigurationError(
                f"suggestions={{{key!r}: {suggestion!r}}}: a suggestion is a text, or None for none"
            )
        if isinstance(key, str) and key in KINDS:
            self._suggestions[key] = suggestion
        elif _is_exception_class(key):
            self._suggested_for[key] = suggestion
        else:
            raise ConfigurationError(
                f"suggestions={{{key!r}: ...}}: the key is an exception class or a kind: one of {', '.join(KINDS)}"
            )

    def kind(self, error: BaseException) -> Kind:  # noqa: PLR0911 - one for each thing that is looked at
        """The kind of a failure."""
        classes = type(error).__mro__
        for each in classes:
            if (kind := self._classes.get(each)) is not None:
                return kind
        status = http_status(error)
        if status is not None and (kind := self._statuses.get(status)) is not None:
            return kind
        # Client libraries have timeouts of their own that are no TimeoutError.
        if any("Timeout" in each.__name__ for each in classes):
            return "timeout"
        if transient(error):
            return "unavailable"
        if is_cancellation(error):
            return "cancelled"
        if isinstance(error, BaseExceptionGroup):
            inside = {self.kind(one) for one in error.exceptions}
            if len(inside) == 1:
                return inside.pop()
        return next((self._rest[each] for each in classes if each in self._rest), "other")

    def suggestion(self, kind: Kind, error: BaseException | None = None) -> str | None:
        """What the model can do about it."""
        for each in type(error).__mro__:
            if each in self._suggested_for:
                return self._suggested_for[each]
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
