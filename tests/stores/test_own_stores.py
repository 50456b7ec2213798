"""Stores of your own, written by the docstrings of `CacheStore` and `RateLimitStore`; and the examples in these."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import typing
from typing import TYPE_CHECKING, Any

import pytest

import otel_tools.stores
from otel_tools import Cache, ConfigurationError, RateLimit, RateLimited, tool
from otel_tools._call.clock import clock
from otel_tools.stores import CacheStore, OnError, Quota, RateLimitStore, Reservation
from tests.conftest import without_coverage

if TYPE_CHECKING:
    from otel_tools.testing import Captured
    from tests.conftest import Flavour

SECOND = 10**9


class TextStore:
    """A `CacheStore` in a dictionary. Its methods raise when `broken` is set."""

    def __init__(self, on_error: OnError = "local") -> None:
        self.on_error: OnError = on_error
        self.broken = False
        self.lock = threading.Lock()
        self.entries: dict[str, tuple[float, str]] = {}

    def _alive(self) -> dict[str, tuple[float, str]]:
        if self.broken:
            raise ConnectionError("broken")
        with self.lock:
            self.entries = {key: entry for key, entry in self.entries.items() if entry[0] > time.time()}
            return self.entries

    def get(self, key: str) -> str | None:
        entry = self._alive().get(key)
        return None if entry is None else entry[1]

    async def aget(self, key: str) -> str | None:
        return self.get(key)

    def set(self, key: str, value: str, expires_in: float) -> None:
        self._alive()[key] = (time.time() + expires_in, value)

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        self.set(key, value, expires_in)

    def delete(self, key: str) -> None:
        self._alive().pop(key, None)

    async def adelete(self, key: str) -> None:
        self.delete(key)

    def clear(self, prefix: str) -> None:
        for key in [key for key in self._alive() if key.startswith(prefix)]:
            self.delete(key)

    async def aclear(self, prefix: str) -> None:
        self.clear(prefix)

    def count(self, prefix: str) -> int:
        return sum(key.startswith(prefix) for key in self._alive())

    async def acount(self, prefix: str) -> int:
        return self.count(prefix)


class FixedWindow:
    """A `RateLimitStore` with another algorithm: a burst in each window. Its methods raise when `broken` is set."""

    def __init__(self, on_error: OnError = "local") -> None:
        self.on_error: OnError = on_error
        self.broken = False
        self.lock = threading.Lock()
        self.taken: dict[tuple[str, int], int] = {}
        self.cancelled: list[str] = []

    def reserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        if self.broken:
            raise ConnectionError("broken")
        length = quota.interval + quota.tolerance
        burst = length // quota.interval
        with self.lock:
            now = time.time_ns()
            window = now // length
            while self.taken.get((name, window), 0) >= burst:
                window += 1
            wait = max(0, window * length - now)
            if max_wait is not None and wait > max_wait:
                return Reservation.refused(wait)
            self.taken[name, window] = self.taken.get((name, window), 0) + 1
        return Reservation.after(wait, cancel=lambda: self.cancelled.append(name))

    async def areserve(self, name: str, quota: Quota, max_wait: int | None) -> Reservation:
        return self.reserve(name, quota, max_wait)


def example_of(protocol: type) -> type[Any]:
    """The class in the example of a protocol's docstring."""
    text = inspect.getdoc(protocol) or ""
    code = textwrap.dedent(text[text.index("::\n", text.index("Example:")) + 3 :])
    namespace: dict[str, Any] = {}
    exec(compile(code, f"<example of {protocol.__name__}>", "exec", dont_inherit=True), namespace)  # noqa: S102 - our own text
    (found,) = (value for value in namespace.values() if isinstance(value, type) and value.__module__ == "builtins")
    return found


cache_stores = pytest.mark.parametrize("store_class", [TextStore, example_of(CacheStore)])
rate_limit_stores = pytest.mark.parametrize("store_class", [FixedWindow, example_of(RateLimitStore)])


@cache_stores
def test_a_cache_uses_a_store_of_your_own(both: Flavour, store_class: type[CacheStore]) -> None:
    store = store_class()
    assert isinstance(store, CacheStore)
    runs: list[int] = []

    def double(x: int) -> int:
        runs.append(x)
        return 2 * x

    # Two tools of one name, as two processes have them.
    first, second = (tool(name="double", cache=Cache(ttl=60, store=store))(both.function(double)) for _ in range(2))
    assert [both.call(first, 1), both.call(second, 1), both.call(first, 2)] == [2, 2, 4]
    assert runs == [1, 2]
    assert first.tool.cache.info().size == 2
    first.tool.cache.invalidate(1)
    assert store.count("") == 1
    second.tool.cache.clear()
    assert both.call(first, 2) == 4
    assert runs == [1, 2, 2]


@cache_stores
def test_a_cache_entry_expires(both: Flavour, store_class: type[CacheStore]) -> None:
    runs: list[int] = []
    counted = tool(name="called", cache=Cache(ttl=0.05, store=store_class()))(both.function(lambda: runs.append(1)))
    both.call(counted)
    time.sleep(0.06)
    both.call(counted)
    assert len(runs) == 2
    assert counted.tool.cache.info().size == 1


@cache_stores
async def test_the_coroutine_functions_of_a_cache_store_do_the_same(store_class: type[CacheStore]) -> None:
    store = store_class()
    for key in ("a1", "a2", "b1"):
        await store.aset(key, key, 60)
    assert await store.aget("a1") == "a1"
    await store.adelete("a1")
    await store.adelete("a1")
    assert await store.aget("a1") is None
    assert (await store.acount("a"), await store.acount("")) == (1, 2)
    await store.aclear("a")
    assert (await store.acount("a"), await store.acount("")) == (0, 1)


def test_on_error_decides_what_a_failing_cache_store_does_to_a_call(both: Flavour) -> None:
    local, strict = TextStore(), TextStore("raise")
    local.broken = strict.broken = True
    assert both.call(tool(name="called", cache=Cache(ttl=60, store=local))(both.function(lambda: 1))) == 1
    with pytest.raises(ConnectionError, match="broken"):
        both.call(tool(name="called", cache=Cache(ttl=60, store=strict))(both.function(lambda: 1)))


def test_the_error_for_a_wrong_cache_store_names_the_protocol() -> None:
    with pytest.raises(ConfigurationError, match=r"methods of otel_tools\.stores\.CacheStore is needed"):
        Cache(ttl=60, store=object())  # type: ignore[arg-type] # as a user may


@rate_limit_stores
def test_a_rate_limit_uses_a_store_of_your_own(
    seen: Captured, both: Flavour, store_class: type[RateLimitStore]
) -> None:
    store = store_class()
    assert isinstance(store, RateLimitStore)
    # Two limits of one name, as two processes have them.
    first, second = (
        tool(name="called", rate_limit=RateLimit(2, per=1_000_000, max_wait=0, store=store, name="shared"))(
            both.function(lambda: 1)
        )
        for _ in range(2)
    )
    assert (both.call(first), both.call(second)) == (1, 1)
    for limited in (first, second):
        with pytest.raises(RateLimited) as refused:
            both.call(limited)
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= 1_000_000
    counts = first.tool.stats().rate_limit
    assert (counts.acquired, counts.rejected, counts.queued) == (2, 2, 0)


@rate_limit_stores
def test_a_call_waits_for_the_token_that_a_store_reserved(
    seen: Captured, both: Flavour, store_class: type[RateLimitStore]
) -> None:
    limited = tool(name="called", rate_limit=RateLimit(1, per=0.1, store=store_class()))(both.function(time.monotonic))
    began = time.monotonic()
    ended = [both.call(limited) for _ in range(3)][-1]
    assert ended - began >= 0.1
    assert limited.tool.stats().rate_limit.acquired == 3


async def test_a_cancelled_call_cancels_its_reservation(seen: Captured) -> None:
    store = FixedWindow()

    @tool(name="slow", rate_limit=RateLimit(1, per=1_000_000, store=store))
    async def slow() -> None: ...

    await slow()
    task = asyncio.create_task(slow())
    while not slow.tool.stats().rate_limit.queued:  # noqa: ASYNC110 - a count has no event
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert store.cancelled == ["slow"]


def test_on_error_decides_what_a_failing_rate_limit_store_does_to_a_call(both: Flavour) -> None:
    local, strict = FixedWindow(), FixedWindow("raise")
    local.broken = strict.broken = True
    limited = tool(name="called", rate_limit=RateLimit(1, per=1000, max_wait=0, store=local))(both.function(lambda: 1))
    assert both.call(limited) == 1
    with pytest.raises(RateLimited):
        both.call(limited)
    with pytest.raises(ConnectionError, match="broken"):
        both.call(tool(name="called", rate_limit=RateLimit(1, store=strict))(both.function(lambda: 1)))


def test_a_reservation_says_when_its_token_comes() -> None:
    assert Reservation.after(0).granted
    later = Reservation.after(SECOND)
    assert (later.granted, later.wait) == (True, SECOND)
    # By the clock of the policies, which a `FakeClock` of another test may have put forward for good.
    assert later.at - clock.now() * SECOND == pytest.approx(SECOND, abs=60 * SECOND)
    assert (Reservation.refused(5).granted, Reservation.refused(5).wait) == (False, 5)


def test_the_public_names_of_stores() -> None:
    assert otel_tools.stores.__all__ == [
        "CacheStore",
        "OnError",
        "Quota",
        "RateLimitStore",
        "RedisStore",
        "Reservation",
        "SQLiteStore",
    ]
    visible = [name for name in vars(otel_tools.stores) if not name.startswith("_") and name != "annotations"]
    assert sorted(visible) == otel_tools.stores.__all__
    assert typing.get_args(OnError) == ("local", "raise")


@pytest.mark.parametrize("name", [name for name in otel_tools.stores.__all__ if name != "OnError"])
def test_every_public_class_and_method_of_stores_has_a_docstring(name: str) -> None:
    public = getattr(otel_tools.stores, name)
    assert public.__doc__
    for method, value in vars(public).items():
        if not method.startswith("_") and inspect.isroutine(value):
            assert inspect.getdoc(value), f"{name}.{method}"


@pytest.mark.parametrize("public", [CacheStore, RateLimitStore, Quota(2, 1), Reservation.refused(5)])
def test_public_classes_and_values_can_be_pickled(public: object) -> None:
    assert pickle.loads(pickle.dumps(public)) == public  # noqa: S301 - our own bytes


@pytest.mark.parametrize("module", ["otel_tools", "otel_tools.stores"])
def test_importing_loads_no_backend(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=without_coverage()
    )
    assert {"redis", "sqlite3", "pydantic"}.isdisjoint(done.stdout.split())
