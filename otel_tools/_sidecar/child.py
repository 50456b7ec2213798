"""One supervised program: starts it, requests its health, restarts it when it ends."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from otel_tools._sidecar import http
from otel_tools._sidecar.state import Condition, Identity, ProgramState

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._sidecar.programs import Program

_MIN_RESTART_DELAY = 0.2  # seconds before the first restart; doubles with each one
_MAX_RESTART_DELAY = 30.0  # seconds
_RESET_DELAY_AFTER = 60.0  # seconds; a program that ran for longer restarts with the first delay again
_MAX_LOG_SIZE = 20 * 2**20  # bytes; a longer log moves to NAME.log.1
_TAIL_LINES = 12
_MAX_TAIL_WIDTH = 400  # characters

_HEALTH_INTERVAL_STARTING = 0.1  # seconds between two health requests to a program that starts
_HEALTH_INTERVAL = 2.0  # seconds
_HEALTH_TIMEOUT = 1.0  # seconds
_PR_SET_PDEATHSIG = 1


class Child:
    """One program and its process.

    Args:
        program: the program to run.
        log: writes one line to the supervisor's log.
    """

    def __init__(self, program: Program, log: Callable[[str], None]) -> None:
        self.program = program
        self.condition: Condition = "stopped"
        self.last_exit = ""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._started = 0.0
        self._restarts = 0
        self._delay = _MIN_RESTART_DELAY
        self._next_turn = 0.0
        self._log_offset = 0

    def start(self) -> None:
        """Start the program; its output is appended to its log."""
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        self._trim_log()
        with self.program.log.open("ab") as log:
            self._log_offset = log.tell()
            try:
                self._process = subprocess.Popen(  # noqa: S603  # the command is the plan's
                    self.program.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.program.log.parent,
                    env=_environment(self.program.env),
                    # Safe only because this process has one thread.
                    preexec_fn=_end_with_parent(os.getpid()),  # noqa: PLW1509
                )
            except OSError as error:
                self._mark_down(f"cannot be run: {error}")
                return
        self._identity = Identity.of(self._process.pid)
        self._started = time.time()
        self._next_turn = time.monotonic()
        self.condition = "starting"
        self._log(f"{self.program.name} runs as process {self._process.pid}")

    def turn(self) -> float:
        """Check the program once, and restart it when it is time.

        Returns:
            When the next turn is due, on the monotonic clock.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            self._ended(code)
        if self.condition == "held" or time.monotonic() < self._next_turn:
            return self._next_turn
        if self._process is None:
            self._restarts += 1
            self.start()
        elif http.healthy(self.program.health, _HEALTH_TIMEOUT):
            self.condition = "healthy"
            self._trim_log()
        elif self.condition == "healthy":
            self.condition = "unhealthy"
            self._log(f"{self.program.name} does not answer on {self.program.health}")
        self._next_turn = time.monotonic() + (
            _HEALTH_INTERVAL_STARTING if self.condition == "starting" else _HEALTH_INTERVAL
        )
        return self._next_turn

    def hold(self) -> None:
        """Kill the program and leave it down."""
        if self._process is not None:
            self._process.kill()
            self._ended(self._process.wait())
        self.condition = "held"
        self._next_turn = float("inf")

    def release(self) -> None:
        """Start a program that is held down or waits for its restart."""
        if self._process is None:
            self.condition = "restarting"
            self._next_turn = time.monotonic()

    def stop(self, within: float, hurry: Callable[[], bool]) -> None:
        """Stop the program with SIGTERM, and with SIGKILL where it does not end in time.

        Args:
            within: the time after SIGTERM, in seconds.
            hurry: polled meanwhile; true ends the wait.
        """
        if self._process is not None:
            deadline = time.monotonic() + within
            self._process.terminate()
            while self._process.poll() is None and time.monotonic() < deadline and not hurry():
                time.sleep(0.02)
            if self._process.poll() is None:
                self._log(f"{self.program.name} did not stop on SIGTERM: killed")
                self._process.kill()
            self._process.wait()
            self._process = None
        self._identity = None
        self.condition = "stopped"

    def state(self) -> ProgramState:
        """Its entry in the state file."""
        return ProgramState(
            identity=self._identity,
            condition=self.condition,
            since=self._started,
            restarts=self._restarts,
            last_exit=self.last_exit,
            health=self.program.health,
            log=str(self.program.log),
        )

    def tail(self) -> str:
        """The last log lines of the present run, each indented and after a line break."""
        with self.program.log.open("rb") as log:
            log.seek(self._log_offset)
            lines = log.read()[-_TAIL_LINES * _MAX_TAIL_WIDTH * 4 :].decode(errors="replace").splitlines()
        return "".join(f"\n  | {_shorten(line)}" for line in lines[-_TAIL_LINES:])

    def _ended(self, code: int) -> None:
        lifetime = time.time() - self._started
        if lifetime > _RESET_DELAY_AFTER:
            self._delay = _MIN_RESTART_DELAY
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._mark_down(f"{how} after {lifetime:.1f} s")

    def _mark_down(self, reason: str) -> None:
        self.last_exit = reason
        self._process = None
        self._identity = None
        self._next_turn = time.monotonic() + self._delay
        self._log(f"{self.program.name} {self.last_exit}; starts again in {self._delay:g} s")
        self._delay = min(self._delay * 2, _MAX_RESTART_DELAY)
        self.condition = "restarting"

    def _trim_log(self) -> None:
        log = self.program.log
        if log.exists() and log.stat().st_size > _MAX_LOG_SIZE:
            # The program has this file open, so it is copied and emptied, not renamed.
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def _shorten(line: str) -> str:
    # The start of a line has the time and place, its end the reason.
    if len(line) <= _MAX_TAIL_WIDTH:
        return line
    return f"{line[: _MAX_TAIL_WIDTH // 4]} ... {line[-_MAX_TAIL_WIDTH * 3 // 4 :]}"


def _environment(own: dict[str, str]) -> dict[str, str]:
    # Without the application's OTEL_* variables: Jaeger, for example, would send its own traces by them.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {**inherited, **own}


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """A function for the child that makes it end with its parent; None where the system has no such request."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def request_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent ended before the request

    return request_signal
