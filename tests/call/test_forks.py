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


def test_errors_in_handlers_are_raised_when_all_have_run(hooks: Hooks) -> None:
    handlers, ran = ForkHandlers(), list[str]()

    class Broken:
        def reset_after_fork(self) -> None:
            raise KeyboardInterrupt

    broken, whole = Broken(), Counted(ran, "object")
    handlers.add(after_in_child=lambda: ran.remove("nothing"))
    handlers.add(after_in_child=lambda: ran.append("handler"))
    handlers.add_object(broken)
    handlers.add_object(whole)

    with pytest.raises(BaseExceptionGroup) as raised:
        hooks.run("after_in_child")

    assert ran == ["handler", "object"]
    assert [type(error) for error in raised.value.exceptions] == [ValueError, KeyboardInterrupt]


def test_an_object_is_locked_before_a_fork_and_unlocked_in_the_parent(hooks: Hooks) -> None:
    handlers, ran = ForkHandlers(), list[str]()

    class Lockable(Counted):
        def lock_before_fork(self) -> None:
            ran.append(f"lock {self.name}")

        def unlock_after_fork(self) -> None:
            ran.append(f"unlock {self.name}")

    first, second, gone = Lockable(ran, "first"), Lockable(ran, "second"), Lockable(ran, "gone")
    for lockable in (first, second, gone):
        handlers.add_lockable(lockable)
    del gone, lockable
    gc.collect()

    for name in ("before", "after_in_parent", "after_in_child"):
        hooks.run(name)

    assert ran == ["lock second", "lock first", "unlock first", "unlock second", "first", "second"]


def test_a_fork_reports_the_error_of_a_handler_and_goes_on() -> None:
    program = """
import os
from otel_tools._call.forks import at_fork
def fail():
    raise ValueError("broken handler")
at_fork(after_in_child=fail)
at_fork(after_in_child=lambda: os.write(1, b"the second runs, "))
if os.fork() == 0:
    os.write(1, b"so does the child")
    os._exit(0)
os.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(otel_tools.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "the second runs, so does the child"
    assert "ValueError: broken handler" in done.stderr


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_other_threads_add_and_drop_objects_loses_no_handler() -> None:
    program = """
import os, sys, threading, warnings
from otel_tools._call.forks import at_fork, reset_after_fork
warnings.simplefilter("ignore", DeprecationWarning)
class Quiet:
    def __init__(self):
        reset_after_fork(self)
    def reset_after_fork(self):
        pass
class Counted(Quiet):
    def reset_after_fork(self):
        called.append("object")
def churn():
    while True:
        [Quiet() for _ in range(10)]
called = []
at_fork(after_in_child=lambda: called.append("function"))
counted = Counted()
sys.setswitchinterval(1e-5)
for _ in range(3):
    threading.Thread(target=churn, daemon=True).start()
for _ in range(30):
    if os.fork() == 0:
        inside = Counted()
        if os.fork() == 0:
            print(*called, flush=True)
            os._exit(0)
        os.wait()
        os._exit(0)
    os.wait()
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(otel_tools.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["function object function object object"] * 30


def test_configuring_registers_after_the_sdk_has() -> None:
    program = """
import os, sys
import otel_tools
real, registered = os.register_at_fork, []
def register_at_fork(**hooks):
    registered.append(sys._getframe(1).f_globals["__name__"])
    real(**hooks)
os.register_at_fork = register_at_fork
otel_tools.configure(exporter="file", file=os.devnull)
print(registered.count("otel_tools._call.forks"), registered[-1], len(registered) > 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(otel_tools.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "2 otel_tools._call.forks True\n"  # of signals, and of what is exported


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
