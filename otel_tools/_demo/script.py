"""What the scripted model says: which functions it calls, what it makes of their errors, its last word."""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

QUESTION = (
    "I write my travel diary in Python. How was the weather in Seattle on 4 July 2015, "
    "what did one Google share cost then, and how do I format a date in an f-string?"
)


@dataclass(frozen=True)
class Call:
    """A function that the model wants to be called.

    Attributes:
        name: the function's name.
        arguments: what it is to be called with.
        text: the arguments as the model writes them, where that is not their JSON.
        call_id: the id that the model gives the call, where it is not a new one.
    """

    name: str
    arguments: dict[str, Any]
    text: str | None = None
    call_id: str | None = None

    def written(self) -> str:
        """The arguments as the model writes them."""
        return json.dumps(self.arguments) if self.text is None else self.text


@dataclass(frozen=True)
class Done:
    """A call that was made, and the JSON value that came back."""

    call: Call
    result: Any

    @property
    def error(self) -> str | None:
        """The error that the application reported, if it did."""
        error = self.result.get("error") if isinstance(self.result, dict) else None
        return None if error is None else str(error)


Mind = Callable[[Sequence[Done], frozenset[str]], Sequence[Call] | str]
"""What decides the next turn, as `reply` does."""

OPENING = (
    Call("get_weather", {"location": "Seattle", "date": "2015-07-04"}),
    Call("get_stock_price", {"symbol": "GOOGLE", "date": "2015-07-04"}),
    Call("search_web", {"query": "format a date in an f-string", "limit": 3}),
)


def reply(done: Sequence[Done], offered: frozenset[str]) -> list[Call] | str:
    """Decide the next turn from what has happened so far.

    Args:
        done: the calls made since the user's question, oldest first, with their results.
        offered: the names of the functions that the application has.

    Returns:
        The calls to make at once, or the answer.
    """
    missing = sorted({call.name for call in OPENING} - offered)
    if missing:
        return f"I am a scripted model and know one play, which needs the functions {', '.join(missing)}."
    latest = {one.call.name: one for one in done}
    opening = [call for call in OPENING if call.name not in latest]
    if opening:
        return opening
    second_thoughts = [correction(one) if one.error else refinement(one) for one in latest.values()]
    made = [one.call for one in done]
    calls = [call for call in second_thoughts if call is not None and call not in made]
    return calls or answer(latest)


def correction(failed: Done) -> Call | None:
    """Try again what failed, where its error says how."""
    arguments, error = failed.call.arguments, failed.error or ""
    symbols = re.search(r"known symbols: (.+)", error)
    records = re.search(r"records go from \S+ to (\d{4}-\d\d-\d\d)", error)
    if symbols:
        near = difflib.get_close_matches(str(arguments.get("symbol")), symbols[1].split(", "), n=1)
        return Call(failed.call.name, arguments | {"symbol": near[0]}) if near else None
    if records:
        return Call(failed.call.name, arguments | {"date": records[1]})
    return None


def refinement(found: Done) -> Call | None:
    """Search once more, for the title of the best result."""
    match found:
        case Done(Call("search_web", {"limit": limit}), {"results": [{"title": title}, *_]}) if limit != 1:
            return Call("search_web", {"query": title, "limit": 1})
    return None


def answer(latest: dict[str, Done]) -> str:
    """Say what the functions found, and own up to what they did not."""
    return " ".join(_sentence(one) for one in latest.values())


def _sentence(one: Done) -> str:
    match one.call.name, one.result:
        case name, _ if one.error:
            return f"I could not get an answer from {name}: {one.error}."
        case _, {"location": place, "date": date, "weather": weather, "low": low, "high": high, "unit": unit}:
            return f"{place} on {date}: {weather}, {low} to {high} °{unit[:1].upper()}."
        case _, {"symbol": symbol, "month": month, "price": price, "currency": currency}:
            return f"One {symbol} share cost {price} {currency} in {month}, the closest month on record."
        case _, {"results": [{"title": title}, *_]}:
            return f'On dates in f-strings, read "{title}".'
        case _, {"results": [], "query": query}:
            return f'Nothing was found for "{query}".'
        case name, result:
            return f"{name} says: {json.dumps(result)}."
