"""Starts and stops the sidecar's supervisor."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import otel_tools
from otel_tools._sidecar import configs
from otel_tools._sidecar.binaries import require_all
from otel_tools._sidecar.errors import NotRunningError, SidecarError, StartError
from otel_tools._sidecar.paths import display_path, state_dir
from otel_tools._sidecar.ports import Addresses, Ports
from otel_tools._sidecar.programs import START_WITHIN, make_plan
from otel_tools._sidecar.state import SidecarState, running
from otel_tools._sidecar.stop import STOP_TIMEOUT, stop_orphans, stop_running
from otel_tools._sidecar.webhook import write_webhook

SUPERVISOR_LOG = "supervisor.log"

_POLL_INTERVAL = 0.05  # seconds

Watch = Callable[[SidecarState], None]


class Sidecar(Addresses):
    """Collector, Jaeger, Prometheus and Alertmanager as supervised processes on this machine.

    As a context manager it runs for the block. It also stops when this process ends, unless it is detached.

    Args:
        ports: its ports; the standard ones by default.
        folder: the state folder, for data, logs, configs and the state file; the user's by default.
        binaries: the path of each component's program; by default the built ones or those on ``PATH``.
        alert_webhook: the webhook URL for alerts; None keeps the URL of an earlier start in ``folder``.
        replace: texts to replace in the configs and rules of Prometheus and Alertmanager, for tests.
    """

    def __init__(
        self,
        *,
        ports: Ports | None = None,
        folder: Path | None = None,
        binaries: Mapping[str, Path] | None = None,
        alert_webhook: str | None = None,
        replace: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(ports or Ports())
        self.folder = folder or state_dir()
        self._binaries = binaries
        self._alert_webhook = alert_webhook
        self._replace = replace or {}
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self, *, detach: bool = False, within: float = START_WITHIN, watch: Watch | None = None) -> Self:
        """Start all programs; return when all are healthy.

        Args:
            detach: whether it keeps running when this process ends.
            within: seconds until all must be healthy.
            watch: called with each new state during the start.

        Raises:
            PortsTakenError: another program listens on one of its ports.
            BinariesMissingError: a program is missing.
            StartError: a program ended or did not become healthy; with the last lines of its log.
            SidecarError: a sidecar already runs in this folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        binaries = dict(self._binaries or require_all())
        with _lock(self.folder) as lock:
            stop_orphans(self.folder)
            self.ports.require_free()
            webhook = write_webhook(self.folder, self._alert_webhook)
            rendered = configs.render(self.folder / "config", self.ports, webhook, self._replace)
            self._reap_supervisor()  # an earlier one has ended, because this process holds the lock
            make_plan(binaries, self.ports, rendered, self.folder, within).write(self.folder)
            self._supervisor = self._spawn(lock, detach=detach)
        try:
            self._await_start(self._supervisor, within, watch)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all programs; does nothing where it does not run."""
        stop_running(self.folder)
        self._reap_supervisor()

    def _reap_supervisor(self) -> None:
        process, self._supervisor = self._supervisor, None
        if process is not None:
            if process.stdin:
                process.stdin.close()
            process.wait(STOP_TIMEOUT)

    def __enter__(self) -> Self:
        """Start it for the block."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def state(self) -> SidecarState:
        """The present state.

        Raises:
            NotRunningError: it does not run.
        """
        state = running(self.folder)
        if state is None:
            raise NotRunningError(f"no sidecar runs in {display_path(self.folder)}", "Start it: otel-tools sidecar up")
        return state

    def send_order(self, order: str) -> None:
        """Send an order to the supervisor: ``hold NAME`` or ``start NAME``.

        Raises:
            NotRunningError: this object did not start the sidecar, or started it detached.
        """
        if self._supervisor is None or self._supervisor.stdin is None:
            raise NotRunningError(f"only who started the sidecar in {self.folder}, attached, can tell it to {order}")
        self._supervisor.stdin.write(f"{order}\n".encode())
        self._supervisor.stdin.flush()

    def _spawn(self, lock: IO[str], *, detach: bool) -> subprocess.Popen[bytes]:
        # So that the supervisor finds this package also in a checkout that is not installed.
        path = [str(Path(otel_tools.__path__[0]).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        with (self.folder / SUPERVISOR_LOG).open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # this very Python
                [
                    sys.executable,
                    "-m",
                    "otel_tools._sidecar.supervise",
                    str(self.folder),
                    *([] if detach else ["--lifeline"]),
                ],
                stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                # The supervisor inherits the lock and holds it until it ends.
                pass_fds=[lock.fileno()],
                # So that Ctrl-C reaches only this process, which then stops the supervisor.
                start_new_session=True,
            )

    def _await_start(self, supervisor: subprocess.Popen[bytes], within: float, watch: Watch | None) -> None:
        latest: SidecarState | None = None
        deadline = time.monotonic() + within + STOP_TIMEOUT
        while True:
            exit_code = supervisor.poll()
            state = SidecarState.read(self.folder)
            if state and state.supervisor.pid == supervisor.pid and state != latest:
                latest = state
                if watch:
                    watch(state)
                if state.phase == "up":
                    return
            if exit_code is not None or time.monotonic() > deadline:
                break
            time.sleep(_POLL_INTERVAL)
        log = self.folder / SUPERVISOR_LOG
        if latest and latest.failure:
            raise StartError(latest.failure, f"The whole logs: {display_path(self.folder / 'logs')}")
        raise StartError(
            f"the sidecar's supervisor ended with code {exit_code} while it started", f"Its log: {display_path(log)}"
        )


@contextmanager
def _lock(folder: Path) -> Iterator[IO[str]]:
    """Hold the lock of the state folder; a running supervisor holds it until it ends."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SidecarError(
                f"a sidecar runs already in {display_path(folder)}",
                "See it: otel-tools sidecar status. Stop it: otel-tools sidecar down",
            ) from None
        yield lock
