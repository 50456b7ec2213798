"""Fork handlers: order, errors, objects that are gone, and one registration for the whole package."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import otel_tools
from otel_tools._call.forks import ForkHandlers

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")


class Hooks:
    """The functions that were registered with the operating system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.registered: list[dict[str, Callable[[], None]]] = []
        monkeypatch.setattr(os, "register_at_fork", lambda **hooks: self.registered.append(hooks))

    def run(self, name: str) -> None:
        for hooks in self.registered:
            hooks[name]()


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Hooks:
    return Hooks(monkeypatch)


class Counted:
    """An object that counts its resets."""

    def __init__(self, resets: list[str], name: str) -> None:
        self.resets = resets
        self.name = name

    def reset_after_fork(self) -> None:
        self.resets.append(self.name)


def test_before_handlers_run_in_reverse_order_and_the_others_in_order(hooks: Hooks) -> None:
    handlers, ran = ForkHandlers(), list[str]()
    for name in "ab":
        handlers.add(
            before=lambda name=name: ran.append(f"before {name}"),  # type: ignore[misc] # the default binds the name
            after_in_parent=lambda name=name: ran.append(f"parent {name}"),  # type: ignore[misc] # as above
            after_in_child=lambda name=name: ran.append(f"child {name}"),  # type: ignore[misc] # as above
        )

    for name in ("before", "after_in_parent", "after_in_child"):
        hooks.run(name)

    assert ran == ["before b", "before a", "parent a", "parent b", "child a", "child b"]


def test_objects_are_reset_after_the_handlers_in_order(hooks: Hooks) -> None:
    handlers, ran = ForkHandlers(), list[str]()
    first, second = Counted(ran, "first"), Counted(ran, "second")
    handlers.add_object(first)
    handlers.add_object(second)
    handlers.add(after_in_child=lambda: ran.append("handler"))

    hooks.run("after_in_child")

    assert ran == ["handler", "first", "second"]


def test_an_object_that_is_gone_is_not_reset(hooks: Hooks) -> None:
    handlers, ran = ForkHandlers(), list[str]()
    kept, gone = Counted(ran, "kept"), Counted(ran, "gone")
    handlers.add_object(gone)
    handlers.add_object(kept)
    del gone
    gc.collect()

    hooks.run("after_in_child")

    assert ran == ["kept"]


def test_an_error_in_a_handler_is_reported_and_stops_no_other(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers, ran, reported = ForkHandlers(), list[str](), list[BaseException]()
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_value))

    class Broken:
        def reset_after_fork(self) -> None:
            raise KeyboardInterrupt

    broken, whole = Broken(), Counted(ran, "object")
    handlers.add(after_in_child=lambda: ran.remove("nothing"))
    handlers.add(after_in_child=lambda: ran.append("handler"))
    handlers.add_object(broken)
    handlers.add_object(whole)

    hooks.run("after_in_child")

    assert ran == ["handler", "object"]
    assert [type(error) for error in reported] == [ValueError, KeyboardInterrupt]


def test_the_package_registers_once_until_it_is_configured() -> None:
    program = """
import os
real, registered = os.register_at_fork, []
def register_at_fork(**hooks):
    import sys
    registered.append(sys._getframe(1).f_globals["__name__"])
    real(**hooks)
os.register_at_fork = register_at_fork
import otel_tools, otel_tools.stores, otel_tools.testing
from otel_tools import Cache, CircuitBreaker, Concurrency, RateLimit, Retry, SQLiteStore, ToolSet, tool
@tool(cache=Cache(60), retry=Retry(), rate_limit=RateLimit(9), concurrency=Concurrency(2),
      circuit_breaker=CircuitBreaker(), timeout=5)
def work(n: int = 0) -> int:
    return n
work(1)
ToolSet([work]).schemas()
print([name for name in registered if name.startswith("otel_tools")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(otel_tools.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "['otel_tools._call.forks']\n"


def test_an_object_made_in_the_child_is_reset_in_a_child_of_the_child() -> None:
    program = """
import os
from otel_tools._call.forks import reset_after_fork
class Counted:
    resets = 0
    def reset_after_fork(self):
        self.resets += 1
before = Counted()
reset_after_fork(before)
if os.fork() == 0:
    inside = Counted()
    reset_after_fork(inside)
    if os.fork() == 0:
        print(before.resets, inside.resets, flush=True)
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
print(before.resets, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(otel_tools.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "2 1\n0\n"
