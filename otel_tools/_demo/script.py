"""The scripted model's script: its function calls, its corrections after errors, its answer."""

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
class FunctionCall:
    """A function call that the model asks for.

    Attributes:
        name: the function's name.
        arguments: its arguments by name.
        text: the arguments as the model writes them, where that differs from their JSON.
        call_id: the call's id; None for a new one.
    """

    name: str
    arguments: dict[str, Any]
    text: str | None = None
    call_id: str | None = None

    def arguments_text(self) -> str:
        """The arguments as the model writes them."""
        return json.dumps(self.arguments) if self.text is None else self.text


@dataclass(frozen=True)
class CompletedCall:
    """A function call and the JSON value that it returned."""

    call: FunctionCall
    result: Any

    @property
    def error(self) -> str | None:
        """The error that the application reported; None where it reported none."""
        error = self.result.get("error") if isinstance(self.result, dict) else None
        return None if error is None else str(error)


NextTurn = Callable[[Sequence[CompletedCall], frozenset[str]], Sequence[FunctionCall] | str]
"""Decides the model's next turn from the completed calls and the offered functions: more calls, or the answer."""

OPENING = (
    FunctionCall("get_weather", {"location": "Seattle", "date": "2015-07-04"}),
    FunctionCall("get_stock_price", {"symbol": "GOOGLE", "date": "2015-07-04"}),
    FunctionCall("search_web", {"query": "format a date in an f-string", "limit": 3}),
)


def next_turn(completed: Sequence[CompletedCall], offered: frozenset[str]) -> list[FunctionCall] | str:
    """Decide the model's next turn by the demo's script.

    Args:
        completed: the calls made since the user's question, oldest first.
        offered: the names of the functions that the application offers.

    Returns:
        The calls to make in parallel, or the answer.
    """
    missing = sorted({call.name for call in OPENING} - offered)
    if missing:
        return f"I am a scripted model and know one play, which needs the functions {', '.join(missing)}."
    latest = {each.call.name: each for each in completed}
    opening = [call for call in OPENING if call.name not in latest]
    if opening:
        return opening
    follow_ups = [correction(each) if each.error else refinement(each) for each in latest.values()]
    made = [each.call for each in completed]
    calls = [call for call in follow_ups if call is not None and call not in made]
    return calls or answer(latest)


def correction(failed: CompletedCall) -> FunctionCall | None:
    """The failed call with corrected arguments, where its error says how; else None."""
    arguments, error = failed.call.arguments, failed.error or ""
    symbols = re.search(r"known symbols: (.+)", error)
    records = re.search(r"records go from \S+ to (\d{4}-\d\d-\d\d)", error)
    if symbols:
        near = difflib.get_close_matches(str(arguments.get("symbol")), symbols[1].split(", "), n=1)
        return FunctionCall(failed.call.name, arguments | {"symbol": near[0]}) if near else None
    if records:
        return FunctionCall(failed.call.name, arguments | {"date": records[1]})
    return None


def refinement(found: CompletedCall) -> FunctionCall | None:
    """A second search, for the title of the best result of a first one; else None."""
    match found.call, found.result:
        case FunctionCall("search_web", {"limit": limit}), {"results": [{"title": title}, *_]} if limit != 1:
            return FunctionCall("search_web", {"query": title, "limit": 1})
    return None


def answer(latest: dict[str, CompletedCall]) -> str:
    """The answer: one sentence for each function, also for one that failed.

    Args:
        latest: the last call of each function, by its name.
    """
    return " ".join(_sentence(each) for each in latest.values())


def _sentence(completed: CompletedCall) -> str:
    match completed.call.name, completed.result:
        case name, _ if completed.error:
            return f"I could not get an answer from {name}: {completed.error}."
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
