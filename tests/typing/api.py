"""Type-checked by mypy and pyright, never run: what type checkers see of the public API."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar, assert_type

from otel_tools import (
    Cache,
    CircuitBreaker,
    Concurrency,
    Objective,
    RateLimit,
    RedisStore,
    Retry,
    Tool,
    ToolFunction,
    ToolStats,
    agent,
    cancelled,
    instrument,
    remaining,
    stats,
    tool,
)
from otel_tools.stores import CacheStore, OnError, Quota, RateLimitStore, Reservation, SQLiteStore
from otel_tools.stores import RedisStore as StoresRedisStore

T = TypeVar("T")


def plain(x: int) -> str:
    return str(x)


@tool
def bare(x: int, y: str = "") -> float:
    return float(x)


@tool(name="called", failed_if=lambda result: not result, objective=Objective(success=0.9))
def called(x: int) -> list[str]:
    return [str(x)]


@tool
async def coroutine(x: int) -> bytes:
    return bytes(x)


@tool
def generator(n: int) -> Generator[int, str, bool]:
    yield n
    return True


@tool
async def async_generator(n: int) -> AsyncGenerator[int, str]:
    yield n


def await_it(coroutine: Coroutine[Any, Any, T]) -> T:
    raise NotImplementedError(coroutine)


applied = tool(plain)
renamed = tool(name="renamed")(plain)

assert_type(bare(1, y="a"), float)
assert_type(called(1), list[str])
assert_type(await_it(coroutine(1)), bytes)
assert_type(generator(1), Generator[int, str, bool])
assert_type(async_generator(1), AsyncGenerator[int, str])
assert_type(applied(1), str)
assert_type(renamed(1), str)
assert_type(bare.tool, Tool)
assert_type(bare.tool.stats(), ToolStats)
assert_type(bare.tool.stats().calls.error, int)
assert_type(stats(), dict[str, ToolStats])

bare("1")  # type: ignore[arg-type]
bare(x=1, z=2)  # type: ignore[call-arg]
called()  # type: ignore[call-arg]
tool(failed_if=3)  # type: ignore[call-overload]
tool(retry=3)  # type: ignore[call-overload]
tool(cache=Retry())  # type: ignore[call-overload]
tool(validate="strict")  # type: ignore[call-overload]


@tool(
    timeout=5,
    retry=Retry(attempts=4, on=(ConnectionError, TimeoutError)),
    cache=Cache(ttl=300, store=RedisStore("redis://localhost")),
    rate_limit=RateLimit(60, per=60, key=lambda args: args["x"]),
    concurrency=Concurrency(8),
    circuit_breaker=CircuitBreaker(failures=5, cooldown=30),
    fallback=plain,
    fallback_on=lambda error: isinstance(error, OSError),
    validate="both",
)
def guarded(x: int) -> str:
    return str(x)


assert_type(guarded(1), str)


class Store:
    on_error: OnError = "local"

    def get(self, key: str) -> str | None: ...
    async def aget(self, key: str) -> str | None: ...
    def set(self, key: str, value: str, expires_in: float) -> None: ...
    async def aset(self, key: str, value: str, expires_in: float) -> None: ...
    def delete(self, key: str) -> None: ...
    async def adelete(self, key: str) -> None: ...
    def clear(self, prefix: str) -> None: ...
    async def aclear(self, prefix: str) -> None: ...
    def count(self, prefix: str) -> int:
        return 0

    async def acount(self, prefix: str) -> int:
        return 0

    def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        return Reservation.refused(quota.interval) if max_wait == 0 else Reservation.after(quota.tolerance)

    async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        return self.reserve(name, quota, max_wait)


Cache(ttl=1, store=Store())
RateLimit(1, store=Store())
cache_stores: list[CacheStore] = [Store(), SQLiteStore("a.db"), StoresRedisStore("redis://localhost")]
rate_limit_stores: list[RateLimitStore] = [Store(), StoresRedisStore("redis://localhost")]
RateLimit(1, store=SQLiteStore("a.db"))  # type: ignore[arg-type]
assert_type(Store().reserve("a", Quota(1, 0), None).wait, int)
assert_type(RedisStore is StoresRedisStore, bool)

assert_type(remaining(), float | None)
assert_type(cancelled(), bool)
assert_type(guarded.tool.stats().cache.hit, int)
with guarded.tool.override(retry=None, timeout=1):
    guarded(1)
guarded.tool.override(retry=3)  # type: ignore[arg-type]
guarded.tool.override(name="other")  # type: ignore[call-arg]
guarded.tool.cache.invalidate(1)


class Weather:
    @tool
    def method(self, city: str) -> int:
        return len(city)

    @tool(name="async_method")
    async def async_method(self, city: str) -> int:
        return len(city)

    @tool
    @classmethod
    def over_class(cls, city: str) -> int:
        return len(city)

    @classmethod
    @tool
    def under_class(cls, city: str) -> int:
        return len(city)

    @tool
    @staticmethod
    def over_static(city: str) -> int:
        return len(city)

    @staticmethod
    @tool
    def under_static(city: str) -> int:
        return len(city)


weather = Weather()
assert_type(weather.method("Paris"), int)
assert_type(await_it(weather.async_method("Paris")), int)
assert_type(weather.over_class("Paris"), int)
assert_type(Weather.over_class("Paris"), int)
assert_type(weather.under_class("Paris"), int)
assert_type(Weather.under_class("Paris"), int)
assert_type(Weather.method(weather, "Paris"), int)
assert_type(Tool.of(Weather.method), Tool)
assert_type(Tool.of(weather.method), Tool)
assert_type(Weather.over_static("Paris"), int)
assert_type(weather.over_static("Paris"), int)
assert_type(weather.under_static("Paris"), int)
assert_type(Weather.under_static("Paris"), int)
weather.method(1)  # type: ignore[arg-type]


def takes_tools(function: ToolFunction[[int], str]) -> None:
    assert_type(function.tool.name, str)


takes_tools(applied)

table: dict[str, Callable[[int], str]] = {"plain": plain}
assert_type(instrument(table), dict[str, Callable[[int], str]])
assert_type(instrument([plain])[0](1), str)


# As loops look them up: functions of different types in one table.
def loop(name: str, arguments: dict[str, Any]) -> Any:
    available = instrument({"bare": bare, "coroutine": coroutine, "plain": plain, "await_it": await_it})
    instrument([plain, await_it])
    return available[name](**arguments)


instrument(3)  # type: ignore[call-overload]


@agent("a", conversation_id="c")
def run(question: str) -> int:
    return len(question)


@agent("a")
async def arun(question: str) -> int:
    return len(question)


assert_type(run("a"), int)
assert_type(await_it(arun("a")), int)
run(1)  # type: ignore[arg-type]


def from_elsewhere(function: Callable[..., Any]) -> None:
    name: str = tool(function).tool.name
    assert_type(name, str)
    tool(function)(5, a=3)
