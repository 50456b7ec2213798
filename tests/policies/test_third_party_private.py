"""The undocumented names of tenacity and cachetools: each is still where `third_party_private` looks for it.

A failure of the first half names what a new release has moved. The second half moves each name, and shows what still
works and what the log says.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cachetools
import pytest
import tenacity
import tenacity.asyncio

import otel_tools
from otel_tools import tool
from otel_tools._policies import third_party_private
from otel_tools._policies.third_party_private import DESCRIPTOR_MODULE, STRATEGY_PARTS, made_by, retrying_of
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured

TYPED_CACHED: Any = cachetools.cached
TYPED_CACHEDMETHOD: Any = cachetools.cachedmethod

STRATEGIES: dict[str, Any] = {
    "retry_any": tenacity.retry_any(tenacity.retry_always),
    "retry_all": tenacity.retry_all(tenacity.retry_always),
    "retry_if_exception": tenacity.retry_if_exception(callable),
    "retry_if_result": tenacity.retry_if_result(callable),
    "retry_if_not_result": tenacity.retry_if_not_result(callable),
    "stop_any": tenacity.stop_any(tenacity.stop_never),
    "stop_all": tenacity.stop_all(tenacity.stop_never),
    "wait_combine": tenacity.wait_combine(tenacity.wait_none()),
    "wait_chain": tenacity.wait_chain(tenacity.wait_none()),
}


def double(x: int) -> int:
    return 2 * x


class Place:
    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}

    @TYPED_CACHEDMETHOD(lambda self: self.kept)  # type: ignore[untyped-decorator] # typed by overloads
    def weather(self, day: int) -> int:
        return day


@pytest.fixture(autouse=True)
def _log_says_everything_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(third_party_private, "_reported", set())


class TestTheNamesAreThere:
    @pytest.mark.parametrize("name", STRATEGIES)
    def test_a_strategy_of_tenacity_keeps_its_parts_in_the_known_attribute(self, name: str) -> None:
        assert type(STRATEGIES[name]).__module__.startswith("tenacity.")
        assert hasattr(STRATEGIES[name], STRATEGY_PARTS[name]), f"{name}.{STRATEGY_PARTS[name]} has moved"

    def test_wait_exception_of_tenacity_keeps_its_function_in_the_known_attribute(self) -> None:
        wait_exception = getattr(tenacity, "wait_exception", None)
        if wait_exception is None:
            pytest.skip("this release has no wait_exception")
        assert hasattr(wait_exception(callable), STRATEGY_PARTS["wait_exception"])

    @pytest.mark.parametrize("name", ["retry_any", "retry_all", "retry_if_exception", "retry_if_result"])
    def test_an_async_strategy_of_tenacity_keeps_its_parts_in_the_same_attribute(self, name: str) -> None:
        strategy = getattr(tenacity.asyncio, name)(callable)
        assert hasattr(strategy, STRATEGY_PARTS[name]), f"tenacity.asyncio.{name}.{STRATEGY_PARTS[name]} has moved"

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_tenacity_calls_the_before_sleep_that_its_object_has_by_then(self, asynchronous: bool) -> None:
        failures = [ValueError(), None]

        def body() -> None:
            if (error := failures.pop(0)) is not None:
                raise error

        async def abody() -> None:
            body()

        function = tenacity.retry(wait=tenacity.wait_none())(abody if asynchronous else body)
        heard: list[Any] = []
        retrying = retrying_of(function)
        assert retrying is not None, "the function has no Retrying object with before_sleep"
        retrying.before_sleep = heard.append

        asyncio.run(function()) if asynchronous else function()  # type: ignore[arg-type] # either

        assert len(heard) == 1

    def test_a_wrapper_is_known_by_the_package_of_its_code(self) -> None:
        async def adouble(x: int) -> int:
            return 2 * x

        assert made_by(tenacity.retry(double)) == "tenacity"
        assert made_by(tenacity.retry(adouble)) == "tenacity"
        assert made_by(TYPED_CACHED({})(double)) == "cachetools"
        assert made_by(Place().weather) == "cachetools"
        assert made_by(functools.wraps(double)(lambda: None)) == "tests"

    def test_a_cachedmethod_in_a_class_is_of_the_known_module_or_a_function(self) -> None:
        for left in (Place.__dict__["weather"], Place.weather):
            if not isinstance(left, types.FunctionType):
                assert type(left).__module__ == DESCRIPTOR_MODULE


def move_parts(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """Make new objects of a strategy's class keep their parts under another name, as another release may."""
    name = STRATEGY_PARTS[kind.__name__]

    class Moved:
        def __set__(self, strategy: Any, parts: Any) -> None:
            strategy.__dict__["moved"] = parts

        def __get__(self, strategy: Any, owner: Any) -> Any:
            # Tenacity's own methods, and nobody else's, still find them.
            if strategy is not None and sys._getframe(1).f_globals["__name__"].startswith("tenacity."):
                return strategy.__dict__["moved"]
            raise AttributeError(name)

    monkeypatch.setattr(kind, name, Moved(), raising=False)


class TestWithoutThem:
    def test_without_the_parts_of_a_strategy_an_async_one_is_not_refused(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def is_odd(_error: BaseException) -> bool:
            return True

        strategy = tenacity.retry_any(tenacity.retry_if_exception(is_odd))  # type: ignore[arg-type] # async
        with pytest.raises(ConfigurationError, match="must not be async"):
            otel_tools.Retry(retry=strategy)
        move_parts(monkeypatch, tenacity.retry_any)

        otel_tools.Retry(retry=tenacity.retry_any(tenacity.retry_if_exception(is_odd)))  # type: ignore[arg-type] # async

        (line,) = logged_lines(caplog)
        assert line.startswith(
            "tenacity.retry_any.retries is not where otel_tools looks for it in this release: an async"
        )

    def test_without_the_parts_of_a_strategy_it_decides_as_before(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        move_parts(monkeypatch, tenacity.retry_any)
        retry = tenacity.retry_any(
            tenacity.retry_if_exception_type(ValueError), tenacity.retry_if_exception_type(KeyError)
        )
        errors: list[Exception] = [ValueError(), KeyError()]

        @tool(retry=otel_tools.Retry(retry=retry, initial=0))
        def work() -> int:
            if errors:
                raise errors.pop()
            return 7

        assert work() == 7
        assert len(logged_lines(caplog)) == 1

    def test_without_the_package_of_a_wrapper_hits_of_a_cache_without_info_are_not_reported(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seen: Captured
    ) -> None:
        cached = TYPED_CACHED({})(double)
        if isinstance(cached, types.FunctionType):
            monkeypatch.setitem(cached.__globals__, "__name__", "elsewhere")
        else:
            monkeypatch.setattr(type(cached), "__module__", "elsewhere")
        decorated = tool(name="double")(cached)

        assert [decorated(2), decorated(2)] == [4, 4]

        assert [(span.attributes or {})["otel_tools.outcome"] for span in seen.spans] == ["ok", "ok"]
        (line,) = logged_lines(caplog)
        assert line.startswith(
            "the code of cachetools.cached is not where otel_tools looks for it in this release: hits"
        )

    def test_without_the_module_of_cachedmethod_it_is_still_refused_where_it_is_a_descriptor(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        left = Place.__dict__["weather"]
        if isinstance(left, types.FunctionType):
            pytest.skip("this release leaves a function in the class")
        monkeypatch.setattr(type(left), "__module__", "cachetools.elsewhere")

        with pytest.raises(ConfigurationError, match="cachedmethod must be the outermost decorator"):
            tool(name="weather")(left)
        assert len(logged_lines(caplog)) == 1

    def test_without_before_sleep_the_function_retries_and_nothing_is_reported(self, tmp_path: Path) -> None:
        done = run_with_other_tenacity(tmp_path, lambda text: text.replace("self.before_sleep", "self.moved"))

        assert done.stdout.split() == ["7", "3", "0"], done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            "tenacity.Retrying.before_sleep is not where otel_tools looks for it in this release: the "
        )


PROGRAM = """
import tenacity
import otel_tools

calls = []

@otel_tools.tool
@tenacity.retry(wait=tenacity.wait_none())
def work():
    calls.append(1)
    if len(calls) < 3:
        raise ValueError
    return 7

print(work(), len(calls), work.tool.stats().retries)
"""


def run_with_other_tenacity(directory: Path, change: Callable[[str], str]) -> subprocess.CompletedProcess[str]:
    """Run a program with a tenacity whose source was changed."""
    source = Path(tenacity.__file__).parent
    for file in source.rglob("*.py"):
        copy = directory / "tenacity" / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    program = directory / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(program)],
        env={"PYTHONPATH": f"{directory}:{Path(otel_tools.__file__).parent.parent}"},
        check=True,
        capture_output=True,
        text=True,
    )


def logged_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "otel_tools" and r.levelno == logging.WARNING]
