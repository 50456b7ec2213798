"""The cache on real tools, sync and async: threads and tasks at once, stores, and the telemetry of it."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, Retry, Tool, tool
from otel_tools._policies.cache.single_flight import _graph
from otel_tools.errors import ConfigurationError
from otel_tools.stores import SQLiteStore
from otel_tools.testing import FakeClock
from tests.policies.cache_helpers import TextStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


@pytest.fixture(params=["memory", "mapping", "sqlite", "store"])
def cache_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Cache]]:
    """Makes caches that keep their values in each place there is."""
    made: list[SQLiteStore] = []

    def make(ttl: float = 60, **options: Any) -> Cache:
        if request.param == "mapping":
            options["store"] = {}
        elif request.param == "sqlite":
            options["store"] = SQLiteStore(tmp_path / "cache.db")
            made.append(options["store"])
        elif request.param == "store":
            options["store"] = TextStore()
        return Cache(ttl, **options)

    yield make
    for store in made:
        store.close()


def recording_tool(both: Flavour, cache: Cache, **options: Any) -> tuple[Any, list[Any]]:
    """A tool that records its runs, and the arguments of each run."""
    ran: list[Any] = []

    def lookup(city: str, unit: str = "c") -> dict[str, Any]:
        ran.append((city, unit))
        if city == "nowhere":
            raise LookupError(city)
        return {"city": city, "runs": [len(ran)]}

    return tool(cache=cache, **options)(both.function(lookup)), ran


def test_a_value_is_found_again(seen: Captured, both: Flavour, cache_of: Callable[..., Cache]) -> None:
    lookup, ran = recording_tool(both, cache_of())

    got = [both.call(lookup, "Oslo"), both.call(lookup, "Oslo", "c"), both.call(lookup, city="Oslo")]
    got[0]["runs"].append("mine")
    got.append(both.call(lookup, unit="c", city="Oslo"))

    assert got[1:] == [{"city": "Oslo", "runs": [1]}] * 3
    assert ran == [("Oslo", "c")]
    assert lookup.tool.cache.info()[:3] == (3, 1, 1)
    results = {(span.attributes or {})["otel_tools.cache.result"] for span in seen.spans}
    assert results == {"hit", "miss"}
    assert [(span.attributes or {})["otel_tools.outcome"] for span in seen.spans] == [
        "ok",
        "cached",
        "cached",
        "cached",
    ]
    me = {"gen_ai.tool.name": "lookup"}
    assert seen.value("otel_tools.cache.requests", {**me, "otel_tools.cache.result": "hit"}) == 3
    assert seen.value("otel_tools.cache.requests", {**me, "otel_tools.cache.result": "miss"}) == 1


def test_the_function_runs_again_after_its_value_is_removed(both: Flavour, cache_of: Callable[..., Cache]) -> None:
    lookup, ran = recording_tool(both, cache_of())
    for city in ("Oslo", "Bergen"):
        both.call(lookup, city)
    lookup.tool.cache.invalidate("Oslo")
    for city in ("Oslo", "Bergen"):
        both.call(lookup, city)
    assert [city for city, _ in ran] == ["Oslo", "Bergen", "Oslo"]
    asyncio.run(lookup.tool.cache.ainvalidate(city="Oslo"))
    assert lookup.tool.cache.info().size == 1
    lookup.tool.cache.clear()
    assert asyncio.run(lookup.tool.cache.ainfo()).size == 0
    both.call(lookup, "Bergen")
    asyncio.run(lookup.tool.cache.aclear())
    assert lookup.tool.cache.info().size == 0


def test_an_error_is_raised_each_time(both: Flavour, cache_of: Callable[..., Cache]) -> None:
    lookup, ran = recording_tool(both, cache_of())
    for _ in range(2):
        with pytest.raises(LookupError):
            both.call(lookup, "nowhere")
    assert len(ran) == 2


def test_a_stale_value_is_served_when_the_call_fails(
    seen: Captured, both: Flavour, cache_of: Callable[..., Cache]
) -> None:
    fails = [False]

    def price(symbol: str) -> int:
        if fails[0]:
            raise ConnectionError
        return 7

    priced = tool(cache=cache_of(ttl=10, stale_if_error=100))(both.function(price))
    with FakeClock() as clock:
        both.call(priced, "X")
        clock.advance(20)
        fails[0] = True

        assert both.call(priced, "X") == 7
    last = dict(seen.spans[-1].attributes or {})
    assert (last["otel_tools.outcome"], last["otel_tools.cache.result"]) == ("fallback", "stale")
    assert priced.tool.stats().calls.fallback == 1


def test_the_value_of_a_retried_call_is_kept_once(both: Flavour, cache_of: Callable[..., Cache]) -> None:
    ran: list[int] = []

    def flaky(number: int) -> int:
        ran.append(number)
        if len(ran) == 1:
            raise ConnectionError
        return number

    decorated = tool(cache=cache_of(), retry=Retry(attempts=2, initial=0.001))(both.function(flaky))
    assert [both.call(decorated, 1) for _ in range(3)] == [1, 1, 1]
    assert ran == [1, 1]


def test_methods_are_cached_for_each_instance(both: Flavour) -> None:
    ran: list[str] = []

    class Station:
        def __init__(self, name: str) -> None:
            self.name = name

        @tool(cache=Cache(60))
        def sync(self, city: str) -> str:
            ran.append(self.name)
            return f"{self.name} {city}"

        @tool(cache=Cache(60))
        async def coroutine(self, city: str) -> str:
            ran.append(self.name)
            return f"{self.name} {city}"

        @classmethod
        @tool(cache=Cache(60))
        def of_class(cls, city: str) -> str:
            ran.append(cls.__name__)
            return f"{cls.__name__} {city}"

    class Other(Station): ...

    stations = [Station("one"), Station("two")]
    for _ in range(2):
        methods = [station.sync if both.name == "sync" else station.coroutine for station in stations]
        assert [both.call(method, "Oslo") for method in methods] == ["one Oslo", "two Oslo"]
        methods.clear()
        assert (Station.of_class("Oslo"), Other.of_class("Oslo")) == ("Station Oslo", "Other Oslo")
    assert sorted(ran) == ["Other", "Station", "one", "two"]

    gone = weakref.ref(stations[0])
    stations.clear()
    gc.collect()
    assert gone() is None
    assert Tool.of(Station.sync).cache.info().size == Tool.of(Station.coroutine).cache.info().size == 0


def test_a_method_in_a_store_needs_a_key_of_its_own(both: Flavour) -> None:
    class Station:
        def __init__(self, number: int) -> None:
            self.number = number

        def weather(self, city: str) -> list[Any]:
            return [self.number, city]

    with pytest.raises(ConfigurationError, match=r"tool 'weather'.*TextStore.*key="):
        tool(cache=Cache(60, store=TextStore()))(Station.weather)

    store = TextStore()
    cache = Cache(60, store=store, key=lambda arguments: (arguments["self"].number, arguments["city"]))
    weather = tool(cache=cache)(Station.weather)
    assert [weather(Station(1), "Oslo"), weather(Station(2), "Oslo"), weather(Station(1), "Oslo")] == [
        [1, "Oslo"],
        [2, "Oslo"],
        [1, "Oslo"],
    ]
    assert len(store.held) == 2


def test_a_sync_tool_that_returns_coroutines_still_returns_them() -> None:
    ran: list[int] = []

    async def work(number: int) -> int:
        ran.append(number)
        await asyncio.sleep(0)
        return number

    decorated = tool(cache=Cache(60), name="odd")(lambda number: work(number))  # noqa: PLW0108 - no coroutine function

    async def main() -> None:
        for _ in range(2):
            assert await decorated(1) == 1
        assert await asyncio.gather(*[decorated(1) for _ in range(3)]) == [1, 1, 1]

    asyncio.run(main())
    assert len(ran) == 5
    assert decorated.tool.cache.info().bypassed == 5


class TestAtOnce:
    def test_threads_run_the_function_once(self, cache_of: Callable[..., Cache]) -> None:
        ran: list[int] = []
        begun, go_on = threading.Event(), threading.Event()

        @tool(cache=cache_of())
        def slow(number: int) -> list[int]:
            ran.append(number)
            begun.set()
            go_on.wait(30)
            return [number]

        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(slow, 1)
            begun.wait(30)
            others = [pool.submit(slow, 1) for _ in range(7)]
            while sum(len(in_flight.waiters) for in_flight in list(slow.tool.cache._in_flight._by_key.values())) < 7:
                pass
            go_on.set()
            got = [future.result(30) for future in (first, *others)]
        assert got == [[1]] * 8
        assert len({id(value) for value in got}) == 8
        assert ran == [1]
        assert slow.tool.cache.info().coalesced == 7

    async def test_tasks_run_the_function_once(self, cache_of: Callable[..., Cache]) -> None:
        ran: list[int] = []

        @tool(cache=cache_of())
        async def slow(number: int) -> list[int]:
            ran.append(number)
            await asyncio.sleep(0.01)
            return [number]

        assert await asyncio.gather(*[slow(1) for _ in range(50)]) == [[1]] * 50
        assert ran == [1]

    def test_threads_and_loops_share_one_run(self, cache_of: Callable[..., Cache]) -> None:
        ran: list[int] = []

        @tool(cache=cache_of())
        async def slow(number: int) -> int:
            ran.append(number)
            await asyncio.sleep(0.05)
            return number

        start = threading.Barrier(4)

        async def several() -> list[int]:
            start.wait(30)
            return await asyncio.gather(*[slow(1) for _ in range(10)])

        with ThreadPoolExecutor(4) as pool:
            got = [future.result(30) for future in [pool.submit(asyncio.run, several()) for _ in range(4)]]
        assert got == [[1] * 10] * 4
        assert ran == [1]

    async def test_after_a_cancelled_run_a_waiter_runs(self, cache_of: Callable[..., Cache]) -> None:
        ran: list[int] = []
        begun = asyncio.Event()

        @tool(cache=cache_of())
        async def slow(number: int) -> int:
            ran.append(number)
            begun.set()
            await asyncio.sleep(30 if len(ran) == 1 else 0)
            return number

        first = asyncio.create_task(slow(1))
        await begun.wait()
        others = [asyncio.create_task(slow(1)) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [1] * 5
        assert ran == [1, 1]

    def test_a_waiter_whose_loop_is_closed_does_not_disturb_the_running_call(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        @tool(cache=Cache(60))
        async def slow(number: int) -> int:
            begun.set()
            await asyncio.to_thread(go_on.wait, 30)
            return number

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow(1), 0.01)

        with ThreadPoolExecutor(1) as pool:
            leader = pool.submit(asyncio.run, slow(1))
            begun.wait(30)
            asyncio.run(give_up())
            go_on.set()
            assert leader.result(30) == 1
        assert caplog.records == []

    @pytest.mark.parametrize("how", ["direct", "task", "thread"])
    async def test_a_tool_that_calls_itself_goes_on(self, how: str) -> None:
        depth = [0]

        @tool(cache=Cache(60))
        async def again(number: int) -> int:
            depth[0] += 1
            if depth[0] == 1:
                if how == "task":
                    return await asyncio.create_task(again(number))
                if how == "thread":
                    return await asyncio.to_thread(asyncio.run, again(number))
                return await again(number)
            return number

        assert await asyncio.wait_for(again(1), 30) == 1

    def test_two_tools_that_call_each_other_go_on(self) -> None:
        both_in = threading.Barrier(2)
        depth = threading.local()

        def call(own: str, other: str) -> str:
            if getattr(depth, "value", 0):
                return own
            depth.value = 1
            both_in.wait(30)
            return own + str(tools[other]("x"))

        tools = {
            "a": tool(name="a", cache=Cache(60))(lambda _: call("a", "b")),
            "b": tool(name="b", cache=Cache(60))(lambda _: call("b", "a")),
        }
        with ThreadPoolExecutor(2) as pool:
            got = [future.result(30) for future in [pool.submit(tools[name], "x") for name in "ab"]]
        assert len(got) == 2

    def test_a_storm_leaves_nothing_behind(  # noqa: C901 - both kinds of tool and of caller, in one storm
        self, cache_of: Callable[..., Cache]
    ) -> None:
        """Threads and tasks, failures and cancellations, few keys and a short life."""
        cache = cache_of(ttl=0.002, key=lambda arguments: arguments["number"])
        chance = random.Random(5)  # noqa: S311 - a seeded storm

        def answer(number: int) -> dict[str, int]:
            if chance.random() < 0.2:
                raise ConnectionError
            return {"number": number}

        @tool(cache=cache)
        def sync(number: int) -> dict[str, int]:
            return answer(number)

        @tool(cache=cache)
        async def coroutine(number: int) -> dict[str, int]:
            await asyncio.sleep(chance.random() * 0.002)
            return answer(number)

        async def one(number: int) -> None:
            task = asyncio.ensure_future(coroutine(number))
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() * 0.002)
                task.cancel()
            try:
                got = await task
            except (ConnectionError, asyncio.CancelledError):
                return
            assert got == {"number": number}

        async def many() -> None:
            for _ in range(8):
                await asyncio.gather(*[one(number % 3) for number in range(30)])

        def blocking() -> None:
            for turn in range(100):
                try:
                    assert sync(turn % 3) == {"number": turn % 3}
                except ConnectionError:
                    continue

        with ThreadPoolExecutor(6) as pool:
            done = [pool.submit(asyncio.run, many()) for _ in range(2)] + [pool.submit(blocking) for _ in range(4)]
            for future in done:
                future.result(120)
        assert len(cache._in_flight) == 0
        assert not _graph.busy
        info = sync.tool.cache.info()
        assert info.hits + info.misses + info.coalesced + info.bypassed == 400
        told = coroutine.tool.cache.info()
        # A task may be cancelled before it begins.
        assert told.hits + told.misses + told.coalesced + told.bypassed <= 480


@pytest.mark.parametrize("role", ["leader", "waiter"])
@pytest.mark.parametrize("steps", range(12))
async def test_a_call_that_is_cancelled_anywhere_leaves_nothing_behind(
    cache_of: Callable[..., Cache], role: str, steps: int
) -> None:
    cache = cache_of()

    @tool(cache=cache)
    async def slow(number: int) -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        return number

    tasks = [asyncio.create_task(slow(1)) for _ in range(3)]
    for _ in range(steps):
        await asyncio.sleep(0)
    tasks[0 if role == "leader" else 1].cancel()
    got = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)

    assert [value for value in got if not isinstance(value, asyncio.CancelledError)] in ([1, 1], [1, 1, 1])
    assert len(cache._in_flight) == 0
    assert await slow(1) == 1


class TestStores:
    @pytest.mark.parametrize("value", [(1,), {1: 2}, float("nan"), {"a": (1,)}, b"x", {1}], ids=repr)
    def test_a_value_that_json_would_change_is_not_kept(self, both: Flavour, value: Any) -> None:
        store = TextStore()
        decorated = tool(cache=Cache(60, store=store))(named(both, value))
        for _ in range(2):
            got = both.call(decorated)
            assert got is value
        assert store.held == {}
        assert decorated.tool.cache.info().bypassed == 2

    @pytest.mark.parametrize("operation", ["get", "set"])
    def test_calls_go_on_without_a_store_that_is_unavailable(
        self, seen: Captured, both: Flavour, operation: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = TextStore()
        lookup, ran = recording_tool(both, Cache(60, store=store))
        store.away = {operation}
        for _ in range(3):
            assert both.call(lookup, "Oslo")["city"] == "Oslo"
        assert len(ran) == 3
        assert len(caplog.records) == 1
        assert lookup.tool.cache.info().bypassed == 3
        attributes = {"gen_ai.tool.name": "lookup", "otel_tools.store.operation": operation}
        assert seen.value("otel_tools.store.errors", attributes) == 3
        store.away = set()
        assert both.call(lookup, "Oslo") == both.call(lookup, "Oslo")
        assert len(ran) == 4

    @pytest.mark.parametrize(("operation", "runs"), [("get", 0), ("set", 1)])
    def test_with_on_error_raise_the_caller_gets_the_stores_error(
        self, both: Flavour, operation: str, runs: int
    ) -> None:
        store = TextStore("raise")
        lookup, ran = recording_tool(both, Cache(60, store=store))
        store.away = {operation}
        with pytest.raises(ConnectionError, match=operation):
            both.call(lookup, "Oslo")
        assert len(ran) == runs
        store.away = {"delete"}
        with pytest.raises(ConnectionError):
            lookup.tool.cache.invalidate("Oslo")

    def test_text_of_another_writer_under_the_key_is_ignored(self, both: Flavour) -> None:
        store = TextStore()
        lookup, ran = recording_tool(both, Cache(60, store=store))
        both.call(lookup, "Oslo")
        (key,) = store.held
        assert key.startswith("cache lookup ")
        for rubbish in ("", "[]", "{}", "3", '{"at": "x", "value": 1}', '{"at": 1e400}', "nonsense"):
            store.held[key] = rubbish, 60.0
            assert both.call(lookup, "Oslo")["city"] == "Oslo"
        assert len(ran) == 8

    def test_a_tool_does_not_clear_another_whose_name_begins_like_its_own(self) -> None:
        store = TextStore()
        tools = [tool(name=name, cache=Cache(60, store=store))(lambda: 1) for name in ("get", "get:all", "get_all")]
        for each in tools:
            each()
        tools[0].tool.cache.clear()
        assert [each.tool.cache.info().size for each in tools] == [0, 1, 1]

    def test_it_survives_a_restart(self, both: Flavour, tmp_path: Path) -> None:
        ran = []
        for _ in range(2):
            with SQLiteStore(tmp_path / "cache.db") as store:
                lookup, once = recording_tool(both, Cache(60, store=store))
                assert both.call(lookup, "Oslo") == {"city": "Oslo", "runs": [1]}
                ran += once
        assert len(ran) == 1


def named(both: Flavour, value: Any) -> Callable[..., Any]:
    def constant() -> Any:
        return value

    return both.function(constant)
