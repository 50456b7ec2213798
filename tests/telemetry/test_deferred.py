"""Calls that the garbage collector ends: none is lost, and no lock is taken twice."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import otel_tools
from otel_tools import stats, tool
from otel_tools._telemetry import names
from otel_tools._telemetry.deferred import gc_running, pending_reports, report_pending
from otel_tools.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools.testing import Captured


@tool
def items() -> Iterator[int]:
    """Count without end."""
    number = 0
    while True:
        yield number
        number += 1


@tool
def ping() -> None:
    """Do nothing."""


def drop() -> None:
    """Leave a generator that only the garbage collector closes."""
    generator = items()
    next(generator)
    cycle: list[Any] = [generator]
    cycle.append(cycle)


def test_a_collected_call_is_counted_at_once_and_reported_when_metrics_are_read(seen: Captured) -> None:
    drop()
    gc.collect()
    assert items.tool.stats().calls.cancelled == stats()["items"].calls.cancelled == 1
    assert items.tool.stats().active == 0
    assert len(seen.spans) == 1

    drop()
    gc.collect()
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "items", names.OUTCOME: "cancelled"}) == 2
    assert [point.count for point in seen.points(names.DURATION.name)] == [2]
    assert len(seen.spans) == 2


def test_a_pending_report_of_before_a_capture_is_not_in_it() -> None:
    with capture() as before:
        drop()
        gc.collect()
        assert len(pending_reports) == 1
        with capture() as inner:
            assert len(pending_reports) == 0
        assert len(before.spans) == 1
    assert inner.spans == ()
    assert inner.points(names.DURATION.name) == []


def test_a_collected_call_is_reported_by_the_next_call_of_any_tool(seen: Captured) -> None:
    drop()
    gc.collect()
    assert len(pending_reports) == 1

    ping()

    assert len(pending_reports) == 0
    assert [span.name for span in seen.spans] == ["execute_tool items", "execute_tool ping"]


def test_the_duration_of_a_collected_call_ends_with_the_call(seen: Captured) -> None:
    drop()
    gc.collect()
    ping()

    dropped, ping_span = seen.spans
    assert dropped.end_time is not None
    assert ping_span.start_time is not None
    assert dropped.end_time <= ping_span.start_time + 1e6


def test_a_body_that_fails_while_it_is_collected_is_an_error(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable_errors: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: unraisable_errors.append(str(unraisable.exc_value)))

    @tool
    def failing() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise OSError("while closing")

    # No collection in between: it could sort the objects so that the body is finalized before the driver around it.
    gc.collect()
    gc.disable()
    try:
        cycle: list[Any] = [failing()]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        gc.collect()
    finally:
        gc.enable()

    assert unraisable_errors == ["while closing"]
    assert dict(seen.span("failing").attributes or {})["error.type"] == "OSError"


def test_a_tool_that_a_finalizer_calls_is_counted(seen: Captured) -> None:
    class Closing:
        def __del__(self) -> None:
            assert gc_running
            ping()

    cycle: list[Any] = [Closing()]
    cycle.append(cycle)
    del cycle
    gc.collect()

    assert not gc_running
    assert ping.tool.stats().calls.ok == 1
    assert seen.span("ping").status.is_unset


async def test_a_task_that_is_collected_while_its_tool_waits_is_counted(seen: Captured) -> None:
    @tool
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    coroutine = wait()
    coroutine.send(None)
    cycle: list[Any] = [coroutine]
    cycle.append(cycle)
    del coroutine, cycle
    gc.collect()

    assert (wait.tool.stats().calls.cancelled, wait.tool.stats().active) == (1, 0)


def test_the_collectors_callback_is_c_code() -> None:
    """A Ctrl-C that came in Python code called by the collector would be swallowed by it."""
    (ours,) = (each for each in gc.callbacks if getattr(each, "args", None) == (gc_running,))

    assert isinstance(ours, functools.partial)
    assert isinstance(ours.func, types.BuiltinFunctionType)
    for name in ("start", "stop"):
        setter = vars(type(gc_running))[name]
        assert type(setter) is property
        assert isinstance(setter.fset, types.MethodDescriptorType)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_child_of_a_fork_does_not_make_the_parents_pending_reports(seen: Captured) -> None:
    drop()
    gc.collect()
    child = os.fork()
    if child == 0:
        os._exit(len(pending_reports))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(seen.spans) == 1


def test_report_pending_without_pending_reports_does_nothing() -> None:
    report_pending()
    assert len(pending_reports) == 0


PROGRAM = """
import faulthandler, gc
faulthandler.dump_traceback_later(60, exit=True)
from otel_tools import stats, tool
from otel_tools._telemetry import names
from otel_tools.testing import capture

@tool
def items():
    while True:
        yield 1

with capture() as seen:
    gc.set_threshold({threshold})
    for _ in range(3000):
        generator = items()
        next(generator)
        cycle = [generator]
        cycle.append(cycle)
        stats()
        seen.points(names.CALLS.name)
    del generator, cycle
    gc.collect()
    assert items.tool.stats().calls.cancelled == 3000, items.tool.stats()
    assert sum(point.count for point in seen.points(names.DURATION.name)) == 3000
    assert items.tool.stats().active == 0
"""


@pytest.mark.parametrize("threshold", [7, 50, 700])
def test_the_collector_may_run_in_the_middle_of_an_export(threshold: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(threshold=threshold)],
        cwd=Path(otel_tools.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


AT_THE_END = """
import gc, sys
from otel_tools import configure, flush, tool
configure(exporter="file", file=sys.argv[1])

@tool
def items():
    while True:
        yield 1

generator = items()
next(generator)
cycle = [generator]
cycle.append(cycle)
del generator, cycle
gc.collect()
if sys.argv[2:] == ["flush"]:
    flush()
    assert "execute_tool items" in open(sys.argv[1]).read()
"""


@pytest.mark.parametrize("more", [[], ["flush"]])
def test_pending_reports_are_exported_by_flush_and_at_exit(tmp_path: Path, more: list[str]) -> None:
    subprocess.run(
        [sys.executable, "-c", AT_THE_END, str(tmp_path / "out.jsonl"), *more],
        cwd=Path(otel_tools.__file__).parents[1],
        timeout=60,
        check=True,
    )

    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").count('"execute_tool items"') == 1
