"""The functions of an ordinary application, and their schemas as sent to the model."""

import csv
import datetime as dt
import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

DATA = Path(__file__).parent / "data"


def get_weather(location: str, date: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict[str, Any]:
    """Look up the weather of one past day in Seattle."""
    if location.split(",", maxsplit=1)[0].strip().casefold() != "seattle":
        raise LookupError(f"no weather station in {location!r}; there is one in Seattle")
    if unit not in ("celsius", "fahrenheit"):
        raise ValueError(f"unit is {unit!r}; it can be celsius or fahrenheit")
    days = {row["date"]: row for row in read_csv("seattle-weather.csv")}
    day = days.get(dt.date.fromisoformat(date).isoformat())
    if day is None:
        raise LookupError(f"no weather for {date}; the records go from {min(days)} to {max(days)}")

    def degrees(celsius: str) -> float:
        return float(celsius) if unit == "celsius" else round(float(celsius) * 9 / 5 + 32, 1)

    return {
        "location": "Seattle",
        "date": day["date"],
        "weather": day["weather"],
        "low": degrees(day["temp_min"]),
        "high": degrees(day["temp_max"]),
        "unit": unit,
        "precipitation_mm": float(day["precipitation"]),
        "wind_m_per_s": float(day["wind"]),
    }


def get_stock_price(symbol: str, date: str | None = None) -> dict[str, Any]:
    """Look up what a share cost in the month of a date, or in the last month on record."""
    rows = read_csv("stocks.csv")
    prices = {row["date"]: float(row["price"]) for row in rows if row["symbol"] == symbol}
    if not prices:
        known = ", ".join(sorted({row["symbol"] for row in rows}))
        raise LookupError(f"no prices for {symbol!r}; known symbols: {known}")
    first, last = min(prices), max(prices)
    month = last if date is None else dt.date.fromisoformat(date).replace(day=1).isoformat()
    if month not in prices:
        raise LookupError(f"no price of {symbol} in {month[:7]}; the records go from {first} to {last}")
    return {"symbol": symbol, "month": month[:7], "price": prices[month], "currency": "USD"}


def search_web(query: str, limit: int = 3) -> dict[str, Any]:
    """Search the Python language reference that comes with this machine's Python."""
    words = re.findall(r"\w+", query)
    if not words:
        raise ValueError(f"nothing to search for in {query!r}")
    with index_lock:
        engine, pages = index()
        if engine == "fts5":
            parameters = [" OR ".join(f'"{word}"' for word in words), limit]
            found = pages.execute(
                "SELECT title, snippet(pages, 1, '', '', '...', 16) FROM pages "
                "WHERE pages MATCH ? ORDER BY bm25(pages, 10.0, 1.0) LIMIT ?",
                parameters,
            )
        else:
            hits = " + ".join("(title || text LIKE ?)" for _ in words)
            parameters = [*(f"%{word}%" for word in words), limit]
            found = pages.execute(
                f"SELECT title, substr(text, 1, 100) FROM pages ORDER BY {hits} DESC LIMIT ?",  # noqa: S608  (only placeholders)
                parameters,
            )
        results = [{"title": title, "text": " ".join(text.split())} for title, text in found]
    return {"query": query, "engine": engine, "results": results}


@cache
def read_csv(name: str) -> list[dict[str, str]]:
    """Read a file of the data folder, once."""
    with (DATA / name).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


index_lock = Lock()  # all threads share one connection: one thread builds it, and one at a time uses it


@cache
def index() -> tuple[str, sqlite3.Connection]:
    """Build the search index, on first use: full text where SQLite has it, else a plain table."""
    pages = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        pages.execute("CREATE VIRTUAL TABLE pages USING fts5(title, text, tokenize = porter)")
        engine = "fts5"
    except sqlite3.OperationalError:  # this SQLite was compiled without FTS5
        pages.execute("CREATE TABLE pages (title, text)")
        engine = "like"
    pages.executemany("INSERT INTO pages VALUES (?, ?)", dict.fromkeys(sections()))  # topics overlap
    return engine, pages


def sections() -> Iterator[tuple[str, str]]:
    """The sections of the topics of Python's `help()`: title and text; a title is a line with an underline."""
    from pydoc_data.topics import topics  # noqa: PLC0415  (half a megabyte, needed only by a search)

    for topic in topics.values():
        _, *parts = re.split(r"^(\S.*)\n[*=\-^]{3,}\n", "\n" + topic, flags=re.MULTILINE)
        for title, text in zip(parts[::2], parts[1::2], strict=True):
            if text.strip():
                yield title.strip(), text


available_functions: dict[str, Callable[..., Any]] = {
    "get_weather": get_weather,
    "get_stock_price": get_stock_price,
    "search_web": search_web,
}

tools: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of one past day in a city: sky, low and high temperature, rain.",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "The city, such as Seattle"},
                    "date": {"type": "string", "description": "The day, as YYYY-MM-DD"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location", "date"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "get_stock_price",
            "description": "What one share of a company cost, in US dollars, in the month of a date.",
            "parameters": {
                "type": "object",
                "properties": {
                    "symbol": {"type": "string", "description": "The ticker symbol, such as MSFT"},
                    "date": {
                        "type": "string",
                        "description": "A day as YYYY-MM-DD; without it, the last month on record",
                    },
                },
                "required": ["symbol"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "search_web",
            "description": "Full-text search in the Python documentation.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "A few words"},
                    "limit": {"type": "integer", "description": "How many results at most", "minimum": 1},
                },
                "required": ["query"],
            },
        },
    },
]
