"""Reads what a loop has to know of a response of Chat Completions or Responses: its text, its end and its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

__all__ = ["USAGE", "LoopOutcome", "is_forced", "outcome_of", "text_of", "usage_of"]

LoopOutcome: TypeAlias = Literal["answered", "max_turns", "length", "content_filter", "refused", "incomplete"]
"""How a loop ended; `LoopResult` explains each."""

USAGE: Final = ("input_tokens", "output_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
"""The names of the counts of tokens: those of the Responses API."""

_REASONS: Final[dict[Any, LoopOutcome]] = {
    "length": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_WHOLE: Final = {None, "", "stop", "completed", "tool_calls"}
"""Finish reasons of Chat Completions, and states of Responses, of a whole answer. Some servers leave them out."""


def text_of(response: Any) -> str:
    """The text of a response, or else of its refusal; empty where there is neither."""
    messages = _messages(response)
    return "".join(map(_content_text, messages)) or "".join(map(_refusal, messages))


def outcome_of(response: Any) -> LoopOutcome:
    """How a response without calls ended."""
    choice = next(iter(_list(_get(response, "choices"))), None)
    state = _get(choice, "finish_reason") if choice is not None else _get(response, "status")
    reason = state if choice is not None else _get(_get(response, "incomplete_details"), "reason")
    if reason in _REASONS:
        return _REASONS[reason]
    if any(map(_refusal, _messages(response))):
        return "refused"
    is_empty = choice is None and not isinstance(_get(response, "output"), list)
    return "answered" if state in _WHOLE and not is_empty else "incomplete"


def usage_of(response: Any) -> dict[str, int]:
    """The tokens of one request, in the words of the Responses API."""
    usage = _get(response, "usage")
    counts: dict[str, Any] = {
        "input_tokens": _first(usage, "input_tokens", "prompt_tokens"),
        "output_tokens": _first(usage, "output_tokens", "completion_tokens"),
        "total_tokens": _get(usage, "total_tokens"),
        "cached_tokens": _get(_first(usage, "input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
        "reasoning_tokens": _get(
            _first(usage, "output_tokens_details", "completion_tokens_details"), "reasoning_tokens"
        ),
    }
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def is_forced(tool_choice: Any) -> bool:
    """Whether a ``tool_choice`` leaves the model no way to answer: ``required``, or one tool by name."""
    if isinstance(tool_choice, Mapping) and tool_choice.get("type") == "allowed_tools":
        return bool(_get(tool_choice.get("allowed_tools") or tool_choice, "mode") == "required")
    return isinstance(tool_choice, Mapping) or str(tool_choice) == "required"


def _messages(response: Any) -> list[Any]:
    choice = next(iter(_list(_get(response, "choices"))), None)
    if choice is not None:
        return [_get(choice, "message")]
    return [item for item in _list(_get(response, "output")) if _get(item, "type") == "message"]


def _content_text(message: Any) -> str:
    content = _get(message, "content")
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else _text(_get(part, "text")) for part in _list(content))


def _refusal(message: Any) -> str:
    own = _text(_get(message, "refusal"))
    return own or "".join(_text(_get(part, "refusal")) for part in _list(_get(message, "content")))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else ()


def _first(holder: Any, *names: str) -> Any:
    return next((value for name in names if (value := _get(holder, name)) is not None), None)


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
