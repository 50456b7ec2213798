"""The cache in memory: hits, expired and stale values, bypasses, and values that are never shared by accident."""

from __future__ import annotations

import gc
import logging
import math
import threading
import tracemalloc
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import cachetools
import pytest

from otel_tools import Cache
from otel_tools._call.clock import clock
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke
from otel_tools.errors import ConfigurationError
from tests.policies.cache_helpers import RecordingCall, TextStore, inner, run_to_end, tool_info_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Next


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test changes it."""
    time = [100.0]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    return time


def weather(city: Any, unit: Any = "c", *more: Any, **options: Any) -> None:
    """Stands for the tool."""


def flow_of(cache: Cache, function: Callable[..., Any] = weather, name: str = "weather") -> Next:
    return cache.policy(tool_info_of(function, name=name))(inner)


class DrivenCall:
    """One call, from its arguments to its end: what it got, and whether the function ran."""

    def __init__(self, flow: Next, *args: Any, gives: Any = None, **kwargs: Any) -> None:
        self.call = RecordingCall(*args, **kwargs)
        outcome = gives if isinstance(gives, Outcome) else Outcome(gives)
        running = flow(self.call)
        try:
            step = next(running)
        except StopIteration as stop:
            self.ran, self.outcome = False, stop.value
        else:
            assert isinstance(step, Invoke)
            self.ran, self.outcome = True, run_to_end(running, outcome)
        (self.answer,) = self.call.answers


def failure() -> Outcome:
    return Outcome.of_error(ConnectionError("away"))


def test_a_value_is_kept_for_its_time_to_live_and_no_longer(now: list[float]) -> None:
    flow = flow_of(Cache(ttl=10))

    assert DrivenCall(flow, "Oslo", gives=1).answer == "miss"
    now[0] += 9.9
    found = DrivenCall(flow, "Oslo")
    assert (found.answer, found.ran, found.outcome.value, found.outcome.result) == ("hit", False, 1, "cached")
    now[0] += 0.1
    assert DrivenCall(flow, "Oslo", gives=2).answer == "miss"
    assert DrivenCall(flow, "Oslo").outcome.value == 2


def test_the_same_call_written_in_different_ways_is_one_entry() -> None:
    flow = flow_of(Cache(ttl=10))
    DrivenCall(flow, "Oslo", gives=1)

    for args, kwargs in ((("Oslo", "c"), {}), ((), {"city": "Oslo"}), ((), {"unit": "c", "city": "Oslo"})):
        assert DrivenCall(flow, *args, **kwargs).answer == "hit"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(("Bergen",), {}), (("Oslo", "f"), {}), (("Oslo", "c", 1), {}), (("Oslo",), {"days": 1}), ((["Oslo"],), {})],
)
def test_other_arguments_are_another_entry(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    flow = flow_of(Cache(ttl=10))
    DrivenCall(flow, "Oslo", gives=1)

    assert DrivenCall(flow, *args, **kwargs).answer == "miss"
    assert DrivenCall(flow, *args, **kwargs).answer == "hit"


def test_one_and_true_and_one_point_zero_are_three() -> None:
    flow = flow_of(Cache(ttl=10))
    for value in (1, 1.0, True):
        assert DrivenCall(flow, value, gives=value).ran
    for value in (1, 1.0, True):
        assert DrivenCall(flow, value).outcome.value is value


def test_arguments_that_do_not_fit_are_left_to_the_function() -> None:
    flow = flow_of(Cache(ttl=10))
    asked = DrivenCall(flow, gives=Outcome.of_error(TypeError("missing")))

    assert (asked.answer, asked.ran) == ("bypass", True)
    assert isinstance(asked.outcome.error, TypeError)


def test_a_call_without_a_key_bypasses_the_cache() -> None:
    cache = Cache(ttl=10)
    flow = flow_of(cache)
    for _ in range(2):
        assert DrivenCall(flow, object(), gives=1).answer == "bypass"
    assert cache.handle(tool_info_of(weather, name="weather")).info().bypassed == 2


def test_a_caller_that_changes_its_value_changes_no_other_callers() -> None:
    flow = flow_of(Cache(ttl=10))
    for _ in range(3):
        got = DrivenCall(flow, "Oslo", gives={"days": [1]}).outcome.value
        assert got == {"days": [1]}
        got["days"].append(2)


def test_a_value_that_cannot_be_copied_is_not_kept() -> None:
    flow = flow_of(Cache(ttl=10))
    lock = threading.Lock()
    for _ in range(2):
        asked = DrivenCall(flow, "Oslo", gives=lock)
        assert (asked.answer, asked.ran) == ("bypass", True)
        assert asked.outcome.value is lock


def test_a_value_that_can_be_copied_only_once_is_computed_again() -> None:
    class Once:
        copies = 0

        def __deepcopy__(self, memo: object) -> Once:
            if self.copies:
                raise RuntimeError
            copied = Once()
            copied.copies = 1
            return copied

    flow = flow_of(Cache(ttl=10))
    for _ in range(2):
        assert DrivenCall(flow, "Oslo", gives=Once()).ran


@pytest.mark.parametrize("result", ["error", "invalid", "cancelled"])
def test_a_failure_is_not_kept(result: Any) -> None:
    flow = flow_of(Cache(ttl=10))
    assert DrivenCall(flow, "Oslo", gives=Outcome(None, ValueError(), result)).answer == "miss"
    assert DrivenCall(flow, "Oslo", gives=Outcome(1, None, result)).ran
    assert DrivenCall(flow, "Oslo", gives=1).ran


def test_none_is_a_value_like_any_other() -> None:
    flow = flow_of(Cache(ttl=10))
    DrivenCall(flow, "Oslo", gives=None)
    assert DrivenCall(flow, "Oslo").answer == "hit"


class TestStaleIfError:
    def test_an_expired_value_is_served_when_the_call_fails(self, now: list[float]) -> None:
        flow = flow_of(Cache(ttl=10, stale_if_error=5))
        DrivenCall(flow, "Oslo", gives=[1])
        now[0] += 12

        asked = DrivenCall(flow, "Oslo", gives=failure())

        assert (asked.answer, asked.outcome.value, asked.outcome.error, asked.outcome.result) == (
            "stale",
            [1],
            None,
            "fallback",
        )
        (recovery,) = asked.call.recoveries
        assert isinstance(recovery.error, ConnectionError)

    def test_it_is_served_again_while_the_failure_lasts_but_not_for_ever(self, now: list[float]) -> None:
        flow = flow_of(Cache(ttl=10, stale_if_error=5))
        DrivenCall(flow, "Oslo", gives=1)
        for late in (11, 13, 14.9):
            now[0] = 100 + late
            assert DrivenCall(flow, "Oslo", gives=failure()).answer == "stale"
        now[0] = 115.1
        assert DrivenCall(flow, "Oslo", gives=failure()).outcome.result == "error"

    def test_a_call_that_works_replaces_it(self, now: list[float]) -> None:
        flow = flow_of(Cache(ttl=10, stale_if_error=5))
        DrivenCall(flow, "Oslo", gives=1)
        now[0] += 12
        assert DrivenCall(flow, "Oslo", gives=2).answer == "miss"
        assert DrivenCall(flow, "Oslo").outcome.value == 2

    def test_without_stale_if_error_the_caller_gets_the_error(self, now: list[float]) -> None:
        flow = flow_of(Cache(ttl=10))
        DrivenCall(flow, "Oslo", gives=1)
        now[0] += 10
        asked = DrivenCall(flow, "Oslo", gives=failure())
        assert (asked.answer, asked.outcome.result) == ("miss", "error")
        assert asked.call.recoveries == []

    def test_a_call_that_is_cancelled_is_reported_as_a_miss(self, now: list[float]) -> None:
        flow = flow_of(Cache(ttl=10, stale_if_error=5))
        DrivenCall(flow, "Oslo", gives=1)
        now[0] += 12
        call = RecordingCall("Oslo")
        running = flow(call)
        next(running)
        running.close()
        assert call.answers == ["miss"]


def test_cache_if_decides_which_values_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    flow = flow_of(Cache(ttl=10, cache_if=lambda value: value["found"]))
    assert DrivenCall(flow, "Oslo", gives={"found": 0}).answer == "miss"
    assert DrivenCall(flow, "Oslo", gives={"found": 1}).ran
    assert not DrivenCall(flow, "Oslo").ran
    assert caplog.records == []
    assert DrivenCall(flow, "Bergen", gives=None).answer == "miss"
    assert DrivenCall(flow, "Bergen", gives=None).ran
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_key_decides_which_calls_are_the_same(caplog: pytest.LogCaptureFixture) -> None:
    flow = flow_of(Cache(ttl=10, key=lambda arguments: [arguments["city"].lower(), arguments["unit"]]))
    DrivenCall(flow, "Oslo", gives=1)
    assert DrivenCall(flow, "OSLO", "c").answer == "hit"
    assert DrivenCall(flow, "Oslo", "f").answer == "miss"
    assert DrivenCall(flow, 3, gives=1).answer == "bypass"
    assert "key of the cache of tool 'weather' raised" in caplog.text


def test_the_least_recently_used_entry_is_removed_first() -> None:
    cache = Cache(ttl=10, maxsize=2)
    flow = flow_of(cache)
    for city in ("Oslo", "Bergen", "Oslo", "Molde"):
        DrivenCall(flow, city, gives=1)

    assert not DrivenCall(flow, "Oslo").ran
    assert DrivenCall(flow, "Bergen", gives=1).ran
    info = cache.handle(tool_info_of(weather, name="weather")).info()
    assert (info.size, info.maxsize) == (2, 2)


class TestHandle:
    def test_info_counts_the_calls_of_its_tool(self, now: list[float]) -> None:
        cache = Cache(ttl=10, stale_if_error=10)
        flow = flow_of(cache)
        for gives in (1, 1, 1):
            DrivenCall(flow, "Oslo", gives=gives)
        DrivenCall(flow, object())
        now[0] += 15
        DrivenCall(flow, "Oslo", gives=failure())

        assert cache.handle(tool_info_of(weather, name="weather")).info() == (2, 1, 1, 1024, 0, 1, 1)

    def test_clear_removes_the_entries_of_its_tool_alone(self) -> None:
        cache = Cache(ttl=10)
        first, second = flow_of(cache, name="first"), flow_of(cache, name="second")
        DrivenCall(first, "Oslo", gives=1)
        assert DrivenCall(second, "Oslo", gives=2).ran

        cache.handle(tool_info_of(weather, name="first")).clear()

        assert DrivenCall(first, "Oslo", gives=1).ran
        assert not DrivenCall(second, "Oslo").ran

    def test_clearing_the_cache_removes_all_entries(self) -> None:
        cache = Cache(ttl=10)
        flows = [flow_of(cache, name=name) for name in ("first", "second")]
        for flow in flows:
            DrivenCall(flow, "Oslo", gives=1)
        cache.clear()
        assert all(DrivenCall(flow, "Oslo", gives=1).ran for flow in flows)

    def test_invalidate_removes_one_call_however_it_is_written(self) -> None:
        cache = Cache(ttl=10)
        flow, handle = flow_of(cache), cache.handle(tool_info_of(weather, name="weather"))
        for city in ("Oslo", "Bergen"):
            DrivenCall(flow, city, gives=1)

        handle.invalidate(unit="c", city="Oslo")
        handle.invalidate("Molde")
        handle.invalidate(object())

        assert DrivenCall(flow, "Oslo", gives=1).ran
        assert not DrivenCall(flow, "Bergen").ran
        with pytest.raises(TypeError):
            handle.invalidate()

    @pytest.mark.parametrize("forget", [lambda handle: handle.clear(), lambda handle: handle.invalidate("Oslo")])
    def test_a_value_that_is_invalidated_while_it_is_computed_is_not_kept(self, forget: Callable[[Any], None]) -> None:
        cache = Cache(ttl=10)
        flow = flow_of(cache)
        running = flow(RecordingCall("Oslo"))
        next(running)
        forget(cache.handle(tool_info_of(weather, name="weather")))

        assert run_to_end(running, Outcome("old")).value == "old"
        assert DrivenCall(flow, "Oslo", gives="new").outcome.value == "new"
        assert DrivenCall(flow, "Oslo").outcome.value == "new"

    async def test_the_awaiting_forms_do_the_same(self) -> None:
        cache = Cache(ttl=10)
        flow, handle = flow_of(cache), cache.handle(tool_info_of(weather, name="weather"))
        DrivenCall(flow, "Oslo", gives=1)
        assert (await handle.ainfo()).size == 1
        await handle.ainvalidate("Oslo")
        assert DrivenCall(flow, "Oslo", gives=1).ran
        await handle.aclear()
        assert DrivenCall(flow, "Oslo", gives=1).ran
        await cache.aclear()
        assert (await handle.ainfo()).size == 0


def test_two_functions_of_one_name_do_not_get_each_others_values() -> None:
    cache = Cache(ttl=10)

    def make(number: int) -> Callable[[], int]:
        return lambda: number

    flows = [flow_of(cache, make(number)) for number in range(2)]
    assert [DrivenCall(flow, gives=number).outcome.value for number, flow in enumerate(flows)] == [0, 1]
    assert [DrivenCall(flow).outcome.value for flow in flows] == [0, 1]


def test_the_same_function_decorated_again_finds_its_values() -> None:
    cache = Cache(ttl=10)
    flow = flow_of(cache)
    DrivenCall(flow, "Oslo", gives=1)
    assert not DrivenCall(flow_of(cache), "Oslo").ran


class Station:
    def __init__(self, name: str) -> None:
        self.name = name

    def weather(self, city: str) -> None:
        """Stands for a method that is a tool."""

    __hash__ = None  # type: ignore[assignment] # of no interest here

    def __eq__(self, other: object) -> bool:
        return True


class TestMethods:
    def test_each_instance_has_its_own(self) -> None:
        flow = flow_of(Cache(ttl=10), Station.weather)
        one, two = Station("one"), Station("two")
        assert DrivenCall(flow, one, "Oslo", gives=1).ran
        assert DrivenCall(flow, two, "Oslo", gives=2).ran
        assert DrivenCall(flow, one, "Oslo").outcome.value == 1
        assert DrivenCall(flow, two, city="Oslo").outcome.value == 2

    def test_an_instance_is_not_kept_alive_and_its_entries_go_with_it(self) -> None:
        cache = Cache(ttl=10)
        flow, handle = flow_of(cache, Station.weather), cache.handle(tool_info_of(Station.weather, name="weather"))
        one, two = Station("one"), Station("two")
        for instance in (one, two):
            for city in ("Oslo", "Bergen"):
                DrivenCall(flow, instance, city, gives=[city])
        gone = weakref.ref(one)
        del one, instance
        gc.collect()

        assert gone() is None
        assert handle.info().size == 2
        assert len(cache._memory._instances) == 1
        assert not DrivenCall(flow, two, "Oslo").ran

    def test_an_instance_that_gets_the_id_of_another_does_not_get_its_values(self) -> None:
        cache = Cache(ttl=10)
        flow = flow_of(cache, Station.weather)

        def ask(number: int) -> int:
            station = Station(str(number))
            assert DrivenCall(flow, station, "Oslo", gives=number).outcome.value == number
            return id(station)

        assert len({ask(number) for number in range(200)}) < 200
        assert cache._memory._instances == {}

    def test_an_instance_without_weak_references_is_told_apart_by_its_value_or_not_at_all(self) -> None:
        class Point(NamedTuple):
            x: int

            def weather(self) -> None: ...

        class Slotted:
            __slots__ = ("x",)

        flow = flow_of(Cache(ttl=10), Point.weather)
        assert DrivenCall(flow, Point(1), gives=1).ran
        assert not DrivenCall(flow, Point(1)).ran
        assert DrivenCall(flow, Point(2), gives=2).ran
        assert DrivenCall(flow, Slotted(), gives=1).answer == "bypass"

    def test_with_key_the_key_tells_instances_apart(self) -> None:
        flow = flow_of(Cache(ttl=10, key=lambda arguments: arguments["self"].name), Station.weather)
        DrivenCall(flow, Station("a"), "Oslo", gives=1)
        assert not DrivenCall(flow, Station("a"), "Oslo").ran
        assert DrivenCall(flow, Station("b"), "Oslo").ran


class BrokenMapping(dict[Any, Any]):
    def __init__(self, *operations: str) -> None:
        self.operations = operations

    def get(self, key: Any, default: Any = None) -> Any:
        if "get" in self.operations:
            raise OSError
        return super().get(key, default)

    def __setitem__(self, key: Any, value: Any) -> None:
        if "set" in self.operations:
            raise OSError
        super().__setitem__(key, value)


class TestMappings:
    @pytest.mark.parametrize("make", [dict, lambda: cachetools.LFUCache(10), lambda: cachetools.TTLCache(10, 60)])
    def test_any_mapping_can_be_the_store(self, make: Callable[[], Any], now: list[float]) -> None:
        mapping = make()
        cache = Cache(ttl=10, store=mapping)
        flow = flow_of(cache)
        DrivenCall(flow, "Oslo", gives=[1])
        assert DrivenCall(flow, "Oslo").outcome.value == [1]
        ((key, entry),) = mapping.items()
        assert entry.value == [1]
        assert "weather" in repr(key)
        now[0] += 10
        assert DrivenCall(flow, "Oslo", gives=[2]).ran
        info = cache.handle(tool_info_of(weather, name="weather")).info()
        assert (info.size, info.maxsize) == (1, getattr(mapping, "maxsize", None))

    def test_other_items_of_the_mapping_are_left_alone(self) -> None:
        mapping: dict[Any, Any] = {"mine": 1, (): 2}
        cache = Cache(ttl=10, store=mapping)
        DrivenCall(flow_of(cache), "Oslo", gives=1)
        cache.clear()
        assert mapping == {"mine": 1, (): 2}

    @pytest.mark.parametrize("operations", [("get",), ("set",), ("get", "set")])
    def test_calls_go_on_without_a_mapping_that_raises(
        self, operations: tuple[str, ...], caplog: pytest.LogCaptureFixture
    ) -> None:
        flow = flow_of(Cache(ttl=10, store=BrokenMapping(*operations)))
        for _ in range(2):
            asked = DrivenCall(flow, "Oslo", gives=1)
            assert (asked.answer, asked.ran, asked.outcome.value) == ("bypass", True, 1)
            assert asked.call.failures == [operations[0]]
        assert len(caplog.records) == 1

    def test_a_value_that_is_too_large_for_the_mapping_is_not_kept(self, caplog: pytest.LogCaptureFixture) -> None:
        flow = flow_of(Cache(ttl=10, store=cachetools.LRUCache(10, getsizeof=lambda entry: len(entry.value))))
        assert DrivenCall(flow, "Oslo", gives="a" * 11).answer == "bypass"
        assert DrivenCall(flow, "Bergen", gives="a" * 9).answer == "miss"
        assert caplog.records == []


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"ttl": 0}, "ttl=0"),
        ({"ttl": -1}, "ttl=-1"),
        ({"ttl": math.nan}, "ttl=nan"),
        ({"ttl": True}, "ttl=True"),
        ({"ttl": "5"}, "ttl='5'"),
        ({"ttl": None}, "ttl=None"),
        ({"ttl": 1, "maxsize": 0}, "maxsize=0"),
        ({"ttl": 1, "maxsize": 1.5}, "maxsize=1.5"),
        ({"ttl": 1, "maxsize": True}, "maxsize=True"),
        ({"ttl": 1, "stale_if_error": -1}, "stale_if_error=-1"),
        ({"ttl": 1, "stale_if_error": math.nan}, "stale_if_error=nan"),
        ({"ttl": 1, "key": 3}, "key=3"),
        ({"ttl": 1, "cache_if": "yes"}, "cache_if='yes'"),
        ({"ttl": 1, "store": []}, "store=\\[\\]"),
        ({"ttl": 1, "store": dict}, "store=<class 'dict'>"),
        ({"ttl": 1, "store": TextStore}, "store=<class"),
        ({"ttl": math.inf, "store": TextStore()}, "ttl=inf"),
        ({"ttl": 1, "stale_if_error": math.inf, "store": TextStore()}, "stale_if_error=inf"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        Cache(**options)


def test_a_coroutine_function_is_no_key() -> None:
    async def key(arguments: dict[str, Any]) -> Any: ...

    with pytest.raises(ConfigurationError, match="key="):
        Cache(ttl=1, key=key)


def test_a_value_in_memory_may_be_kept_for_ever(now: list[float]) -> None:
    flow = flow_of(Cache(ttl=math.inf, stale_if_error=math.inf))
    DrivenCall(flow, "Oslo", gives=1)
    now[0] += 1e9
    assert not DrivenCall(flow, "Oslo").ran


def test_a_generator_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="tool 'lister'"):
        Cache(ttl=1).policy(tool_info_of(weather, generator=True, name="lister"))


def test_a_cache_that_is_called_from_inside_itself_goes_on(now: list[float]) -> None:
    """The destructor of an evicted value calls the tool, in the middle of the eviction."""
    flow = flow_of(Cache(ttl=10, maxsize=1))
    answers: list[str] = []

    class Loud:
        def __deepcopy__(self, memo: object) -> Loud:
            return self

        def __del__(self) -> None:
            answers.append(DrivenCall(flow, "Molde", gives=1).answer)

    DrivenCall(flow, "Oslo", gives=Loud())
    DrivenCall(flow, "Bergen", gives=2)
    gc.collect()
    assert len(answers) == 1
    assert DrivenCall(flow, "Trondheim", gives=2).answer == "miss"


def test_distinct_arguments_leave_nothing_behind() -> None:
    cache = Cache(ttl=10, maxsize=100)
    flow, station_flow = flow_of(cache), flow_of(cache, Station.weather, "station")
    station = Station("one")

    def ask(numbers: range) -> None:
        for number in numbers:
            DrivenCall(flow, str(number), gives={"a": number})
            DrivenCall(station_flow, station, str(number), gives={"a": number})
            DrivenCall(station_flow, Station("two"), str(number), gives={"a": number})

    ask(range(500))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    ask(range(500, 4_000))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    assert len(cache._memory._mapping) <= 100
    assert len(cache._in_flight) == 0
