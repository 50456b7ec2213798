"""The caller gets the exception object that a tool raised, with its own traceback, and no reference to it stays."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otel_tools.testing import Captured
    from tests.conftest import Flavour

POLICIES: list[dict[str, Callable[[Any], object]]] = [{}, {"failed_if": bool}]


class Thing:
    """Something that can be watched dying."""


@contextmanager
def no_collector() -> Iterator[None]:
    """What is freed in the block is freed because nothing names it any more."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("options", POLICIES)
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), StopIteration("x"), StopAsyncIteration("x"), ExceptionGroup("x", [OSError()]), SystemExit(1)],
)
def test_the_caller_gets_the_exception_object_that_the_function_raised(
    seen: Captured, both: Flavour, options: dict[str, Any], error: BaseException
) -> None:
    if both.name == "async" and isinstance(error, StopIteration):
        pytest.skip("a coroutine cannot raise it: Python makes a RuntimeError of it")

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        both.call(tool(**options)(both.function(fail)))

    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("options", POLICIES)
def test_cause_and_context_are_those_of_the_tool(seen: Captured, both: Flavour, options: dict[str, Any]) -> None:
    missing: dict[str, int] = {}

    def fail() -> None:
        try:
            missing["inner"]
        except KeyError as inner:
            raise OSError("outer") from inner

    with pytest.raises(OSError, match="outer") as caught:
        both.call(tool(**options)(both.function(fail)))

    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__context__ is caught.value.__cause__


@pytest.mark.parametrize("options", POLICIES)
def test_a_tool_called_in_a_handler_has_that_error_as_context(
    seen: Captured, both: Flavour, options: dict[str, Any]
) -> None:
    def fail() -> None:
        raise OSError("second")

    decorated = tool(**options)(both.function(fail))
    first = KeyError("first")
    try:
        raise first
    except KeyError:
        with pytest.raises(OSError, match="second") as caught:
            both.call(decorated)

    assert caught.value.__context__ is first


@pytest.mark.parametrize("options", POLICIES)
def test_the_traceback_ends_in_the_tools_own_frame(seen: Captured, both: Flavour, options: dict[str, Any]) -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as caught:
        both.call(tool(**options)(both.function(fail)))

    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "fail"
    ours = [frame for frame in frames if "otel_tools" in frame.filename]
    assert len(ours) <= (1 if not options else 4)


@pytest.mark.parametrize("options", POLICIES)
def test_nothing_keeps_what_a_failed_call_used(seen: Captured, both: Flavour, options: dict[str, Any]) -> None:
    watched: list[weakref.ref[Thing]] = []

    def fail(argument: Thing) -> None:
        local = Thing()
        watched.extend((weakref.ref(local), weakref.ref(argument)))
        raise ValueError

    decorated = tool(**options)(both.function(fail))

    def handle_sync() -> None:
        with suppress(ValueError):
            decorated(Thing())

    async def handle_async() -> None:
        with suppress(ValueError):
            await decorated(Thing())
        assert [each() for each in watched] == [None, None]

    with no_collector():
        if both.name == "sync":
            handle_sync()
        else:
            asyncio.run(handle_async())
        assert [each() for each in watched] == [None, None]


@pytest.mark.parametrize("options", POLICIES)
def test_nothing_keeps_what_a_call_used_that_returned(seen: Captured, both: Flavour, options: dict[str, Any]) -> None:
    decorated = tool(name="made", **options)(both.function(lambda argument: (Thing(), argument)))

    with no_collector():
        made, given = both.call(decorated, Thing())
        watched = weakref.ref(made), weakref.ref(given)
        del made, given
        assert [each() for each in watched] == [None, None]


def test_nothing_keeps_what_a_failed_generator_used(seen: Captured) -> None:
    watched: list[weakref.ref[Thing]] = []

    @tool
    def items() -> Iterator[int]:
        local = Thing()
        watched.append(weakref.ref(local))
        yield 1
        raise ValueError

    @tool
    async def items_later() -> AsyncIterator[int]:
        local = Thing()
        watched.append(weakref.ref(local))
        yield 1
        raise ValueError

    def consume() -> None:
        with suppress(ValueError):
            list(items())

    async def consume_later() -> None:
        with suppress(ValueError):
            async for _ in items_later():
                pass
        assert watched[1]() is None

    with no_collector():
        consume()
        assert watched[0]() is None
        asyncio.run(consume_later())


def test_nothing_keeps_what_was_thrown_into_a_generator(seen: Captured) -> None:
    class Thrown(Exception):  # noqa: N818 - thrown by the test, not by anything that failed
        pass

    @tool
    def items() -> Iterator[int]:
        while True:
            with suppress(Thrown):
                yield 1

    generator: Any = items()
    next(generator)
    with no_collector():
        thrown = Thrown()
        watched = weakref.ref(thrown)
        generator.throw(thrown)
        del thrown
        assert watched() is None
        generator.close()
