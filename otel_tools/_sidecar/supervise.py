"""The supervisor: keeps the sidecar's programs running, and ends with all of them.

``python -m otel_tools._sidecar.supervise FOLDER [--lifeline]`` reads ``FOLDER/plan.json``, starts the
programs in its order, starts again what dies, and on SIGTERM or SIGINT stops them in the opposite order.
With ``--lifeline`` its standard input is a pipe from who started it: when that end closes, for whatever
reason, it stops as on SIGTERM; and lines on it are orders (``hold NAME``, ``start NAME``).

It is a process of its own, with one thread, because only then can each child safely ask the kernel, before
it becomes the program, for a SIGTERM at the death of its parent: a supervisor killed with SIGKILL leaves
nothing behind. That is Linux. macOS has no such request: there the next ``up`` or ``down`` finds the left
programs by the record and stops them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path

from otel_tools._sidecar.child import Child
from otel_tools._sidecar.programs import Plan
from otel_tools._sidecar.state import Identity, Phase, SidecarState

STOP_WITHIN = 10.0  # seconds a program has after SIGTERM, before SIGKILL
_IDLE = 30.0  # seconds: the longest sleep; signals and orders end it at once


class Supervisor:
    """Runs one plan.

    Args:
        folder: where ``plan.json`` is and the record goes.
        lifeline: the file descriptor to obey and to stop with; None for none.
    """

    def __init__(self, folder: Path, lifeline: int | None) -> None:
        self._folder = folder
        self._lifeline = lifeline
        self._plan = Plan.read(folder)
        self._children = {program.name: Child(program, print_line) for program in self._plan.programs}
        me = Identity.of(os.getpid())
        if me is None:
            raise RuntimeError(f"the system does not tell when process {os.getpid()} was born")
        self._me = me
        self._started = time.time()
        self._phase: Phase = "starting"
        self._failure = ""
        self._written: SidecarState | None = None
        self._stop_asked = 0

    def run(self) -> int:
        """Start, watch, stop. The exit code: 0, or 1 when the start failed."""
        waker = self._listen_to_signals()
        deadline = time.monotonic() + self._plan.start_within
        for child in self._children.values():
            child.start()
        while not self._stop_asked and not self._failure:
            due = min(child.turn() for child in self._children.values())
            self._judge_start(deadline)
            self._write()
            if not self._failure:
                self._sleep(waker, min(due, time.monotonic() + _IDLE))
        self._stop_all()
        return 1 if self._failure else 0

    def _judge_start(self, deadline: float) -> None:
        if self._phase != "starting":
            return
        children = self._children.values()
        if all(child.condition == "healthy" for child in children):
            self._phase = "up"
            print_line(f"up after {time.time() - self._started:.1f} s")
            return
        late = time.monotonic() > deadline
        for child in children:
            # A program that dies before it was ever well will die again: no second try.
            if child.last_exit:
                self._failure = f"{child.program.name} {child.last_exit}"
            elif late and child.condition != "healthy":
                self._failure = (
                    f"{child.program.name} did not become healthy within {self._plan.start_within:g} s"
                    f" ({child.program.health})"
                )
            if self._failure:
                self._failure += child.tail()
                print_line(f"start failed: {self._failure}")
                return

    def _sleep(self, waker: int, until: float) -> None:
        watched = [waker] if self._lifeline is None else [waker, self._lifeline]
        ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
        if waker in ready:
            os.read(waker, 4096)
        if self._lifeline in ready:
            self._obey(os.read(self._lifeline, 4096))

    def _obey(self, orders: bytes) -> None:
        if not orders:
            print_line("whoever started this is gone")
            self._stop_asked += 1
        for line in orders.decode().splitlines():
            order, _, name = line.partition(" ")
            if order == "hold":
                self._children[name].hold()
            elif order == "start":
                self._children[name].release()

    def _stop_all(self) -> None:
        self._phase = "failed" if self._failure else "stopping"
        self._write()
        # The opposite order: what sends stops before what receives.
        for child in reversed(self._children.values()):
            child.stop(STOP_WITHIN, hurry=lambda: self._stop_asked > 1)
        self._phase = "failed" if self._failure else "stopped"
        self._write()
        print_line(self._phase)

    def _listen_to_signals(self) -> int:
        def stop(_number: int, _frame: object) -> None:
            # Nothing else: a handler that prints may interrupt a print, which Python refuses.
            self._stop_asked += 1

        waker, wakened = os.pipe()
        for end in (waker, wakened):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # Only to wake up: turn() asks each child how it is.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return waker

    def _write(self) -> None:
        state = SidecarState(
            supervisor=self._me,
            phase=self._phase,
            started=self._started,
            ports=self._plan.ports,
            programs={name: child.state() for name, child in self._children.items()},
            failure=self._failure,
        )
        if state != self._written:
            state.write(self._folder)
            self._written = state


def print_line(text: str) -> None:
    """One line of the supervisor's log."""
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), text, flush=True)  # noqa: T201  # its standard output is its log


def main() -> int:
    """The command line of the supervisor."""
    lifeline = sys.stdin.fileno() if "--lifeline" in sys.argv[2:] else None
    return Supervisor(Path(sys.argv[1]), lifeline).run()


if __name__ == "__main__":
    sys.exit(main())
