"""A sync callable that returns a coroutine: the call lasts until that has been awaited."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

from otel_tools import tool

if TYPE_CHECKING:
    from otel_tools.testing import Captured

Options = dict[str, Callable[[Any], object]]


async def work(value: Any) -> Any:
    await asyncio.sleep(0.01)
    if isinstance(value, BaseException):
        raise value
    return value


def begin(value: Any) -> Coroutine[Any, Any, Any]:
    """Not a coroutine function to anyone who looks at it."""
    return work(value)


@pytest.fixture(params=["plain", "with a policy"])
def options(request: pytest.FixtureRequest) -> Options:
    """With and without a policy around the function."""
    return {} if request.param == "plain" else {"failed_if": lambda value: value == "bad"}


def attributes(seen: Captured) -> dict[str, Any]:
    return dict(seen.span("later").attributes or {})


async def test_the_span_lasts_until_the_coroutine_is_awaited(seen: Captured, options: Options) -> None:
    later = tool(name="later", **options)(begin)  # type: ignore[call-overload] # options are options

    pending = later("value")
    assert inspect.iscoroutine(pending)
    assert pending.__name__ == "work"
    assert seen.spans == ()
    assert later.tool.stats().active == 1
    assert not trace.get_current_span().is_recording()

    assert await pending == "value"
    span = seen.span("later")
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time >= 9e6
    assert attributes(seen)["otel_tools.outcome"] == "ok"
    assert later.tool.stats().active == 0


async def test_a_failure_of_the_coroutine_is_a_failure_of_the_call(seen: Captured, options: Options) -> None:
    later = tool(name="later", **options)(begin)  # type: ignore[call-overload] # options are options
    raised = OSError("broken")

    with pytest.raises(OSError, match="broken") as caught:
        await later(raised)

    assert caught.value is raised
    assert attributes(seen)["error.type"] == "OSError"
    assert later.tool.stats().calls.error == 1


async def test_failed_if_is_asked_about_the_result_of_the_coroutine(seen: Captured) -> None:
    later = tool(name="later", failed_if=lambda value: value == "bad")(begin)

    assert await later("bad") == "bad"

    assert attributes(seen)["error.type"] == "tool_error"


async def test_the_coroutine_runs_inside_the_span_in_whatever_task(seen: Captured, options: Options) -> None:
    inside: list[Any] = []

    async def look() -> None:
        inside.append(trace.get_current_span().get_span_context())

    def begin_it() -> Coroutine[Any, Any, Any]:
        return look()

    later = tool(name="later", **options)(begin_it)  # type: ignore[call-overload] # options are options
    await asyncio.create_task(later())

    assert inside == [seen.span("later").context]


async def test_a_cancellation_of_the_coroutine_is_a_cancellation_of_the_call(seen: Captured, options: Options) -> None:
    later = tool(name="later", **options)(begin)  # type: ignore[call-overload] # options are options

    task = asyncio.create_task(later("value"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert attributes(seen)["otel_tools.outcome"] == "cancelled"
    assert later.tool.stats().active == 0


@pytest.mark.parametrize("collected", [False, True])
def test_a_coroutine_that_is_never_awaited_does_not_stay_active(
    seen: Captured, options: Options, collected: bool
) -> None:
    later = tool(name="later", **options)(begin)  # type: ignore[call-overload] # options are options

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cycle: list[Any] = [later("value")]
        if collected:
            cycle.append(cycle)
        del cycle
        gc.collect()

    assert [str(warning.message) for warning in told] == ["coroutine 'work' was never awaited"]
    assert attributes(seen)["otel_tools.outcome"] == "cancelled"
    assert (later.tool.stats().calls.cancelled, later.tool.stats().active) == (1, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python tells of Stuck
def test_a_coroutine_that_refuses_to_close_does_not_stay_active(seen: Captured) -> None:
    class Stuck(Exception):  # noqa: N818 - nobody catches it
        pass

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except GeneratorExit:
            raise Stuck from None

    def begin_it() -> Coroutine[Any, Any, Any]:
        return stubborn()

    later = tool(name="later")(begin_it)

    async def main() -> None:
        pending = later()
        pending.send(None)
        del pending
        gc.collect()

    asyncio.run(main())

    assert later.tool.stats().active == 0
    assert later.tool.stats().calls.total == 1


def test_a_result_that_lies_about_its_class_is_returned_unchanged(seen: Captured, options: Options) -> None:
    def unbound(_: object) -> Any:
        raise RuntimeError("working outside of request context")

    class Lazy:
        __class__ = property(unbound)  # as lazy proxies have it

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not yet")

        __hash__ = None  # type: ignore[assignment] # as bad as it gets

    value = Lazy()
    later = tool(name="later", **({"failed_if": lambda _: False} if options else {}))(lambda: value)  # type: ignore[call-overload] # options are options

    assert later() is value
    assert attributes(seen)["otel_tools.outcome"] == "ok"
