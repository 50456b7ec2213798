"""What a response of the `openai` client asks for: the tool calls of a whole one, and of one that comes in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_tools._model.call_ids.pending_calls import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Assembly", "asked_in"]


def asked_in(answer: Any) -> list[Asked]:
    """The tool calls of a chat completion or of a response of the Responses API; none of anything else."""
    asked: list[Asked] = []
    for choice in getattr(answer, "choices", None) or ():
        message = getattr(choice, "message", None)
        asked += (_of_chat(call) for call in getattr(message, "tool_calls", None) or ())
    for item in getattr(answer, "output", None) or ():
        asked += _of_responses(item)
    return asked


def _of_chat(call: Any) -> Asked:
    custom = getattr(call, "custom", None)
    if custom is not None:
        return Asked(call.id, custom.name, custom.input, free_form=True)
    return Asked(call.id, call.function.name, call.function.arguments)


def _of_responses(item: Any) -> Iterator[Asked]:
    kind = getattr(item, "type", None)
    if kind == "function_call":
        yield Asked(item.call_id, item.name, item.arguments)
    elif kind == "custom_tool_call":
        yield Asked(item.call_id, item.name, item.input, free_form=True)


class _Piecemeal:
    """A tool call of a chat stream, as far as it came."""

    def __init__(self) -> None:
        self.call_id = ""
        self.name = ""
        self.text = ""
        self.free_form = False

    def add(self, delta: Any) -> None:
        self.call_id = self.call_id or getattr(delta, "id", None) or ""
        custom = getattr(delta, "custom", None)
        if isinstance(custom, Mapping):
            # The client's type of a piece does not know it.
            self.free_form = True
            self.name += custom.get("name") or ""
            self.text += custom.get("input") or ""
        function = getattr(delta, "function", None)
        if function is not None:
            self.name += function.name or ""
            self.text += function.arguments or ""

    def is_whole(self) -> bool:
        """Whether nothing can follow: part of a JSON object is none."""
        try:
            return isinstance(json.loads(self.text), dict)
        except ValueError:
            return False

    def whole(self) -> Asked:
        return Asked(self.call_id, self.name, self.text, self.free_form)


class Assembly:
    """Puts the tool calls of a stream together from its pieces. Each is given once, as soon as it is whole."""

    def __init__(self) -> None:
        self._chat: dict[tuple[int, int], _Piecemeal] = {}
        self._items: dict[str, Asked] = {}
        self._given: set[str] = set()

    def see(self, event: Any) -> list[Asked]:
        """Take in one chunk of Chat Completions, or event of Responses; the calls that are whole with it."""
        asked: list[Asked] = []
        for choice in getattr(event, "choices", None) or ():
            asked += self._of_choice(choice)
        kind = getattr(event, "type", None)
        if isinstance(kind, str) and kind.startswith("response."):
            asked += (call for call in self._of_event(kind, event) if self._first(call))
        return asked

    def end(self) -> list[Asked]:
        """The stream is over; the calls that are left."""
        left = [call.whole() for call in self._chat.values()]
        self._chat.clear()
        return left

    def _of_choice(self, choice: Any) -> Iterator[Asked]:
        for delta in getattr(choice.delta, "tool_calls", None) or ():
            place = (choice.index, delta.index)
            call = self._chat.get(place)
            if call is not None and delta.id and call.call_id and delta.id != call.call_id:
                # Some servers give every call the same index.
                yield self._chat.pop(place).whole()
                call = None
            if call is None:
                # As a rule those before are whole now; their pieces may be mixed with those of this one, though.
                yield from self._over(choice.index, _Piecemeal.is_whole)
                self._chat[place] = call = _Piecemeal()
            call.add(delta)
        if choice.finish_reason:
            yield from self._over(choice.index, lambda _: True)

    def _over(self, choice: int, is_over: Callable[[_Piecemeal], bool]) -> Iterator[Asked]:
        for place in [place for place, call in self._chat.items() if place[0] == choice and is_over(call)]:
            yield self._chat.pop(place).whole()

    def _of_event(self, kind: str, event: Any) -> Iterator[Asked]:
        if kind == "response.output_item.added":
            self._items.update((event.item.id, call) for call in _of_responses(event.item))
        elif kind == "response.output_item.done":
            yield from _of_responses(event.item)
        elif kind in {"response.function_call_arguments.done", "response.custom_tool_call_input.done"}:
            begun = self._items.get(event.item_id)
            if begun is not None:
                yield begun._replace(arguments=event.input if begun.free_form else event.arguments)
        elif hasattr(event, "response"):
            yield from asked_in(event.response)

    def _first(self, call: Asked) -> bool:
        known = call.call_id in self._given
        self._given.add(call.call_id)
        return not known
