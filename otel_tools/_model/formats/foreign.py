"""Recognises tool calls in the form of other APIs, which are refused by name and never passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["foreign_calls", "form_of"]

_INSIDE: Final = (
    "content",
    "message",
    "output",
    "choices",
    "parts",
    "candidates",
    "delta",
    "content_block",
    "response",
    "item",
    "additional_kwargs",
)
"""Where messages, and pieces of them, hold what a model said."""

_TYPES: Final = {
    "tool_use": "tool_use blocks of Anthropic's Messages API",
    "tool_call": "tool calls of LangChain",
    "tool-call": "tool calls of another framework",
    "input_json_delta": "pieces of a stream of Anthropic's Messages API",
    "response.function_call_arguments.delta": "pieces of a stream",
    "response.function_call_arguments.done": "pieces of a stream",
}
_SCALARS: Final = (str, bytes, int, float)
_MAX_DEPTH: Final = 7
_MAX_PARTS: Final = 1_000


def foreign_calls(said: Any) -> str | None:
    """What the tool calls in a message, a response, a list or a single call are, where they are of another API.

    Anthropic, Gemini, Bedrock, LangChain, the legacy ``function_call`` of Chat Completions, and pieces of streams are
    known; objects and dictionaries alike.

    Returns:
        The name of the form; None where no such call is found.
    """
    level = [said]
    looked_at = 0
    for _ in range(_MAX_DEPTH):
        inside: list[Any] = []
        for part in level:
            looked_at += 1
            if looked_at > _MAX_PARTS:
                return None
            if isinstance(part, (list, tuple)):
                inside += part[:_MAX_PARTS]
            elif (form := form_of(part)) is not None:
                return form
            elif not isinstance(part, _SCALARS):
                inside += (value for name in _INSIDE if (value := _get(part, name)) is not None)
        level = inside
    return None


def form_of(part: Any) -> str | None:  # noqa: PLR0911 - one line for each form
    """What one call, or one message, is, where it is of another API; what it contains is not looked at."""
    if part is None or isinstance(part, _SCALARS):
        return None
    kind = _get(part, "type") or _get(part, "part_kind")
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    if _is_call(_get(part, "toolUse")) or _is_call(_get(part, "tool_use")):
        return "toolUse blocks of Bedrock's Converse API"
    legacy = _get(part, "function_call")
    if isinstance(_get(part, "role"), str) and _is_call(legacy):
        return "the legacy function_call of Chat Completions (use tools=, which gives tool_calls)"
    if _is_call(legacy) or _is_call(_get(part, "functionCall")) or _list(_get(part, "function_calls")):
        return "function calls of Gemini's API"
    delta = _get(part, "delta")
    if _list(_get(delta, "tool_calls")) or _is_call(_get(delta, "function_call")):
        return "pieces of a stream (collect the whole message first)"
    is_flat = _is_call(part) and any(_get(part, name) is not None for name in ("args", "input", "arguments"))
    if is_flat and not isinstance(kind, str) and _get(part, "function") is None and _get(part, "custom") is None:
        return "calls in a form of another API, with a name and arguments on one level"
    return None


def _is_call(value: Any) -> bool:
    return isinstance(_get(value, "name"), str)


def _list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value)


def _get(holder: Any, name: str) -> Any:
    try:
        return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return None
