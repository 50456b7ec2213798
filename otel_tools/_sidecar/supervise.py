"""The supervisor process: keeps the sidecar's programs running, and stops them when it ends.

``python -m otel_tools._sidecar.supervise FOLDER [--lifeline]`` reads ``FOLDER/plan.json``, starts the
programs in its order, restarts those that end, and on SIGTERM or SIGINT stops them in the opposite order.
With ``--lifeline`` its standard input is a pipe from the process that started it. When that pipe closes, for
any reason, it stops as on SIGTERM. Lines on the pipe are orders: ``hold NAME``, ``start NAME``.

It is a process of its own, with one thread. Only then can each child safely run code between fork and exec:
it requests a SIGTERM from the kernel for when its parent ends. So on Linux a supervisor killed with SIGKILL
leaves no programs behind. macOS has no such request; there the next ``up`` or ``down`` finds the orphaned
programs in the state file and stops them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path

from otel_tools._sidecar.child import Child
from otel_tools._sidecar.programs import SupervisorPlan
from otel_tools._sidecar.state import Identity, Phase, SidecarState

STOP_WITHIN = 10.0  # seconds between SIGTERM and SIGKILL
_MAX_SLEEP = 30.0  # seconds; signals and orders end a sleep at once


class Supervisor:
    """Runs one plan.

    Args:
        folder: the state folder: it has ``plan.json`` and gets the state file.
        lifeline: the file descriptor of the pipe for orders; None for none.
    """

    def __init__(self, folder: Path, lifeline: int | None) -> None:
        self._folder = folder
        self._lifeline = lifeline
        self._plan = SupervisorPlan.read(folder)
        self._children = {program.name: Child(program, print_line) for program in self._plan.programs}
        identity = Identity.of(os.getpid())
        if identity is None:
            raise RuntimeError(f"the system does not tell when process {os.getpid()} was born")
        self._identity = identity
        self._started = time.time()
        self._phase: Phase = "starting"
        self._failure = ""
        self._last_written: SidecarState | None = None
        self._stop_requests = 0

    def run(self) -> int:
        """Start the programs, watch them until a stop is requested, and stop them.

        Returns:
            The exit code: 0, or 1 where the start failed.
        """
        wakeup = self._listen_to_signals()
        deadline = time.monotonic() + self._plan.start_within
        for child in self._children.values():
            child.start()
        while not self._stop_requests and not self._failure:
            next_turn = min(child.turn() for child in self._children.values())
            self._check_start(deadline)
            self._write()
            if not self._failure:
                self._sleep(wakeup, min(next_turn, time.monotonic() + _MAX_SLEEP))
        self._stop_all()
        return 1 if self._failure else 0

    def _check_start(self, deadline: float) -> None:
        if self._phase != "starting":
            return
        children = self._children.values()
        if all(child.condition == "healthy" for child in children):
            self._phase = "up"
            print_line(f"up after {time.time() - self._started:.1f} s")
            return
        is_late = time.monotonic() > deadline
        for child in children:
            # A program that ends before it was ever healthy would end again, so it is not restarted.
            if child.last_exit:
                self._failure = f"{child.program.name} {child.last_exit}"
            elif is_late and child.condition != "healthy":
                self._failure = (
                    f"{child.program.name} did not become healthy within {self._plan.start_within:g} s"
                    f" ({child.program.health})"
                )
            if self._failure:
                self._failure += child.tail()
                print_line(f"start failed: {self._failure}")
                return

    def _sleep(self, wakeup: int, until: float) -> None:
        descriptors = [wakeup] if self._lifeline is None else [wakeup, self._lifeline]
        ready, _, _ = select.select(descriptors, [], [], max(0.0, until - time.monotonic()))
        if wakeup in ready:
            os.read(wakeup, 4096)
        if self._lifeline in ready:
            self._handle_orders(os.read(self._lifeline, 4096))

    def _handle_orders(self, orders: bytes) -> None:
        if not orders:
            print_line("whoever started this is gone")
            self._stop_requests += 1
        for line in orders.decode().splitlines():
            order, _, name = line.partition(" ")
            if order == "hold":
                self._children[name].hold()
            elif order == "start":
                self._children[name].release()

    def _stop_all(self) -> None:
        self._phase = "failed" if self._failure else "stopping"
        self._write()
        # In the opposite order, so that senders stop before receivers.
        for child in reversed(self._children.values()):
            child.stop(STOP_WITHIN, hurry=lambda: self._stop_requests > 1)
        self._phase = "failed" if self._failure else "stopped"
        self._write()
        print_line(self._phase)

    def _listen_to_signals(self) -> int:
        def stop(_number: int, _frame: object) -> None:
            # It does not print, because a handler may interrupt a print, and Python refuses a nested one.
            self._stop_requests += 1

        wakeup, wakeup_writer = os.pipe()
        for end in (wakeup, wakeup_writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # Its only effect is to end the sleep; turn() checks each child.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return wakeup

    def _write(self) -> None:
        state = SidecarState(
            supervisor=self._identity,
            phase=self._phase,
            started=self._started,
            ports=self._plan.ports,
            programs={name: child.state() for name, child in self._children.items()},
            failure=self._failure,
        )
        if state != self._last_written:
            state.write(self._folder)
            self._last_written = state


def print_line(text: str) -> None:
    """Print one line with the time; standard output is the supervisor's log."""
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), text, flush=True)  # noqa: T201  # its standard output is its log


def main() -> int:
    """The command line of the supervisor."""
    lifeline = sys.stdin.fileno() if "--lifeline" in sys.argv[2:] else None
    return Supervisor(Path(sys.argv[1]), lifeline).run()


if __name__ == "__main__":
    sys.exit(main())
