"""Reads tool calls in the form of OpenAI's Chat Completions or Responses API, and writes answers in the same form.

Objects of the ``openai`` package and of others, and plain dictionaries, are read alike. No field is taken for granted,
since a model or a server may have written anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_tools._model.formats.foreign import foreign_calls, form_of

if TYPE_CHECKING:
    from otel_tools._schema.formats import Api

__all__ = ["ModelCall", "UnreadableArguments", "arguments_of", "calls_in"]

_OUTPUT_ITEMS: Final = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""Types of items that the application has to answer, and the types of the items that answer them."""

_CHAT_TYPES: Final = frozenset({"function", "custom"})
_MAX_EXCERPT: Final = 40

_ACCEPTED_FORMS: Final = (
    "a chat message with tool calls, a list of tool calls, a response of the Responses API, or its items are needed"
)


class ModelCall(NamedTuple):
    """One tool call of a model.

    Attributes:
        id: The id that the answer refers to; empty where the model gave none.
        name: The tool's name; None where it is not a string.
        arguments: As they were received: usually JSON as text.
        api: The API whose form the answer takes.
        function: Whether a function was called. A model may call other kinds of tools.
        item: The type of the item that answers the call, in the Responses API.
        caller: What made the call, where that is a program that the model wrote.
    """

    id: str
    name: str | None
    arguments: Any
    api: Api = "chat"
    function: bool = True
    item: str = "function_call_output"
    caller: Any = None

    def answer(self, text: str) -> dict[str, Any]:
        """The message or item that answers the call."""
        if self.api == "chat":
            return {"role": "tool", "tool_call_id": self.id, "content": text}
        answer = {"type": self.item, "call_id": self.id, "output": text}
        return answer if self.caller is None else {**answer, "caller": self.caller}


def calls_in(said: Any) -> list[ModelCall]:
    """The calls that an application has to answer, in their order.

    Of the items of a response, these are the calls of functions and custom tools that the same list does not answer
    yet. In a list of chat calls every item is a call, whatever it contains.

    Args:
        said: A chat message, or a whole chat completion (its first choice); a list of tool calls; a response of the
            Responses API, or its items; a single call. None and a message without calls have none.

    Raises:
        TypeError: ``said`` is none of these, or has calls in the form of another API.
    """
    calls = _calls_in(said)
    # The calls of another API are nothing that is known here, and must not pass for a message without calls.
    if not calls and (form := foreign_calls(said)) is not None:
        raise TypeError(f"these are {form}, which ToolSet does not answer: {_ACCEPTED_FORMS}")
    return calls


def _calls_in(said: Any) -> list[ModelCall]:  # noqa: PLR0911 - one line for each form
    if said is None:
        return []
    if _is_list(said):
        return _calls_in_list(list(said))
    if not isinstance(said, (str, bytes, int, float)):
        if _is_list(inside := _get(said, "tool_calls")):
            return _chat_calls(inside)
        if _is_list(inside := _get(said, "output")):
            return _calls_in_items(list(inside))
        if _is_list(choices := _get(said, "choices")):
            return _calls_in(_get(choices[0], "message")) if choices else []
        if _is_call(said):
            return _calls_in_list([said])
        if _has(said, "tool_calls"):
            raise TypeError(f"tool_calls is no list but {type(_get(said, 'tool_calls')).__name__}: {_ACCEPTED_FORMS}")
        if isinstance(_get(said, "role"), str) or _is_item(said) or foreign_calls(said) is not None:
            return []
    raise TypeError(f"{type(said).__qualname__} {_excerpt(said)}: {_ACCEPTED_FORMS}")


def _calls_in_list(items: list[Any]) -> list[ModelCall]:
    """The calls in a list of either API."""
    if any(_is_item(item) for item in items):
        return _calls_in_items(items)
    if any(isinstance(_get(item, "role"), str) or _has(item, "message") for item in items):
        raise TypeError(f"this is a list of messages, of which one may have calls to answer: {_ACCEPTED_FORMS}")
    return _chat_calls(items)


def _chat_calls(items: Any) -> list[ModelCall]:
    for item in items:
        is_chat_call = _has(item, "function") or _has(item, "custom")
        if (form := form_of(item) if is_chat_call else foreign_calls(item)) is not None:
            raise TypeError(f"these are {form}, which ToolSet does not answer: {_ACCEPTED_FORMS}")
    return [_chat_call(item) for item in items]


def _calls_in_items(items: list[Any]) -> list[ModelCall]:
    answered = {
        call_id
        for item in items
        if _get(item, "type") in _OUTPUT_ITEMS.values() and isinstance(call_id := _get(item, "call_id"), str)
    }
    calls = (_response_call(item) for item in items)
    return [call for call in calls if call is not None and not (call.id and call.id in answered)]


def _is_item(item: Any) -> bool:
    """Whether this is an item of the Responses API: it has other types than a chat call, and no ``function``."""
    kind = _get(item, "type")
    return isinstance(kind, str) and kind not in _CHAT_TYPES and not _has(item, "function")


def _is_call(item: Any) -> bool:
    kind = _get(item, "type")
    return (isinstance(kind, str) and (kind in _OUTPUT_ITEMS or kind in _CHAT_TYPES)) or _has(item, "function")


def _response_call(item: Any) -> ModelCall | None:
    kind = _get(item, "type")
    if not isinstance(kind, str) or kind not in _OUTPUT_ITEMS:
        return _chat_call(item) if _has(item, "function") else None
    caller = _get(item, "caller")
    return ModelCall(
        _id(_get(item, "call_id")),
        _text(_get(item, "name")),
        _get(item, "arguments"),
        "responses",
        function=kind == "function_call",
        item=_OUTPUT_ITEMS[kind],
        caller=_as_dict(caller) if _get(caller, "type") == "program" else None,
    )


def _chat_call(item: Any) -> ModelCall:
    kind = _get(item, "type")
    # Some servers omit the type.
    function = _get(item, "function") if kind in {None, "function"} or not isinstance(kind, str) else None
    called = function if function is not None else _get(item, kind if isinstance(kind, str) else "custom")
    return ModelCall(
        _id(_get(item, "id")), _text(_get(called, "name")), _get(called, "arguments"), function=function is not None
    )


class UnreadableArguments(ValueError):  # noqa: N818 - named like InvalidArguments
    """The arguments of a call are not a JSON object. The message is for the model."""


def arguments_of(call: ModelCall) -> dict[str, Any]:
    """The arguments of a call by name; empty where the model sent none: blank text, or null.

    Raises:
        UnreadableArguments: The arguments are not a JSON object.
    """
    arguments = call.arguments
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, (str, bytes, bytearray)):
        arguments = _parsed(arguments)
        if type(arguments) is dict:
            return arguments
        if arguments is None:
            return {}
    if not isinstance(arguments, Mapping):
        raise UnreadableArguments(
            f"The arguments have to be a JSON object of parameters by name, and they are {_json_type(arguments)}."
        )
    try:
        arguments = dict(arguments)
    except Exception:  # noqa: BLE001 - a foreign mapping may raise anything
        raise UnreadableArguments("The arguments cannot be read.") from None
    if not all(isinstance(name, str) for name in arguments):
        raise UnreadableArguments("The arguments have to be a JSON object: its names are texts.")
    return arguments


def _parsed(text: str | bytes | bytearray) -> Any:
    try:
        text = text if isinstance(text, str) else text.decode()
        return _decode(text) if text.strip() else None
    except json.JSONDecodeError as error:
        # The position, and not the text there: that may be half a secret, which no pattern recognises.
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


def _refuse_constant(constant: str) -> Any:
    raise UnreadableArguments(f"The arguments are not valid JSON: {constant} is no JSON number.")


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _json_type(value: Any) -> str:
    for kind, name in ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (list, "an array")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "something else"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _has(holder: Any, name: str) -> bool:
    """Whether it is there and not None."""
    return _get(holder, name) is not None


def _get(holder: Any, name: str) -> Any:
    """The value of a dictionary's key or an object's attribute; None where there is none."""
    try:
        # isinstance() with Mapping is slow, and most holders are dictionaries.
        is_mapping = type(holder) is dict or isinstance(holder, Mapping)
        return holder.get(name) if is_mapping else getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _id(value: Any) -> str:
    """An id as a string, since an answer can only have a string."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64 else ""


def _as_dict(value: Any) -> Any:
    """A small object of the API as a dictionary."""
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else value


def _excerpt(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - as above
        text = "<unreadable>"
    return text if len(text) <= _MAX_EXCERPT else text[:_MAX_EXCERPT] + "…"
