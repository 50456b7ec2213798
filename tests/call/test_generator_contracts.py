"""A generator tool behaves to its consumer as the undecorated generator does."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import tool

if TYPE_CHECKING:
    from otel_tools.testing import Captured


def echo(first: Any = None) -> Generator[Any, Any, str]:
    """Give back what is sent or thrown; end when sent "end"."""
    got = yield first
    while got != "end":
        try:
            got = yield got
        except ValueError as error:
            got = f"caught {error}"
    return "ended"


def the_same(bare: Callable[..., Any], use: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What a consumer gets of a body, without and with the decorator: a value or the class and text of an error."""

    def tried(generator: Generator[Any, Any, Any]) -> Any:
        try:
            return use(generator)
        except BaseException as error:
            return type(error), str(error), type(error.__context__), type(error.__cause__)

    return tried(bare()), tried(tool(bare)())


def leaves_on_exit() -> Generator[Any, Any, Any]:
    try:
        yield 1
    except GeneratorExit:
        return "left"


def goes_on_after_exit() -> Generator[Any, Any, Any]:
    try:
        yield 1
    except GeneratorExit:
        yield "still here"
    yield 3


def fails_on_exit() -> Generator[Any, Any, Any]:
    try:
        yield 1
    finally:
        raise KeyError("closing")


def raises_stop_iteration() -> Generator[Any, Any, Any]:
    yield 1
    raise StopIteration  # noqa: PLR1708 - as people do by mistake


def fails_while_it_handles() -> Generator[Any, Any, Any]:
    try:
        yield 1
    except LookupError:
        raise OSError("new")  # noqa: B904 - the context is what is looked at


USES: dict[str, Callable[[Any], Any]] = {
    "next and close": lambda g: (next(g), g.close()),
    "close, then next": lambda g: (next(g), g.close(), next(g)),
    "throw GeneratorExit": lambda g: (next(g), g.throw(GeneratorExit())),
    "throw GeneratorExit, then all": lambda g: (next(g), g.throw(GeneratorExit()), list(itertools.islice(g, 5))),
    "throw StopIteration": lambda g: (next(g), g.throw(StopIteration())),
    "throw an error": lambda g: (next(g), g.throw(LookupError("thrown"))),
    "throw before the first": lambda g: g.throw(LookupError("thrown")),
    "close before the first": lambda g: g.close(),
    "send before the first": lambda g: g.send("too early"),
    "some": lambda g: list(itertools.islice(g, 5)),
}


@pytest.mark.parametrize(
    "bare", [echo, leaves_on_exit, goes_on_after_exit, fails_on_exit, raises_stop_iteration, fails_while_it_handles]
)
@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the bodies that will not be closed
def test_a_generator_tool_behaves_as_the_undecorated_generator(
    seen: Captured, bare: Callable[..., Any], use: Callable[[Any], Any]
) -> None:
    without, with_it = the_same(bare, use)
    gc.collect()

    assert with_it == without


async def echo_later(first: Any = None) -> AsyncGenerator[Any, Any]:
    """Give back what is sent or thrown; end when sent "end"."""
    got = yield first
    while got != "end":
        try:
            await asyncio.sleep(0)
            got = yield got
        except ValueError as error:
            got = f"caught {error}"


async def leaves_on_exit_later() -> AsyncGenerator[Any, Any]:
    try:
        yield 1
    except GeneratorExit:
        await asyncio.sleep(0)
        return


async def goes_on_after_exit_later() -> AsyncGenerator[Any, Any]:
    try:
        yield 1
    except GeneratorExit:
        yield "still here"
    yield 3


async def fails_on_exit_later() -> AsyncGenerator[Any, Any]:
    try:
        yield 1
    finally:
        raise KeyError("closing")


async def raises_stop_later() -> AsyncGenerator[Any, Any]:
    yield 1
    raise StopAsyncIteration


async def next_and_close(g: Any) -> Any:
    return await anext(g), await g.aclose()


async def close_then_next(g: Any) -> Any:
    return await anext(g), await g.aclose(), await anext(g)


async def throw_exit(g: Any) -> Any:
    return await anext(g), await g.athrow(GeneratorExit())


async def throw_exit_then_all(g: Any) -> Any:
    return await anext(g), await g.athrow(GeneratorExit()), await some(g)


async def throw_error(g: Any) -> Any:
    return await anext(g), await g.athrow(LookupError("thrown"))


async def throw_first(g: Any) -> Any:
    return await g.athrow(LookupError("thrown"))


async def close_first(g: Any) -> Any:
    return await g.aclose()


async def send_first(g: Any) -> Any:
    return await g.asend("too early")


async def some(g: Any) -> Any:
    return [(await anext(g), number) for number in range(5)]


@pytest.mark.parametrize(
    "bare", [echo_later, leaves_on_exit_later, goes_on_after_exit_later, fails_on_exit_later, raises_stop_later]
)
@pytest.mark.parametrize(
    "use",
    [
        *(next_and_close, close_then_next, throw_exit, throw_exit_then_all, throw_error),
        *(throw_first, close_first, send_first, some),
    ],
)
def test_an_async_generator_tool_behaves_as_the_undecorated_generator(
    seen: Captured, bare: Callable[..., Any], use: Callable[[Any], Awaitable[Any]]
) -> None:
    async def tried(function: Callable[..., Any]) -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the bodies that will not be closed
        try:
            return await use(function())
        except BaseException as error:
            return type(error), str(error), type(error.__context__), type(error.__cause__)

    assert asyncio.run(tried(tool(bare))) == asyncio.run(tried(bare))
