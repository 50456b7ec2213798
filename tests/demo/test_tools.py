"""The demo's tools, on their data."""

import inspect
import sqlite3
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from otel_tools._demo import tools as application
from otel_tools._demo.tools import available_functions, get_stock_price, get_weather, search_web, tools


def forget_index() -> None:
    """Close the index; the next search makes a new one. Python 3.13 warns of a connection that is left open."""
    if application.index.cache_info().currsize:
        _, pages = application.index()
        pages.close()
    application.index.cache_clear()


@pytest.fixture
def fresh_index() -> Iterator[None]:
    forget_index()
    yield
    forget_index()


def test_the_weather_of_a_day() -> None:
    assert get_weather("Seattle, WA", "2015-07-04") == {
        "location": "Seattle",
        "date": "2015-07-04",
        "weather": "sun",
        "low": 15.0,
        "high": 33.3,
        "unit": "celsius",
        "precipitation_mm": 0.0,
        "wind_m_per_s": 2.9,
    }
    assert get_weather("seattle", "2015-07-04", unit="fahrenheit")["high"] == 91.9


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("Paris", "2015-07-04"), LookupError, "no weather station in 'Paris'; there is one in Seattle"),
        (("Seattle", "2016-07-04"), LookupError, "go from 2014-01-01 to 2015-12-31"),
        (("Seattle", "tomorrow"), ValueError, "tomorrow"),
        (
            ("Seattle", "2015-07-04", "kelvin"),
            ValueError,
            "unit is 'kelvin'; it can be celsius or fahrenheit",
        ),
    ],
)
def test_missing_weather_is_an_error(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        get_weather(*arguments)


def test_the_price_of_a_share() -> None:
    last = {"symbol": "GOOG", "month": "2010-03", "price": 560.19, "currency": "USD"}
    assert get_stock_price("GOOG") == last
    assert get_stock_price("GOOG", "2010-03-17") == last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("GOOGLE",), "no prices for 'GOOGLE'; known symbols: AAPL, AMZN, GOOG, IBM, MSFT"),
        (("GOOG", "2015-07-04"), "no price of GOOG in 2015-07; the records go from 2006-01-01 to 2010-03-01"),
    ],
)
def test_a_missing_price_is_an_error(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(LookupError, match=message):
        get_stock_price(*arguments)


@pytest.mark.usefixtures("fresh_index")
def test_search_uses_full_text_search() -> None:
    found = search_web("with statement context manager", limit=2)
    assert found["engine"] == "fts5"
    assert len(found["results"]) == 2
    assert "ontext" in found["results"][0]["title"]
    assert search_web("zyzzogeton")["results"] == []


@pytest.mark.parametrize("query", ['"', "f-string AND (", "it's OR NOT *", "NEAR(a b"])
def test_search_treats_operators_in_a_query_as_words(query: str) -> None:
    search_web(f"{query} loop")


def test_a_query_without_words_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"nothing to search for in '\?!'"):
        search_web("?!")


def test_search_without_fts5_falls_back_to_like(fresh_index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Without(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "fts5" in sql:
                raise sqlite3.OperationalError("no such module: fts5")
            return super().execute(sql, *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=Without, **kwargs))
    found = search_web("context manager with statement", limit=2)
    assert found["engine"] == "like"
    assert len(found["results"]) == 2
    assert "ontext" in found["results"][0]["text"] + found["results"][0]["title"]


def test_schemas_match_the_functions() -> None:
    schemas = {tool["function"]["name"]: tool["function"] for tool in tools}
    assert schemas.keys() == available_functions.keys()
    types = {str: "string", int: "integer", float: "number", bool: "boolean"}
    for name, function in available_functions.items():
        parameters = schemas[name]["parameters"]
        signature = inspect.signature(function).parameters
        hints = get_type_hints(function)
        assert list(parameters["properties"]) == list(signature)
        assert parameters["required"] == [
            key for key, each in signature.items() if each.default is inspect.Parameter.empty
        ]
        for key, schema in parameters["properties"].items():
            if get_origin(hints[key]) is Literal:
                assert schema["enum"] == list(get_args(hints[key]))
            else:
                wanted = [each for each in get_args(hints[key]) or (hints[key],) if each is not type(None)]
                assert [schema["type"]] == [types[each] for each in wanted]
