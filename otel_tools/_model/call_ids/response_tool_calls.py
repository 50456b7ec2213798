"""The tool calls in a response of the `openai` client: in a complete one, and in a stream of pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_tools._model.call_ids.pending_calls import RequestedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StreamAssembler", "requested_calls"]


def requested_calls(answer: Any) -> list[RequestedCall]:
    """The tool calls of a chat completion or of a response of the Responses API; none of anything else."""
    calls: list[RequestedCall] = []
    for choice in getattr(answer, "choices", None) or ():
        message = getattr(choice, "message", None)
        calls += (_chat_call(call) for call in getattr(message, "tool_calls", None) or ())
    for item in getattr(answer, "output", None) or ():
        calls += _response_calls(item)
    return calls


def _chat_call(call: Any) -> RequestedCall:
    custom = getattr(call, "custom", None)
    if custom is not None:
        return RequestedCall(call.id, custom.name, custom.input, free_form=True)
    return RequestedCall(call.id, call.function.name, call.function.arguments)


def _response_calls(item: Any) -> Iterator[RequestedCall]:
    kind = getattr(item, "type", None)
    if kind == "function_call":
        yield RequestedCall(item.call_id, item.name, item.arguments)
    elif kind == "custom_tool_call":
        yield RequestedCall(item.call_id, item.name, item.input, free_form=True)


class _PartialCall:
    """A tool call of a chat stream, as far as it has arrived."""

    def __init__(self) -> None:
        self.call_id = ""
        self.name = ""
        self.text = ""
        self.free_form = False

    def add(self, delta: Any) -> None:
        self.call_id = self.call_id or getattr(delta, "id", None) or ""
        custom = getattr(delta, "custom", None)
        if isinstance(custom, Mapping):
            # The client's class for a piece has no field for custom tools, so this is a dictionary.
            self.free_form = True
            self.name += custom.get("name") or ""
            self.text += custom.get("input") or ""
        function = getattr(delta, "function", None)
        if function is not None:
            self.name += function.name or ""
            self.text += function.arguments or ""

    def is_complete(self) -> bool:
        """Whether the arguments are a JSON object, so that nothing can follow."""
        try:
            return isinstance(json.loads(self.text), dict)
        except ValueError:
            return False

    def complete_call(self) -> RequestedCall:
        return RequestedCall(self.call_id, self.name, self.text, self.free_form)


class StreamAssembler:
    """Assembles the tool calls of a stream from its pieces, and returns each once, as soon as it is complete."""

    def __init__(self) -> None:
        self._chat: dict[tuple[int, int], _PartialCall] = {}
        self._items: dict[str, RequestedCall] = {}
        self._seen_ids: set[str] = set()

    def add(self, event: Any) -> list[RequestedCall]:
        """Add a chunk of Chat Completions or an event of Responses; returns the calls that it completes."""
        calls: list[RequestedCall] = []
        for choice in getattr(event, "choices", None) or ():
            calls += self._choice_calls(choice)
        kind = getattr(event, "type", None)
        if isinstance(kind, str) and kind.startswith("response."):
            calls += (call for call in self._event_calls(kind, event) if self._is_new(call))
        return calls

    def finish(self) -> list[RequestedCall]:
        """The stream has ended; returns the remaining calls."""
        remaining = [call.complete_call() for call in self._chat.values()]
        self._chat.clear()
        return remaining

    def _choice_calls(self, choice: Any) -> Iterator[RequestedCall]:
        for delta in getattr(choice.delta, "tool_calls", None) or ():
            key = (choice.index, delta.index)
            call = self._chat.get(key)
            if call is not None and delta.id and call.call_id and delta.id != call.call_id:
                # Some servers give every call the same index.
                yield self._chat.pop(key).complete_call()
                call = None
            if call is None:
                # The calls before are usually complete now, but some servers mix the pieces of several calls.
                yield from self._pop_finished(choice.index, _PartialCall.is_complete)
                self._chat[key] = call = _PartialCall()
            call.add(delta)
        if choice.finish_reason:
            yield from self._pop_finished(choice.index, lambda _: True)

    def _pop_finished(self, choice: int, is_finished: Callable[[_PartialCall], bool]) -> Iterator[RequestedCall]:
        for key in [key for key, call in self._chat.items() if key[0] == choice and is_finished(call)]:
            yield self._chat.pop(key).complete_call()

    def _event_calls(self, kind: str, event: Any) -> Iterator[RequestedCall]:
        if kind == "response.output_item.added":
            self._items.update((event.item.id, call) for call in _response_calls(event.item))
        elif kind == "response.output_item.done":
            yield from _response_calls(event.item)
        elif kind in {"response.function_call_arguments.done", "response.custom_tool_call_input.done"}:
            started = self._items.get(event.item_id)
            if started is not None:
                yield started._replace(arguments=event.input if started.free_form else event.arguments)
        elif hasattr(event, "response"):
            yield from requested_calls(event.response)

    def _is_new(self, call: RequestedCall) -> bool:
        is_new = call.call_id not in self._seen_ids
        self._seen_ids.add(call.call_id)
        return is_new
