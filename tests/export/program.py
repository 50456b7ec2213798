"""Runs small programs as processes of their own, because `configure()` sets up a whole process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: Final = Path(__file__).parents[2]

SLOW_COLLECTOR: Final = {"OTEL_EXPORTER_OTLP_TIMEOUT": "120"}
"""A request to the collector may take two minutes. A program that ends `IN_TIME` has not waited for one."""

IN_TIME: Final = 40.0
"""Seconds, on a machine that is busy with other things. How long it takes on an idle one: ``tests/bench/exit.py``."""

SHORT_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL="
"""How the log line about a short interval of metrics begins."""

FORK_IS_MEANT: Final = "ignore:This process:DeprecationWarning"
"""From Python 3.12 on, a fork beside other threads gives a warning. These tests do that on purpose."""

PRELUDE: Final = """\
import json, logging, os, signal, sys, threading, time
from otel_tools import agent, configure, flush, shutdown, stats, tool

@tool
def work(n=0):
    return n

@tool
def fail():
    raise ValueError("no such city")

def report(**facts):
    sys.stdout.write(json.dumps(facts) + "\\n")
    sys.stdout.flush()

if "PATIENCE" in os.environ:
    from otel_tools._export import process_hooks
    patience = float(os.environ["PATIENCE"])
    flush.__defaults__ = shutdown.__defaults__ = (patience,)
    process_hooks._TIMEOUT = patience

def calls(function=work):
    return function.tool.stats().calls.total

def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.01)

"""
"""The first lines of every program. `report` sends facts to the test as lines of JSON."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Its exit code; minus the signal that ended it.
        reported: The facts that it reported, all lines in one dictionary.
        out: Its standard output.
        err: Its standard error, without the line about a short interval of metrics.
        exit_seconds: Seconds from the time that it reported as ``end`` to the end of the process.
        in_time: Whether it ended without being killed.
    """

    code: int
    reported: dict[str, Any]
    out: str
    err: str
    exit_seconds: float
    in_time: bool

    @property
    def lines(self) -> list[str]:
        """The lines of standard error that are not empty."""
        return [line for line in self.err.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can be run.

    Attributes:
        script: The code after the prelude.
        env: Additional environment variables. This process's ``OTEL_*`` variables are not inherited.
        seconds: It is killed after this time.
        while_running: Called with the running program.
        then: The code after the script; indented on its own.
        patient: Its end waits for the collector as long as that takes, so that nothing is lost on a busy machine. Not
            for programs whose collector is gone, or whose end is what is tested.
        measured: Whether `coverage` measures it, if it measures the tests. That takes time.
    """

    script: str
    env: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 180.0
    while_running: Callable[[Running], None] | None = None
    then: str = ""
    patient: bool = True
    measured: bool = True

    def run(self) -> Ended:
        """Run the program to its end."""
        with tempfile.TemporaryDirectory(prefix="otel-tools-test-") as folder:
            file = Path(folder, "program.py")
            file.write_text(PRELUDE + textwrap.dedent(self.script) + textwrap.dedent(self.then))
            unmeasured = {} if self.measured else {name: "" for name in os.environ if name.startswith("COVERAGE_")}
            patience = {"PATIENCE": "60"} if self.patient else {}
            running = Running([sys.executable, str(file)], {**patience, **self.env, **unmeasured}, self.seconds)
            try:
                if self.while_running is not None:
                    self.while_running(running)
                return running.wait()
            finally:
                running.kill()


class Running:
    """A running program."""

    def __init__(self, command: list[str], env: Mapping[str, str], seconds: float) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        self._deadline = time.monotonic() + seconds
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._err: list[str] = []
        self._out: list[str] = []
        self.reported: dict[str, Any] = {}
        # A process group of its own, so that no child process outlives the test.
        self.process = subprocess.Popen(
            command,
            env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": FORK_IS_MEANT, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._readers = [threading.Thread(target=read) for read in (self._read_out, self._read_err)]
        for reader in self._readers:
            reader.start()

    def wait_for(self, fact: str, seconds: float = 90.0) -> Any:
        """Wait until the program reports a fact; its value."""
        deadline = time.monotonic() + seconds
        while fact not in self.reported:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"never reported: {fact!r}; reported: {self.reported}; {''.join(self._err)}"
            self._note(line)
        return self.reported[fact]

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> Ended:
        """Wait for its end."""
        try:
            code = self.process.wait(max(0.0, self._deadline - time.monotonic()))
            ended, in_time = time.time(), True
        except subprocess.TimeoutExpired:
            self.kill()
            code, ended, in_time = self.process.wait(), time.time(), False
        for reader in self._readers:
            reader.join(5)
        while not self._lines.empty():
            self._note(self._lines.get() or "")
        return Ended(
            code,
            self.reported,
            "".join(self._out),
            # Many programs export metrics often on purpose, so that the tests are short.
            "".join(line for line in self._err if SHORT_INTERVAL not in line),
            ended - self.reported.get("end", ended),
            in_time,
        )

    def kill(self) -> None:
        """Kill it and its child processes, and end the threads that read its output."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _note(self, line: str) -> None:
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                self.reported |= json.loads(line)

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._out.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        self._err.extend(self.process.stderr)


def run_all(programs: Mapping[str, Program], at_once: int = 4) -> dict[str, Ended]:
    """Run programs in parallel; most of them mostly wait."""
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(programs, pool.map(Program.run, programs.values()), strict=True))
