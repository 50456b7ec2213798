"""One supervised program: started, asked how it is, started again when it dies."""

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

FIRST_DELAY = 0.2  # seconds before the first new start; doubles with each death
LAST_DELAY = 30.0
WELL_AFTER = 60.0  # seconds of life after which a death is again a first one
LOG_LIMIT = 20 * 2**20  # bytes; the older part moves to NAME.log.1
TAIL_LINES = 12
TAIL_WIDTH = 400

_PROBE_STARTING = 0.1  # seconds between two looks at a program that starts
_PROBE_HEALTHY = 2.0
_PROBE_TIMEOUT = 1.0
_PR_SET_PDEATHSIG = 1


class Child:
    """The life of one program.

    Args:
        program: what to run.
        say: takes one line for the supervisor's log.
    """

    def __init__(self, program: Program, say: Callable[[str], None]) -> None:
        self.program = program
        self.condition: Condition = "stopped"
        self.last_exit = ""
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._since = 0.0
        self._restarts = 0
        self._delay = FIRST_DELAY
        self._due = 0.0
        self._log_began = 0

    def start(self) -> None:
        """Run the program, its output appended to its log."""
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        self._trim_log()
        with self.program.log.open("ab") as log:
            self._log_began = log.tell()
            try:
                self._process = subprocess.Popen(  # noqa: S603  # the plan is ours
                    self.program.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.program.log.parent,
                    env=_environment(self.program.env),
                    # Sound here and only here: this process has one thread.
                    preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509
                )
            except OSError as error:
                self._down(f"cannot be run: {error}")
                return
        self._identity = Identity.of(self._process.pid)
        self._since = time.time()
        self._due = time.monotonic()
        self.condition = "starting"
        self._say(f"{self.program.name} runs as process {self._process.pid}")

    def turn(self) -> float:
        """Look after the program once.

        Returns:
            When to look again at the latest, on the monotonic clock.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            self._died(code)
        if self.condition == "held" or time.monotonic() < self._due:
            return self._due
        if self._process is None:
            self._restarts += 1
            self.start()
        elif http.healthy(self.program.health, _PROBE_TIMEOUT):
            self.condition = "healthy"
            self._trim_log()
        elif self.condition == "healthy":
            self.condition = "unhealthy"
            self._say(f"{self.program.name} does not answer on {self.program.health}")
        self._due = time.monotonic() + (_PROBE_STARTING if self.condition == "starting" else _PROBE_HEALTHY)
        return self._due

    def hold(self) -> None:
        """Kill the program and leave it down."""
        if self._process is not None:
            self._process.kill()
            self._died(self._process.wait())
        self.condition = "held"
        self._due = float("inf")

    def release(self) -> None:
        """Start the program now that was held down, or that waits for its next start."""
        if self._process is None:
            self.condition = "restarting"
            self._due = time.monotonic()

    def stop(self, within: float, hurry: Callable[[], bool]) -> None:
        """End the program: SIGTERM, and SIGKILL when it takes longer than ``within`` seconds.

        Args:
            within: the patience.
            hurry: asked again and again; true ends the patience.
        """
        if self._process is not None:
            deadline = time.monotonic() + within
            self._process.terminate()
            while self._process.poll() is None and time.monotonic() < deadline and not hurry():
                time.sleep(0.02)
            if self._process.poll() is None:
                self._say(f"{self.program.name} did not stop on SIGTERM: killed")
                self._process.kill()
            self._process.wait()
            self._process = None
        self._identity = None
        self.condition = "stopped"

    def state(self) -> ProgramState:
        """What the record says of it."""
        return ProgramState(
            identity=self._identity,
            condition=self.condition,
            since=self._since,
            restarts=self._restarts,
            last_exit=self.last_exit,
            health=self.program.health,
            log=str(self.program.log),
        )

    def tail(self) -> str:
        """The last lines that the present run logged, indented, beginning with a line break."""
        with self.program.log.open("rb") as log:
            log.seek(self._log_began)
            lines = log.read()[-TAIL_LINES * TAIL_WIDTH * 4 :].decode(errors="replace").splitlines()
        return "".join(f"\n  | {_cut(line)}" for line in lines[-TAIL_LINES:])

    def _died(self, code: int) -> None:
        lived = time.time() - self._since
        if lived > WELL_AFTER:
            self._delay = FIRST_DELAY
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._down(f"{how} after {lived:.1f} s")

    def _down(self, why: str) -> None:
        self.last_exit = why
        self._process = None
        self._identity = None
        self._due = time.monotonic() + self._delay
        self._say(f"{self.program.name} {self.last_exit}; starts again in {self._delay:g} s")
        self._delay = min(self._delay * 2, LAST_DELAY)
        self.condition = "restarting"

    def _trim_log(self) -> None:
        log = self.program.log
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            # The program appends to this very file, so it is emptied, not renamed.
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def _cut(line: str) -> str:
    # The time and the place are at a line's beginning, the reason at its end.
    return line if len(line) <= TAIL_WIDTH else f"{line[: TAIL_WIDTH // 4]} ... {line[-TAIL_WIDTH * 3 // 4 :]}"


def _environment(own: dict[str, str]) -> dict[str, str]:
    # The application's OTEL_* variables are not for these programs: Jaeger would trace itself to them.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {**kept, **own}


def _end_with(parent: int) -> Callable[[], None] | None:
    """What a child does first so that it ends with its parent; None where the system cannot."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it died before the request

    return ask
