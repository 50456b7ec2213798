"""`tool` on everything that can be called: one span of the right name, and the value that it gave before."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest

from otel_tools import ConfigurationError, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from otel_tools.testing import Captured


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def add_later(a: int, b: int = 1) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return a + b


def count(n: int) -> Iterator[int]:
    """Count."""
    yield from range(n)


async def count_later(n: int) -> AsyncIterator[int]:
    """Count."""
    for i in range(n):
        await asyncio.sleep(0)
        yield i


class _Adder:
    def __call__(self, a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b


class _LaterAdder:
    async def __call__(self, a: int, b: int = 1) -> int:
        return await add_later(a, b)


class _Counter:
    def __call__(self, n: int) -> Iterator[int]:
        yield from range(n)


class _LaterCounter:
    async def __call__(self, n: int) -> AsyncIterator[int]:
        async for i in count_later(n):
            yield i


class _Wrapping:
    """A class-based decorator, which looks like the function that it holds and is called otherwise."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> Iterator[Any]:
        yield from self.function(*args)


def value_of(result: Any) -> Any:
    """What a call of any kind comes to."""
    if inspect.isawaitable(result):

        async def waited() -> Any:
            return await result

        return asyncio.run(waited())
    if inspect.isasyncgen(result):

        async def listed() -> list[Any]:
            return [item async for item in result]

        return asyncio.run(listed())
    return list(result) if inspect.isgenerator(result) else result


CALLABLES = {
    "function": (add, (2,), "add", 3),
    "coroutine function": (add_later, (2,), "add_later", 3),
    "generator function": (count, (3,), "count", [0, 1, 2]),
    "async generator function": (count_later, (3,), "count_later", [0, 1, 2]),
    "callable object": (_Adder(), (2,), "_Adder", 3),
    "async callable object": (_LaterAdder(), (2,), "_LaterAdder", 3),
    "generator callable object": (_Counter(), (3,), "_Counter", [0, 1, 2]),
    "async generator callable object": (_LaterCounter(), (3,), "_LaterCounter", [0, 1, 2]),
    "callable object that looks like a function": (_Wrapping(count), (3,), "count", [0, 1, 2]),
    "partial of one that looks like a function": (functools.partial(_Wrapping(count)), (3,), "count", [0, 1, 2]),
    "partial": (functools.partial(add, b=5), (2,), "add", 7),
    "async partial": (functools.partial(add_later, b=5), (2,), "add_later", 7),
    "generator partial": (functools.partial(count), (3,), "count", [0, 1, 2]),
    "partial of a callable object": (functools.partial(_Adder(), b=5), (2,), "_Adder", 7),
    "cached function": (functools.lru_cache(add), (2,), "add", 3),
    "cached coroutine function": (functools.lru_cache(add_later), (2,), "add_later", 3),
    "bound method": (_Adder().__call__, (2,), "_Adder", 3),
    "async bound method": (_LaterAdder().__call__, (2,), "_LaterAdder", 3),
    "builtin": (len, ([1, 2],), "len", 2),
    "builtin without a signature": (max, (1, 2), "max", 2),
    "method of a builtin type": ("a b".split, (), "split", ["a", "b"]),
}


@pytest.mark.parametrize(("function", "args", "name", "value"), CALLABLES.values(), ids=list(CALLABLES))
def test_whatever_can_be_called_is_a_tool_with_one_span(
    seen: Captured, function: Any, args: tuple[Any, ...], name: str, value: Any
) -> None:
    decorated = tool(function) if not inspect.ismethod(function) else tool(name=name)(function)

    assert value_of(decorated(*args)) == value

    assert [span.name for span in seen.spans] == [f"execute_tool {name}"]
    assert decorated.tool.name == name
    assert decorated.tool.function is function
    assert decorated.tool.stats().calls.ok == 1


@pytest.mark.parametrize(("function", "args"), [case[:2] for case in CALLABLES.values()], ids=list(CALLABLES))
def test_the_decorated_function_is_of_the_same_kind(function: Any, args: tuple[Any, ...]) -> None:
    decorated = tool(function)
    innermost: Any = function.func if isinstance(function, functools.partial) else function
    call = innermost if inspect.isroutine(innermost) else innermost.__call__

    assert inspect.isfunction(decorated)
    assert inspect.iscoroutinefunction(decorated) == inspect.iscoroutinefunction(call)
    assert inspect.isgeneratorfunction(decorated) == inspect.isgeneratorfunction(call)
    assert inspect.isasyncgenfunction(decorated) == inspect.isasyncgenfunction(call)


def test_a_named_lambda_is_a_tool(seen: Captured) -> None:
    double = tool(name="double")(lambda x: 2 * x)

    assert double(4) == 8
    assert seen.span("double").name == "execute_tool double"


def test_an_unnamed_lambda_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"a lambda has no name .* tool\(name='\.\.\.'\)"):
        tool(lambda x: x)


@pytest.mark.parametrize("mistake", ["get_weather", 3, ["add"]])
def test_what_is_not_a_function_is_refused_with_the_way_out(mistake: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a function is needed; options go by keyword, as in @tool\(name="):
        tool(mistake)


class _Weather:
    def today(self) -> str:
        return "rain"

    @classmethod
    def tomorrow(cls) -> str:
        return "sun"

    @staticmethod
    def week() -> str:
        return "wind"

    def _secret(self) -> None: ...


@dataclass
class _Place:
    name: str


@pytest.mark.parametrize(
    ("decorated", "way_out"),
    [
        (_Weather, r"put @tool on its methods: today, tomorrow, week$"),
        (_Place, "decorate a function that returns one$"),
        (int, r"put @tool on its methods: \w+, \w+, \w+, \.\.\.$"),
        (type(None), "decorate a function that returns one$"),
    ],
)
@pytest.mark.parametrize("decorate", [tool, tool(), tool(name="other")])
def test_a_class_is_refused_with_its_methods(decorate: Any, decorated: Any, way_out: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^tool\({decorated.__name__}\): a class is no tool; {way_out}"):
        decorate(decorated)


def test_a_generator_that_is_awaited_can_still_be(seen: Captured) -> None:
    @tool
    @types.coroutine
    def nap(value: int) -> Generator[Any, Any, int]:
        yield from asyncio.sleep(0.01).__await__()
        return value

    async def main() -> int:
        return await nap(3)

    assert asyncio.run(main()) == 3
    assert seen.span("nap").status.is_unset


def test_mocks_of_tools_are_tools(seen: Captured) -> None:
    sync: Any = Mock(return_value=3)
    later: Any = AsyncMock(return_value=4)

    assert tool(name="sync")(sync)(1, a=2) == 3
    assert value_of(tool(name="later")(later)(5)) == 4

    sync.assert_called_once_with(1, a=2)
    later.assert_awaited_once_with(5)
    assert len(seen.spans) == 2


def test_bare_called_and_applied_are_the_same(seen: Captured) -> None:
    @tool
    def bare() -> int:
        return 1

    @tool()
    def called() -> int:
        return 2

    def plain() -> int:
        return 3

    applied = tool(plain)

    assert (bare(), called(), applied()) == (1, 2, 3)
    assert [span.name for span in seen.spans] == [f"execute_tool {name}" for name in ("bare", "called", "plain")]
    assert plain() == 3
    assert len(seen.spans) == 3
