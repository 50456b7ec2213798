"""``fn.tool.cache.get()`` and ``.put()``: a tool's values, read and kept without a call."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, InvalidArguments, SQLiteStore, tool
from otel_tools.testing import FakeClock
from tests.policies.cache_helpers import TextStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@pytest.fixture(params=["memory", "mapping", "sqlite", "store"])
def cache_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Cache]]:
    with SQLiteStore(tmp_path / "cache.db") as file:
        store: Any = {"mapping": {}, "sqlite": file, "store": TextStore()}.get(request.param)
        yield lambda **options: Cache(60, store=store, **options)


@pytest.fixture(params=["sync", "async"])
def by_hand(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls a method of ``tool.cache``: the blocking one, or the coroutine function."""

    def call(decorated: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(decorated.tool.cache, method)(*args, **kwargs)
        return asyncio.run(getattr(decorated.tool.cache, f"a{method}")(*args, **kwargs))

    return call


def test_what_is_put_is_what_a_call_gets_and_what_a_call_kept_is_got(
    seen: Captured, both: Flavour, cache_of: Callable[..., Cache], by_hand: Callable[..., Any]
) -> None:
    ran: list[Any] = []

    def price(symbol: str, value: str = "last", default: Any = None) -> Any:
        ran.append(symbol)
        return {"symbol": symbol, "is": [value, default]}

    decorated: Any = tool(cache=cache_of())(both.function(price))
    assert by_hand(decorated, "get", "A") is None
    mine = {"symbol": "A", "is": [1]}
    by_hand(decorated, "put", mine, "A")
    mine["is"].append(2)  # type: ignore[attr-defined] # a list
    assert both.call(decorated, "A", "last") == {"symbol": "A", "is": [1]}
    assert ran == []
    both.call(decorated, "B", value="bid", default=7)
    got = by_hand(decorated, "get", symbol="B", value="bid", default=7)
    assert got == {"symbol": "B", "is": ["bid", 7]}
    got["is"].clear()
    assert by_hand(decorated, "get", "B", "bid", 7) == {"symbol": "B", "is": ["bid", 7]}
    by_hand(decorated, "invalidate", "A")
    assert by_hand(decorated, "get", "A") is None
    # By hand is no call.
    assert decorated.tool.cache.info()[:3] == (1, 1, 1)
    assert len(seen.spans) == 2


def test_a_value_by_hand_expires_like_others(cache_of: Callable[..., Cache], by_hand: Callable[..., Any]) -> None:
    @tool(cache=cache_of(stale_if_error=600))
    def price(symbol: str) -> int:
        raise LookupError(symbol)

    with FakeClock() as clock:
        by_hand(price, "put", 5, "A")
        assert by_hand(price, "get", "A") == 5
        clock.advance(61)
        assert by_hand(price, "get", "A") is None
        assert price("A") == 5, "served stale"


def test_what_cannot_be_kept_is_refused(cache_of: Callable[..., Cache], by_hand: Callable[..., Any]) -> None:
    @tool(name="price", validate=True, cache=cache_of())
    def price(symbol: str, lots: int = 1, extra: Any = None) -> Any:
        return symbol

    with pytest.raises(TypeError, match=r"price.*lock"):
        by_hand(price, "put", threading.Lock(), "A")
    with pytest.raises(TypeError, match="identity"):
        by_hand(price, "put", 1, "A", extra=object())
    assert by_hand(price, "get", "A", extra=object()) is None
    for method, values in (("get", ()), ("put", (1,))):
        with pytest.raises(InvalidArguments, match="lots"):
            by_hand(price, method, *values, "A", lots="many")
    by_hand(price, "put", "five", "A", lots="5")
    assert price("A", 5) == by_hand(price, "get", "A", 5) == "five"


@pytest.mark.parametrize("method", ["get", "put", "invalidate"])
def test_arguments_that_the_tool_does_not_take_are_a_type_error(method: str, by_hand: Callable[..., Any]) -> None:
    @tool(cache=Cache(60))
    def price(symbol: str) -> str:
        return symbol

    with pytest.raises(TypeError, match="symbols"):
        by_hand(price, method, *(["A"] if method == "put" else []), symbols=["A"])


def test_a_value_that_is_put_while_a_call_runs_is_not_overwritten_by_it(cache_of: Callable[..., Cache]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @tool(cache=cache_of())
    def price(_symbol: str) -> str:
        begun.set()
        go_on.wait(30)
        return "old"

    results: list[str] = []
    running = threading.Thread(target=lambda: results.append(price("A")))
    running.start()
    begun.wait(30)
    price.tool.cache.put("new", "A")
    go_on.set()
    running.join()
    assert results == ["old"]
    assert price("A") == price.tool.cache.get("A") == "new"


def test_a_method_has_the_instance_first(by_hand: Callable[..., Any]) -> None:
    class Market:
        @tool(cache=Cache(60))
        def price(self, symbol: str) -> str:
            return symbol

    one, other = Market(), Market()
    by_hand(Market.price, "put", "put", one, "A")
    assert (one.price("A"), other.price("A")) == ("put", "A")
    assert by_hand(Market.price, "get", one, "A") == "put"


@pytest.mark.parametrize("on_error", ["local", "raise"])
def test_errors_of_the_store_are_raised(on_error: Any, by_hand: Callable[..., Any]) -> None:
    store = TextStore(on_error)

    @tool(cache=Cache(60, store=store))
    def price(symbol: str) -> str:
        return symbol

    store.away = {"get", "set"}
    with pytest.raises(ConnectionError, match="get"):
        by_hand(price, "get", "A")
    with pytest.raises(ConnectionError, match="set"):
        by_hand(price, "put", "x", "A")
