"""cloudpickle, which joblib, Ray and Dask use, pickles tools of ``__main__`` by value."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from otel_tools import Cache, CircuitBreaker, Concurrency, Objective, RateLimit, Retry, Tool, ToolSet, agent, tool
from otel_tools.stores import RedisStore, SQLiteStore

ROOT = Path(__file__).parents[2]

PROGRAM = """
import functools, sys
import cloudpickle
from otel_tools import *

def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

limit = RateLimit(100, per=60)

@traced
def wrapped(x): return x * 2

@tool
def plain(x: int) -> int: return x * 2

@tool(timeout=5, retry=Retry(attempts=3), cache=Cache(ttl=30), rate_limit=limit, concurrency=Concurrency(3),
      circuit_breaker=CircuitBreaker(), objective=Objective(success=0.9), fallback=lambda x: -1, validate=True,
      failed_if=lambda result: result is None)
def guarded(x: int) -> int: return x * 2

@tool(rate_limit=limit)
async def coroutine(x: int) -> int: return x * 2

@tool
def generator(x: int):
    yield x * 2

@tool
async def async_generator(x: int):
    yield x * 2

class Doubler:
    def __init__(self): self.by = 2
    @tool
    def method(self, x: int) -> int: return x * self.by
    @tool
    @classmethod
    def of_class(cls, x: int) -> int: return x * 2

def local(by):
    @tool
    def inner(x): return x * by
    return inner

@agent("doubler")
def loop(x): return plain(x)

named = tool(name="named")(lambda x: x * 2)
sys.stdout.buffer.write(cloudpickle.dumps({
    "wrapped": wrapped, "plain": plain, "guarded": guarded, "coroutine": coroutine, "generator": generator,
    "async_generator": async_generator, "method": Doubler().method, "of_class": Doubler.of_class, "local": local(2),
    "named": named, "loop": loop, "toolset": ToolSet([plain, guarded]), "handle": guarded.tool,
}))
"""

LOADING = """
import asyncio, json, pickle, sys
from otel_tools import Tool, stats

loaded = pickle.loads(sys.stdin.buffer.read())
async def drained(iterator): return [item async for item in iterator]
for name in ("wrapped", "plain", "guarded", "method", "of_class", "local", "named", "loop"):
    assert loaded[name](4) == 8, name
assert asyncio.run(loaded["coroutine"](4)) == 8
assert list(loaded["generator"](4)) == asyncio.run(drained(loaded["async_generator"](4))) == [8]
assert loaded["guarded"]("4") == 8  # validated and coerced
for name in ("plain", "guarded", "coroutine", "generator", "async_generator", "local", "named"):
    function = loaded[name]
    assert function.tool.wrapper is function, name
    assert stats()[function.tool.name].calls.ok + stats()[function.tool.name].calls.cached > 0, name
assert loaded["handle"] is loaded["guarded"].tool
assert loaded["guarded"].tool.options.rate_limit is loaded["coroutine"].tool.options.rate_limit
with loaded["plain"].tool.with_function(lambda x: x + 1):
    assert loaded["plain"](4) == 5
function = {"name": "plain", "arguments": '{"x": 4}'}
answers = loaded["toolset"].run([{"id": "1", "type": "function", "function": function}])
assert json.loads(answers[0]["content"])["data"] == 8
print("loaded")
"""


def test_tools_of_main_are_pickled_by_value() -> None:
    dumped = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, check=False)
    assert dumped.returncode == 0, dumped.stderr.decode()
    loaded = subprocess.run(
        [sys.executable, "-c", LOADING], cwd=ROOT, input=dumped.stdout, capture_output=True, check=False
    )
    assert loaded.stdout.decode().strip() == "loaded", loaded.stderr.decode()


@pytest.mark.parametrize(
    "option",
    [
        Retry(attempts=4, on=lambda error: isinstance(error, OSError)),
        Cache(ttl=3, maxsize=7, key=lambda arguments: arguments["x"]),
        RateLimit(3, per=7, max_wait=2, name="limit"),
        Concurrency(3, max_wait=1),
        CircuitBreaker(failures=2, cooldown=9),
        Objective(success=0.9),
    ],
    ids=lambda option: type(option).__name__,
)
def test_options_keep_their_values(option: Any) -> None:
    loaded = pickle.loads(cloudpickle.dumps(option))  # noqa: S301 - made here
    # The functions among the values are copies.
    plain = {name: value for name in vars_of(option) if not callable(value := getattr(option, name))}
    assert plain == {name: getattr(loaded, name) for name in plain}
    assert loaded is not option


def vars_of(option: Any) -> list[str]:
    return [name for name in option.__dataclass_fields__ if not name.startswith("_")]


def test_what_is_pickled_together_stays_shared() -> None:
    limit = RateLimit(3)

    def one(x: int) -> int:
        return x

    def two(x: int) -> int:
        return x

    first, second = pickle.loads(  # noqa: S301 - made here
        cloudpickle.dumps((tool(one, rate_limit=limit), tool(two, rate_limit=limit)))
    )

    assert Tool.of(first).options.rate_limit is Tool.of(second).options.rate_limit is not limit


def test_stores_are_pickled_by_their_arguments(tmp_path: Path) -> None:
    sqlite = SQLiteStore(tmp_path / "a.db", maxsize=7, on_error="raise")
    redis = RedisStore("redis://localhost:1", prefix="p", on_error="raise")
    with sqlite:
        sqlite.set("k", "v", 60)
        loaded, other = pickle.loads(cloudpickle.dumps((Cache(ttl=3, store=sqlite), redis)))  # noqa: S301 - made here
        with loaded.store as store:
            assert (store.get("k"), store.maxsize, store.on_error) == ("v", 7, "raise")
    assert (other.prefix, other.on_error, repr(other)) == ("p", "raise", repr(redis))


def test_an_agent_and_a_toolset_are_picklable() -> None:
    def double(x: int) -> int:
        return x * 2

    dumped = cloudpickle.dumps((agent("a", conversation_id="c"), ToolSet([double])))
    loaded, tools = pickle.loads(dumped)  # noqa: S301 - made here

    assert (loaded.name, loaded.conversation_id) == ("a", "c")
    assert [entry["function"]["name"] for entry in tools.schemas()] == ["double"]
