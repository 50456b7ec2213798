"""The private loop: one thread of the process, made when it is needed, and again in a child."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from otel_tools._model.toolset import background_loop
from otel_tools._model.toolset.background_loop import run_on_background_loop


async def where() -> tuple[int, str, bool]:
    thread = threading.current_thread()
    return id(asyncio.get_running_loop()), thread.name, thread.daemon


def test_all_work_shares_one_loop_on_one_daemon_thread() -> None:
    first, second = run_on_background_loop(where), run_on_background_loop(where)

    assert first == second
    assert first[1:] == ("otel_tools-loop", True)


def test_errors_of_the_work_reach_the_caller() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_on_background_loop(fail)


def test_a_tool_that_stops_the_loop_does_not_stop_other_tools() -> None:
    async def stop() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        return "done"

    assert run_on_background_loop(stop) == "done"
    assert run_on_background_loop(where)


def test_an_interrupted_wait_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    began = threading.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("slow")

    class Interrupted:
        def __init__(self, future: object) -> None:
            self._future = future

        def result(self) -> None:
            began.wait(10)
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> object:
            return getattr(self._future, name)

    submit = asyncio.run_coroutine_threadsafe
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", lambda *args: Interrupted(submit(*args)))
    with pytest.raises(KeyboardInterrupt):
        run_on_background_loop(slow)
    assert ended == ["slow"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python warns of forks with threads
def test_a_forked_child_has_its_own_loop() -> None:
    run_on_background_loop(where)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            os.write(writer, b"ok" if run_on_background_loop(where)[1] == "otel_tools-loop" else b"no")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"ok"
    os.waitpid(child, 0)
    assert run_on_background_loop(where)


def test_after_its_end_the_loop_can_start_again() -> None:
    home = background_loop._LoopThread()
    loop = home.get()
    home.end()
    home.end()

    assert loop.is_closed()
    assert not home.get().is_closed()
    home.end()


PROGRAM = """
import asyncio
from otel_tools._model.toolset.toolset import ToolSet
async def quick(): return 1
async def slow(): await asyncio.sleep(600)
tools = ToolSet([quick, slow], timeout=0.2)
said = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("quick", "slow")]
print([answer["tool_call_id"] for answer in tools.run(said)])
"""


def test_a_program_ends_without_warnings() -> None:
    began = time.monotonic()
    # Where coverage measures a child, asyncio is imported twice in it, and its exceptions are of two kinds.
    unmeasured = {name: "" for name in os.environ if name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", PROGRAM],
        env={**os.environ, **unmeasured},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout == "['quick', 'slow']\n"
    assert time.monotonic() - began < 300
