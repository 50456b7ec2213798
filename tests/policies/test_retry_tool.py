"""`Retry`, and functions with retries or caches of their own, through `tool`: what the caller gets and what is sent."""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import cachetools
import pytest
import tenacity

from otel_tools import Retry, ToolTimeout, remaining, tool
from otel_tools._telemetry import names
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def failing(both: Flavour, *errors: BaseException) -> Any:
    """A function that raises each of these, and then returns its argument."""
    left = list(errors)

    def work(value: Any = None) -> Any:
        if left:
            raise left.pop(0)
        return value

    return both.function(work)


def retries(seen: Captured, name: str, error_type: str) -> Any:
    return seen.value(names.RETRIES.name, {names.TOOL_NAME: name, names.ERROR_TYPE: error_type})


def test_a_call_that_is_retried_is_one_call_with_its_attempts(seen: Captured, both: Flavour) -> None:
    decorated = tool(name="fetched", retry=Retry())(failing(both, ConnectionError("a"), TimeoutError("b")))
    with FakeClock():
        assert both.call(decorated, 5) == 5

    attributes = dict(seen.span("fetched").attributes or {})
    assert attributes[names.RETRY_COUNT] == 2
    assert attributes[names.OUTCOME] == "ok"
    attempts = [span for span in seen.spans if span.name == "attempt fetched"]
    assert len(attempts) == 3
    assert retries(seen, "fetched", "ConnectionError") == 1
    assert retries(seen, "fetched", "TimeoutError") == 1
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "fetched", names.OUTCOME: "ok"}) == 1


def test_the_last_error_reaches_the_caller_as_itself(both: Flavour) -> None:
    errors = [ConnectionError(n) for n in range(3)]
    decorated = tool(name="lost", retry=Retry(jitter=None))(failing(both, *errors))
    with FakeClock(), pytest.raises(ConnectionError) as caught:
        both.call(decorated)
    assert caught.value is errors[-1]
    assert caught.value.__notes__ == ["otel_tools: 3 attempts in 1.50 s"]
    assert caught.value.__cause__ is None


async def test_a_timeout_is_retried_until_the_deadline() -> None:
    left: list[float | None] = []
    policy = Retry(100, initial=1.0, multiplier=1.0, jitter=None, deadline=10.0)

    @tool(name="slow", timeout=3, retry=policy)
    async def sleep() -> None:
        left.append(remaining())
        await clock.asleep(100)

    with FakeClock() as clock, pytest.raises(ToolTimeout):
        await sleep()
    assert left == [3.0, 3.0, 2.0]


def test_a_fallback_after_the_deadline_has_none(both: Flavour) -> None:
    left: list[float | None] = []

    def instead(value: Any = None) -> str:
        left.append(remaining())
        return "instead"

    policy = Retry(100, deadline=5.0)
    decorated = tool(name="replaced", retry=policy, fallback=instead)(failing(both, *[ConnectionError()] * 50))
    with FakeClock():
        assert both.call(decorated) == "instead"
    assert left == [None]


def test_a_result_can_be_retried(seen: Captured, both: Flavour) -> None:
    values = iter([{"error": "busy"}, {"ok": 1}])
    decorated = tool(
        name="answered",
        retry=Retry(retry=tenacity.retry_if_result(lambda result: "error" in result)),
        failed_if=lambda result: "error" in result,
    )(both.function(lambda: next(values)))
    with FakeClock():
        assert both.call(decorated) == {"ok": 1}
    assert retries(seen, "answered", "tool_error") == 1
    assert dict(seen.span("answered").attributes or {})[names.OUTCOME] == "ok"


def test_options_that_are_shared_keep_no_state(both: Flavour) -> None:
    policy = Retry(3)
    tools = [tool(name=f"t{n}", retry=policy)(failing(both, ConnectionError(), ConnectionError())) for n in range(3)]
    with FakeClock():
        assert [both.call(one, n) for n, one in enumerate(tools)] == [0, 1, 2]


def test_a_tenacity_function_reports_its_retries(seen: Captured, both: Flavour) -> None:
    retry: Any = tenacity.retry(wait=tenacity.wait_none())
    decorated = tool(name="tenacious")(retry(failing(both, ConnectionError(), KeyError())))
    assert both.call(decorated, 3) == 3
    assert dict(seen.span("tenacious").attributes or {})[names.RETRY_COUNT] == 2
    assert retries(seen, "tenacious", "ConnectionError") == 1
    assert retries(seen, "tenacious", "KeyError") == 1
    assert decorated.statistics["attempt_number"] == 3


@pytest.mark.parametrize("timeout", [None, 30])
@pytest.mark.parametrize("cached", [functools.cache, cachetools.cached({}, info=True), cachetools.cached({})])
def test_a_cached_function_reports_its_hits(seen: Captured, cached: Any, timeout: float | None) -> None:
    name = f"cached-{timeout}"
    function = cached(lambda value: (value, name))
    decorated = tool(name=name, timeout=timeout)(function)
    for value in (1, 1, 2, 1):
        decorated(value)

    def requests(result: str) -> Any:
        return seen.value(names.CACHE_REQUESTS.name, {names.TOOL_NAME: name, names.CACHE_RESULT: result})

    assert (requests("hit"), requests("miss")) == (2, 2)
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: name, names.OUTCOME: "cached"}) == 2
    function.cache_clear()


def test_a_cached_function_keeps_its_cache_methods() -> None:
    for cached in (functools.cache, cachetools.cached({}, info=True)):
        decorated: Any = tool(name="asked")(cached(lambda value: value))
        decorated(1)
        decorated(1)
        assert (decorated.cache_info().hits, decorated.cache_info().misses) == (1, 1)
        decorated.cache_clear()
        assert decorated.cache_info().currsize == 0


def test_a_retried_function_keeps_its_retry_attributes(both: Flavour) -> None:
    retry: Any = tenacity.retry(stop=tenacity.stop_after_attempt(7))
    function = retry(failing(both))
    decorated: Any = tool(name="asked")(function)
    assert decorated.retry is function.retry
    assert decorated.retry_with is function.retry_with
    assert both.call(decorated, 1) == 1
    assert decorated.statistics["attempt_number"] == 1


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="processes do not fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_counts_on_although_a_thread_was_in_the_middle(seen: Captured) -> None:
    began, go_on = threading.Event(), threading.Event()

    @functools.cache
    def work(value: int) -> int:
        if value == 0:
            began.set()
            go_on.wait(30)
        return value

    decorated = tool(name="forked")(work)
    thread = threading.Thread(target=decorated, args=(0,))
    thread.start()
    began.wait(30)
    child = os.fork()
    if child == 0:
        # No assert: a failure must not run the rest of the tests twice.
        before = decorated.tool.stats()
        decorated(1)
        decorated(1)
        after = decorated.tool.stats()
        counted = (after.cache.hit - before.cache.hit, after.cache.miss - before.cache.miss)
        os._exit(0 if counted == (1, 1) else 1)
    go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_hundreds_of_retries_are_two_warnings(caplog: pytest.LogCaptureFixture) -> None:
    @tool(retry=Retry(attempts=2, initial=0))
    def fails(number: int) -> None:
        raise ConnectionError("x") if number % 2 else TimeoutError("x")

    for number in range(400):
        with pytest.raises((ConnectionError, TimeoutError)):
            fails(number)

    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.__dict__["error_type"] for record in warnings] == ["TimeoutError", "ConnectionError"]
