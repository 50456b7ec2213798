"""The calls in what a model said, in the form of either API, and the answers in the same form.

Objects of the ``openai`` package and of others, and plain dictionaries, are read alike; nothing in them is relied on,
since a model or a server may have written anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from otel_tools._schema.formats import Api

__all__ = ["ModelCall", "UnreadableArguments", "arguments_of", "calls_in"]

_RESPONSES: Final = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""Items that are for this application to answer, and the items that answer them."""

_CHAT: Final = frozenset({"function", "custom"})
_EXCERPT: Final = 40

_ACCEPTED: Final = (
    "a chat message with tool calls, a list of tool calls, a response of the Responses API, or its items are needed"
)


class ModelCall(NamedTuple):
    """One tool call in what a model said.

    Attributes:
        id: By which the answer is known; empty where the model gave none.
        name: The tool; None where that is no text.
        arguments: As they came: JSON as text, unless something else was sent.
        api: Whose form the answer takes.
        function: Whether a function was called; the model may call other kinds of tools.
        item: The type of the item that answers it, in the Responses API.
        caller: What called it, where that is a program of the model's own.
    """

    id: str
    name: str | None
    arguments: Any
    api: Api = "chat"
    function: bool = True
    item: str = "function_call_output"
    caller: Any = None

    def answer(self, text: str) -> dict[str, Any]:
        """The message, or the item, that gives the model its answer."""
        if self.api == "chat":
            return {"role": "tool", "tool_call_id": self.id, "content": text}
        answer = {"type": self.item, "call_id": self.id, "output": text}
        return answer if self.caller is None else {**answer, "caller": self.caller}


def calls_in(said: Any) -> list[ModelCall]:
    """The calls that an application has to answer, in their order.

    Of the items of a response those that are for this application to answer are taken: calls of functions and of custom
    tools that the same list does not answer yet. In a list of chat calls every item is a call, whatever it looks like.

    Args:
        said: A chat message, or a whole chat completion (its first choice); a list of tool calls; a response of the
            Responses API, or its items; a single call. None and a message without calls have none.

    Raises:
        TypeError: It is none of these.
    """
    if said is None:
        return []
    if _is_list(said):
        return _calls(list(said))
    if not isinstance(said, (str, bytes, int, float)):
        for name in ("tool_calls", "output"):
            inside = _read(said, name)
            if _is_list(inside):
                return [_chat_call(item) for item in inside] if name == "tool_calls" else _items(list(inside))
        if _is_list(choices := _read(said, "choices")):
            return calls_in(_read(choices[0], "message")) if choices else []
        if _is_call(said):
            return _calls([said])
        if isinstance(_read(said, "role"), str) or _has(said, "tool_calls") or _has(said, "output"):
            return []
    raise TypeError(f"{type(said).__qualname__} {_excerpt(said)}: {_ACCEPTED}")


def _calls(items: list[Any]) -> list[ModelCall]:
    """A list that may be of either API."""
    if any(_is_item(item) for item in items):
        return _items(items)
    if any(isinstance(_read(item, "role"), str) or _has(item, "message") for item in items):
        raise TypeError(f"this is a list of messages, of which one may have calls to answer: {_ACCEPTED}")
    return [_chat_call(item) for item in items]


def _items(items: list[Any]) -> list[ModelCall]:
    answered = {
        call_id
        for item in items
        if _read(item, "type") in _RESPONSES.values() and isinstance(call_id := _read(item, "call_id"), str)
    }
    calls = (_response_call(item) for item in items)
    return [call for call in calls if call is not None and not (call.id and call.id in answered)]


def _is_item(item: Any) -> bool:
    """Whether this is an item of the Responses API: its types are other words, and none has a function inside."""
    kind = _read(item, "type")
    return isinstance(kind, str) and kind not in _CHAT and not _has(item, "function")


def _is_call(item: Any) -> bool:
    kind = _read(item, "type")
    return (isinstance(kind, str) and (kind in _RESPONSES or kind in _CHAT)) or _has(item, "function")


def _response_call(item: Any) -> ModelCall | None:
    kind = _read(item, "type")
    if not isinstance(kind, str) or kind not in _RESPONSES:
        return _chat_call(item) if _has(item, "function") else None
    caller = _read(item, "caller")
    return ModelCall(
        _id(_read(item, "call_id")),
        _text(_read(item, "name")),
        _read(item, "arguments"),
        "responses",
        function=kind == "function_call",
        item=_RESPONSES[kind],
        caller=_plain(caller) if _read(caller, "type") == "program" else None,
    )


def _chat_call(item: Any) -> ModelCall:
    kind = _read(item, "type")
    # Some servers leave the type out.
    function = _read(item, "function") if kind in {None, "function"} or not isinstance(kind, str) else None
    called = function if function is not None else _read(item, kind if isinstance(kind, str) else "custom")
    return ModelCall(
        _id(_read(item, "id")), _text(_read(called, "name")), _read(called, "arguments"), function=function is not None
    )


class UnreadableArguments(ValueError):  # noqa: N818 - named like InvalidArguments
    """The arguments of a call are no JSON object. The message is for the model."""


def arguments_of(call: ModelCall) -> dict[str, Any]:
    """The arguments of a call by name; nothing at all is no arguments.

    Raises:
        UnreadableArguments: They are no JSON object.
    """
    given = call.arguments
    if given is None or given == "":
        return {}
    if isinstance(given, (str, bytes, bytearray)):
        given = _parsed(given)
        if type(given) is dict:
            return given
    if not isinstance(given, Mapping):
        raise UnreadableArguments(
            f"The arguments have to be a JSON object of parameters by name, and they are {_json_type(given)}."
        )
    try:
        arguments = dict(given)
    except Exception:  # noqa: BLE001 - a mapping of somebody else's
        raise UnreadableArguments("The arguments cannot be read.") from None
    if not all(isinstance(name, str) for name in arguments):
        raise UnreadableArguments("The arguments have to be a JSON object: its names are texts.")
    return arguments


def _parsed(text: str | bytes | bytearray) -> Any:
    try:
        return _decode(text if isinstance(text, str) else text.decode())
    except json.JSONDecodeError as error:
        # Where it is, and not what stands there: that may be half a secret, which nothing would recognise.
        raise UnreadableArguments(
            f"The arguments are not valid JSON: {error.msg} at character {error.pos} (line {error.lineno}, "
            f"column {error.colno})."
        ) from None
    except RecursionError:
        raise UnreadableArguments("The arguments are nested too deeply.") from None
    except UnreadableArguments:
        raise
    except ValueError as error:
        problem = "they are not UTF-8" if isinstance(error, UnicodeError) else "a number in them is too long"
        raise UnreadableArguments(f"The arguments cannot be read: {problem}.") from None


def _refuse(constant: str) -> Any:
    raise UnreadableArguments(f"The arguments are not valid JSON: {constant} is no JSON number.")


_decode: Final = json.JSONDecoder(parse_constant=_refuse).decode


def _json_type(value: Any) -> str:
    for kind, name in ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (list, "an array")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "something else"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _has(holder: Any, name: str) -> bool:
    """Whether it is there and not None."""
    return _read(holder, name) is not None


def _read(holder: Any, name: str) -> Any:
    """A key of a dictionary or an attribute of an object; None where there is none."""
    try:
        # The check for a Mapping is slow, and most are dictionaries.
        is_mapping = type(holder) is dict or isinstance(holder, Mapping)
        return holder.get(name) if is_mapping else getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - an object of somebody else's
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _id(value: Any) -> str:
    """An id as a text, which is the only form that an answer can have it in."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64 else ""


def _plain(value: Any) -> Any:
    """A small object of the API's as a dictionary."""
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else value


def _excerpt(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - as above
        text = "<unreadable>"
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"
