"""Functions under tenacity, cachetools or lru_cache as tools work as before, and retries and hits are reported."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import random
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import cachetools
import cachetools.keys
import pytest
import tenacity

from otel_tools import Cache, Retry, tool
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.scope import Scope, current_scope
from otel_tools._call.steps import Invoke
from otel_tools._policies.deadline import deadline
from otel_tools._policies.third_party import third_party_policy
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Flow
    from otel_tools.testing import Captured


class RecordingCall(Call):
    """A call that records what is reported to it."""

    __slots__ = ("answers", "retries")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args, kwargs)
        self.answers: list[str] = []
        self.retries: list[str] = []

    def cache_answered(self, result: str) -> None:
        self.answers.append(result)

    def retried(self, error_type: str) -> None:
        self.retries.append(error_type)


def inner(_call: Call) -> Flow:
    outcome: Outcome = yield Invoke()
    return outcome


def tool_info_of(function: Any) -> ToolInfo:
    return ToolInfo("work", function, asynchronous=False, generator=False, arguments=Arguments(function))


def reporting_flow(function: Any) -> Callable[[Call], Flow]:
    policy = third_party_policy(tool_info_of(function))
    assert policy is not None
    return policy(inner)


def drive(flow_of: Callable[[Call], Flow], function: Any, call: Call) -> Outcome:
    """What the sync driver does."""
    flow = flow_of(call)
    answer: Any = None
    try:
        while True:
            step = flow.send(answer)
            answer = None
            if isinstance(step, Invoke):
                token = current_scope.set(call.scope)
                try:
                    answer = Outcome(function(*call.args, **call.kwargs))
                except Exception as error:
                    answer = Outcome.of_error(error)
                finally:
                    current_scope.reset(token)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # a flow returns an Outcome


async def adrive(flow_of: Callable[[Call], Flow], function: Any, call: Call) -> Outcome:
    """What the async driver does."""
    flow = flow_of(call)
    next(flow)
    token = current_scope.set(call.scope)
    try:
        answer = Outcome(await function(*call.args, **call.kwargs))
    except Exception as error:
        answer = Outcome.of_error(error)
    finally:
        current_scope.reset(token)
    try:
        flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # a flow returns an Outcome
    raise AssertionError


def called(function: Any, *args: Any, **kwargs: Any) -> tuple[Outcome, RecordingCall]:
    call = RecordingCall(*args, **kwargs)
    return drive(reporting_flow(function), function, call), call


def answers(function: Any, *calls: tuple[Any, ...]) -> list[Any]:
    flow_of = reporting_flow(function)
    results = []
    for args in calls:
        call = RecordingCall(*args)
        outcome = drive(flow_of, function, call)
        results.append((*call.answers, outcome.result))
    return results


def plain(x: int) -> int:
    if x < 0:
        raise ValueError(x)
    return x * 2


CACHES: dict[str, Callable[[], Any]] = {
    "lru_cache": lambda: functools.lru_cache(maxsize=16)(plain),
    "cache": lambda: functools.cache(plain),
    "cached": lambda: cachetools.cached({})(plain),
    "cached, locked": lambda: cachetools.cached({}, lock=threading.RLock())(plain),
    "cached, info": lambda: cachetools.cached(cachetools.LRUCache(16), info=True)(plain),
    "cached, locked, info": lambda: cachetools.cached(cachetools.LRUCache(16), lock=threading.Lock(), info=True)(plain),
    "cached, ttl, info": lambda: cachetools.cached(cachetools.TTLCache(16, 60), info=True)(plain),
}
if "condition" in inspect.signature(cachetools.cached).parameters:  # from cachetools 6 on
    CACHES["cached, condition"] = lambda: cachetools.cached({}, condition=threading.Condition())(plain)
every_cache = pytest.mark.parametrize("make", CACHES.values(), ids=CACHES)


def test_a_function_that_is_not_decorated_needs_no_policy() -> None:
    @functools.wraps(plain)
    def wrapped(x: int) -> int:
        return plain(x)

    functions: list[Any] = [plain, wrapped, functools.partial(plain, 1), len, str.upper]
    for function in functions:
        assert third_party_policy(tool_info_of(function)) is None


def test_a_mock_is_not_decorated_and_is_left_alone() -> None:
    mock = Mock()
    assert third_party_policy(tool_info_of(mock)) is None
    assert mock.mock_calls == []


class TestCaches:
    @every_cache
    def test_hits_and_misses_are_reported_and_a_hit_is_a_cached_result(self, make: Callable[[], Any]) -> None:
        assert answers(make(), (1,), (1,), (2,), (1,)) == [
            ("miss", "ok"),
            ("hit", "cached"),
            ("miss", "ok"),
            ("hit", "cached"),
        ]

    @every_cache
    def test_values_and_errors_are_the_functions_own(self, make: Callable[[], Any]) -> None:
        function = make()
        assert called(function, 4)[0].value == 8
        assert called(function, 4)[0].value == 8
        outcome, call = called(function, -1)
        assert isinstance(outcome.error, ValueError)
        assert (call.answers, outcome.result) == (["miss"], "error")

    @every_cache
    def test_arguments_that_cannot_be_keys_are_the_functions_own_error(self, make: Callable[[], Any]) -> None:
        outcome, call = called(make(), [1])
        assert isinstance(outcome.error, TypeError)
        assert call.answers == []

    @every_cache
    def test_clearing_the_cache_between_calls_and_within_one_is_noticed(self, make: Callable[[], Any]) -> None:
        function = make()
        assert answers(function, (1,), (1,)) == [("miss", "ok"), ("hit", "cached")]
        function.cache_clear()
        assert answers(function, (1,), (1,)) == [("miss", "ok"), ("hit", "cached")]

        flow_of = reporting_flow(function)
        call = RecordingCall(2)
        flow = flow_of(call)
        next(flow)
        value = function(2)
        function.cache_clear()
        with pytest.raises(StopIteration):
            flow.send(Outcome(value))
        assert call.answers == ["miss"]
        assert answers(function, (2,), (2,)) == [("miss", "ok"), ("hit", "cached")]

    @every_cache
    def test_a_call_that_is_given_up_does_not_disturb_the_next(self, make: Callable[[], Any]) -> None:
        function = make()
        flow = reporting_flow(function)(RecordingCall(1))
        next(flow)
        flow.close()
        assert answers(function, (1,), (1,)) == [("miss", "ok"), ("hit", "cached")]

    @pytest.mark.parametrize("name", ["lru_cache", "cached, info", "cached, locked, info"])
    def test_direct_calls_of_the_function_are_not_counted_as_the_tools(self, name: str) -> None:
        function = CACHES[name]()
        assert answers(function, (1,)) == [("miss", "ok")]
        for x in range(9):
            function(x)
        assert answers(function, (1,), (100,)) == [("hit", "cached"), ("miss", "ok")]

    def test_a_recursive_function_counts_the_call_and_not_its_steps(self) -> None:
        @functools.cache
        def fib(n: int) -> int:
            return n if n < 2 else fib(n - 1) + fib(n - 2)

        assert answers(fib, (20,), (20,), (21,)) == [("miss", "ok"), ("hit", "cached"), ("miss", "ok")]

    def test_a_cached_none_is_a_hit(self) -> None:
        assert answers(functools.cache(lambda _: None), (1,), (1,))[1] == ("hit", "cached")

    def test_a_method_is_cached_by_its_instance(self) -> None:
        class Place:
            @functools.cache  # noqa: B019 - people do
            def weather(self, day: int) -> int:
                return day

            @cachetools.cached({}, key=cachetools.keys.hashkey)
            def tide(self, day: int) -> int:
                return day

        here, there = Place(), Place()
        for method in (Place.weather, Place.tide):
            results = answers(method, (here, 1), (there, 1), (here, 1))
            assert [answer for answer, _ in results] == ["miss", "miss", "hit"]
        for bound in (Place().weather, Place().tide, functools.partial(Place().tide, day=3)):
            args = () if isinstance(bound, functools.partial) else (1,)
            assert [answer for answer, _ in answers(bound, args, args)] == ["miss", "hit"]

    @pytest.mark.parametrize("info", [True, False])
    def test_a_bound_method_of_cachedmethod(self, info: bool) -> None:
        cachedmethod: Any = cachetools.cachedmethod
        if "info" not in inspect.signature(cachedmethod).parameters:
            pytest.skip("before cachetools 8, a method that is cached is a function")

        class Place:
            def __init__(self) -> None:
                self.kept: dict[Any, Any] = {}

            @cachedmethod(lambda self: self.kept, info=info)  # type: ignore[untyped-decorator] # typed by overloads
            def weather(self, day: int) -> int:
                return day

        assert [answer for answer, _ in answers(Place().weather, (1,), (1,))] == ["miss", "hit"]
        with pytest.raises(ConfigurationError, match="tool 'work': cachetools' cachedmethod must be the outermost"):
            third_party_policy(tool_info_of(Place.__dict__["weather"]))

    def test_below_another_decorator_only_counts_are_trusted(self) -> None:
        def doubled(function: Any) -> Any:
            @functools.wraps(function)
            def wrapper(x: int) -> Any:
                return function(2 * x)

            return wrapper

        assert [a for a, _ in answers(doubled(functools.cache(plain)), (1,), (1,))] == ["miss", "hit"]
        assert third_party_policy(tool_info_of(doubled(cachetools.cached({})(plain)))) is None

    def test_the_caller_of_the_tool_may_hold_the_lock_of_the_cache(self) -> None:
        lock = threading.RLock()
        function = cachetools.cached(cachetools.LRUCache(4), lock=lock, info=True)(plain)
        flow_of = reporting_flow(function)

        def work(n: int) -> None:
            for x in range(200):
                if n % 2:
                    with lock:
                        drive(flow_of, function, RecordingCall(x % 7))
                else:
                    drive(flow_of, function, RecordingCall(x % 7))

        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(work, range(4), timeout=60))) == 4, "none waits for ever"

    @pytest.mark.parametrize("name", ["lru_cache", "cached, locked, info"])
    def test_the_sums_are_the_caches_own_when_threads_call_it_together(self, name: str) -> None:
        function = CACHES[name]()
        tools = [reporting_flow(function), reporting_flow(function)]
        told: list[RecordingCall] = []

        def work(seed: int) -> None:
            chosen = random.Random(seed)  # noqa: S311 - a test
            for _ in range(500):
                call = RecordingCall(chosen.randrange(-2, 30))
                told.append(call)
                drive(tools[seed % 2], function, call)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        info = function.cache_info()
        assert all(len(call.answers) == 1 for call in told)
        assert Counter(call.answers[0] for call in told) == {"hit": info.hits, "miss": info.misses}

    def test_the_sums_are_exact_however_calls_overlap(self) -> None:
        chosen = random.Random(5)  # noqa: S311 - a test
        for _ in range(200):
            function = functools.lru_cache(maxsize=4)(plain)
            flow_of = reporting_flow(function)
            open_calls: list[tuple[Flow, RecordingCall, Outcome | None]] = []
            told: list[RecordingCall] = []
            for _ in range(60):
                action = chosen.randrange(3)
                if action == 0 or not open_calls:
                    call = RecordingCall(chosen.randrange(-1, 6))
                    flow = flow_of(call)
                    next(flow)
                    told.append(call)
                    open_calls.append((flow, call, None))
                    continue
                index = chosen.randrange(len(open_calls))
                flow, call, outcome = open_calls[index]
                if outcome is None:
                    try:
                        outcome = Outcome(function(*call.args))
                    except ValueError as error:
                        outcome = Outcome.of_error(error)
                    open_calls[index] = (flow, call, outcome)
                else:
                    del open_calls[index]
                    with pytest.raises(StopIteration):
                        flow.send(outcome)
            for flow, call, outcome in open_calls:
                with pytest.raises(StopIteration):
                    flow.send(outcome or Outcome(function(abs(call.args[0]))))
            info = function.cache_info()
            results = Counter(answer for call in told for answer in call.answers)
            assert (results["hit"], results["miss"]) == (info.hits, info.misses)

    def test_a_call_that_is_retried_reports_its_first_answer(self) -> None:
        function = functools.cache(plain)
        policy = third_party_policy(tool_info_of(function))
        assert policy is not None
        call = RecordingCall(-1)
        drive(Retry(3, on=ValueError, initial=0).policy(tool_info_of(function))(policy(inner)), function, call)
        assert call.answers == ["miss"]
        assert function.cache_info().misses == 3

    def test_a_cache_info_that_raises_breaks_nothing(self) -> None:
        class Moody:
            __hash__ = None  # type: ignore[assignment] # nor can it be a key

            def __init__(self) -> None:
                self.asked = 0

            def __call__(self, x: int) -> int:
                return x

            def cache_info(self) -> Any:
                self.asked += 1
                if self.asked > 1:
                    raise RuntimeError
                return functools.cache(plain).cache_info()

        outcome, call = called(Moody(), 1)
        assert (outcome.value, call.answers) == (1, [])

    def test_the_cache_lives_no_longer_than_its_function(self) -> None:
        function = functools.cache(lambda x: x)
        called(function, 1)
        gone = weakref.ref(function)
        del function
        gc.collect()
        assert gone() is None


class FlakyError(Exception):
    pass


def flaky(failures: int, **options: Any) -> Any:
    """A function under tenacity that fails so many times before each success."""
    left = [failures]

    retry: Any = tenacity.retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_none(), reraise=True, **options)

    @retry  # type: ignore[untyped-decorator] # the options are not known
    def fetch(x: int = 0) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise FlakyError
        left[0] = failures
        return x

    return fetch


NAME = f"{FlakyError.__module__}.FlakyError"


class TestTenacity:
    def test_each_retry_is_reported_with_the_error_that_caused_it(self) -> None:
        function = flaky(3)
        outcome, call = called(function, 7)
        assert (outcome.value, call.retries) == (7, [NAME] * 3)
        assert called(function, 7)[1].retries == [NAME] * 3

    def test_a_call_that_succeeds_reports_no_retry(self) -> None:
        assert called(flaky(0))[1].retries == []

    def test_the_last_failure_is_not_a_retry(self) -> None:
        outcome, call = called(flaky(99))
        assert isinstance(outcome.error, FlakyError)
        assert len(call.retries) == 4

    def test_a_refused_result_is_a_failure_by_result(self) -> None:
        values = iter([None, None, 3])
        function = tenacity.retry(retry=tenacity.retry_if_result(lambda value: value is None))(lambda: next(values))
        assert called(function)[1].retries == ["tool_error"] * 2

    def test_the_functions_own_before_sleep_is_called_as_before(self) -> None:
        seen: list[int] = []
        function = flaky(2, before_sleep=lambda state: seen.append(state.attempt_number))
        assert called(function)[1].retries == [NAME] * 2
        assert seen == [1, 2]

    def test_many_tools_of_one_function_report_a_retry_once(self) -> None:
        function = flaky(2)
        for _ in range(3):
            reporting_flow(function)
        assert called(function)[1].retries == [NAME] * 2

    def test_statistics_and_variants_are_as_before(self) -> None:
        function = flaky(2)
        called(function)
        assert function.statistics["attempt_number"] == 3
        assert function.retry.statistics["attempt_number"] == 3
        with pytest.raises(tenacity.RetryError):
            function.retry_with(stop=tenacity.stop_after_attempt(1), reraise=False)()

    def test_a_direct_call_of_the_function_reports_nothing(self) -> None:
        function = flaky(2)
        reporting_flow(function)
        function()

        other = RecordingCall()
        token = current_scope.set(Scope(other, None, None))
        try:
            function()
        finally:
            current_scope.reset(token)
        assert other.retries == []

    def test_the_calls_of_many_threads_are_told_apart(self) -> None:
        @tenacity.retry(stop=tenacity.stop_after_attempt(9), wait=tenacity.wait_none())
        def fetch(failures: list[int]) -> None:
            failures[0] -= 1
            if failures[0] >= 0:
                raise FlakyError

        flow_of = reporting_flow(fetch)

        def work(n: int) -> bool:
            call = RecordingCall([n % 6])
            drive(flow_of, fetch, call)
            return len(call.retries) == n % 6

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(300)))

    @pytest.mark.parametrize("hook", ["none", "sync", "async"])
    def test_async_functions(self, hook: str) -> None:
        seen: list[int] = []

        async def later(state: tenacity.RetryCallState) -> None:
            await asyncio.sleep(0)
            seen.append(state.attempt_number)

        hooks: dict[str, Any] = {
            "none": {},
            "sync": {"before_sleep": lambda state: seen.append(state.attempt_number)},
            "async": {"before_sleep": later},
        }

        retry: Any = tenacity.retry(stop=tenacity.stop_after_attempt(9), wait=tenacity.wait_none(), **hooks[hook])

        @retry  # type: ignore[untyped-decorator] # the options are not known
        async def fetch(failures: list[int]) -> int:
            await asyncio.sleep(0)
            failures[0] -= 1
            if failures[0] >= 0:
                raise FlakyError
            return 1

        flow_of = reporting_flow(fetch)

        async def main() -> list[int]:
            calls = [RecordingCall([n]) for n in range(6)]
            outcomes = await asyncio.gather(*(adrive(flow_of, fetch, call) for call in calls))
            assert all(outcome.value == 1 for outcome in outcomes)
            return [len(call.retries) for call in calls]

        assert asyncio.run(main()) == [0, 1, 2, 3, 4, 5]
        assert len(seen) == (0 if hook == "none" else 15)

    def test_the_deadline_of_the_call_stays_what_it_is(self) -> None:
        function = flaky(1)
        flow_of = deadline(50.0)(Retry(deadline=50.0).policy(tool_info_of(function))(reporting_flow(function)))
        call = RecordingCall()
        flow = flow_of(call)
        next(flow)
        left = call.left()
        assert left is not None
        assert 40.0 < left <= 50.0
        flow.close()
        assert call.scope is None

    def test_calls_that_have_ended_are_not_kept(self) -> None:
        function = flaky(1)
        flow_of = reporting_flow(function)
        drive(flow_of, function, RecordingCall())
        flow = flow_of(RecordingCall())
        next(flow)
        assert len(function.retry.before_sleep.calls) == 1
        flow.close()
        assert not function.retry.before_sleep.calls

    def test_a_copy_of_the_retry_has_its_own_before_sleep_again(self) -> None:
        function = flaky(1, before_sleep=print)
        reporting_flow(function)
        assert copy.deepcopy(function.retry).before_sleep is print
        assert pickle.loads(pickle.dumps(function.retry.before_sleep)) is print  # noqa: S301 - just made


class TestStacked:
    def test_both_are_reported_in_either_order(self) -> None:
        over_cache = tenacity.retry(wait=tenacity.wait_none())(functools.cache(plain))
        assert [answer for answer, _ in answers(over_cache, (1,), (1,))] == ["miss", "hit"]

        function = functools.cache(flaky(2))
        outcome, call = called(function, 3)
        assert (outcome.value, call.answers, call.retries) == (3, ["miss"], [NAME] * 2)
        outcome, call = called(function, 3)
        assert (outcome.result, call.answers, call.retries) == ("cached", ["hit"], [])

    @pytest.mark.parametrize("info", [True, False])
    def test_tenacity_over_cachetools_and_under_it(self, info: bool) -> None:
        cached: Any = cachetools.cached
        over = tenacity.retry(wait=tenacity.wait_none())(cached({}, info=info)(plain))
        assert [answer for answer, _ in answers(over, (1,), (1,))] == ["miss", "hit"]
        under = cached({}, info=info)(flaky(1))
        _, call = called(under, 1)
        assert (call.answers, call.retries) == (["miss"], [NAME])

    def test_two_retries_over_each_other_are_both_reported(self) -> None:
        outer = tenacity.retry(wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(2))(flaky(6))
        _, call = called(outer)
        assert len(call.retries) == 6


def test_a_call_has_one_cache_result_even_with_two_caches(seen: Captured) -> None:
    decorated = tool(name="twice", cache=Cache(ttl=60))(functools.lru_cache(lambda number: number))

    assert [decorated(1), decorated(1)] == [1, 1]

    counts = decorated.tool.stats().cache
    assert (counts.hit, counts.miss) == (1, 1)
