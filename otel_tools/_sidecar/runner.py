"""One sidecar: start it, stop it, and (in tests) hurt it."""

from __future__ import annotations

import fcntl
import os
import signal
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
from otel_tools._sidecar.paths import short, state_dir
from otel_tools._sidecar.ports import HOST, Ports
from otel_tools._sidecar.programs import START_WITHIN, plan
from otel_tools._sidecar.state import SidecarState, running
from otel_tools._sidecar.stop import PATIENCE, stop_left_programs, stop_running
from otel_tools._sidecar.webhook import write_webhook

SUPERVISOR_LOG = "supervisor.log"

_LOOK = 0.05  # seconds between two looks at the record

Watch = Callable[[SidecarState], None]


class Sidecar:
    """Collector, Jaeger, Prometheus and Alertmanager as supervised processes of this machine.

    As a context manager it runs for the block; should this process die, it stops by itself.

    Args:
        ports: where it listens; the standard ports by default.
        folder: for data, logs, configs and the record; the user's state folder by default.
        binaries: the program of each component; found when not given.
        alert_webhook: where alerts are sent; None keeps what an earlier start in ``folder`` set.
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
        self.ports = ports or Ports()
        self.folder = folder or state_dir()
        self._binaries = binaries
        self._alert_webhook = alert_webhook
        self._replace = replace or {}
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def otlp_http(self) -> str:
        """The base address for OTLP over HTTP, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` takes it."""
        return f"http://{HOST}:{self.ports.otlp_http}"

    @property
    def otlp_grpc(self) -> str:
        """The address for OTLP over gRPC."""
        return f"http://{HOST}:{self.ports.otlp_grpc}"

    @property
    def jaeger(self) -> str:
        """The base address of Jaeger's API and pages."""
        return f"http://{HOST}:{self.ports.jaeger_query}"

    @property
    def prometheus(self) -> str:
        """The base address of Prometheus."""
        return f"http://{HOST}:{self.ports.prometheus}"

    @property
    def alertmanager(self) -> str:
        """The base address of Alertmanager."""
        return f"http://{HOST}:{self.ports.alertmanager}"

    def start(self, *, detach: bool = False, within: float = START_WITHIN, watch: Watch | None = None) -> Self:
        """Start everything and return when all of it is healthy.

        Args:
            detach: keep it running when this process ends.
            within: seconds until all must be healthy.
            watch: called with each new record while it starts.

        Raises:
            PortsTakenError: somebody listens on a port it needs.
            BinariesMissingError: a program is missing.
            StartError: a program ended or did not become healthy; with the last lines of its log.
            SidecarError: one runs already in this folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        binaries = dict(self._binaries or require_all())
        with _lock(self.folder) as lock:
            stop_left_programs(self.folder)
            self.ports.require_free()
            webhook = write_webhook(self.folder, self._alert_webhook)
            rendered = configs.render(self.folder / "config", self.ports, webhook, self._replace)
            self._let_go()  # of an earlier supervisor, which is dead: the lock is ours
            plan(binaries, self.ports, rendered, self.folder, within).write(self.folder)
            self._supervisor = self._spawn(lock, detach=detach)
        try:
            self._await_start(self._supervisor, within, watch)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything; nothing to do when it does not run."""
        stop_running(self.folder)
        self._let_go()

    def _let_go(self) -> None:
        process, self._supervisor = self._supervisor, None
        if process is not None:
            if process.stdin:
                process.stdin.close()
            process.wait(PATIENCE)

    def __enter__(self) -> Self:
        """Start it for the block."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def state(self) -> SidecarState:
        """The present record.

        Raises:
            NotRunningError: it does not run.
        """
        state = running(self.folder)
        if state is None:
            raise NotRunningError(f"no sidecar runs in {short(self.folder)}", "Start it: otel-tools sidecar up")
        return state

    def kill(self, component: str, *, hold: bool = False) -> None:
        """Kill a program with SIGKILL, as a crash would.

        Args:
            component: ``collector``, ``jaeger``, ``prometheus`` or ``alertmanager``.
            hold: leave it down until :meth:`restart`; else the supervisor starts it again at once.

        Raises:
            NotRunningError: the sidecar does not run.
        """
        if hold:
            self._order(f"hold {component}")
            self._await(component, lambda state: state.condition == "held", 10.0, "be held down")
        elif identity := self.state().programs[component].identity:
            identity.signal(signal.SIGKILL)
            self._await(component, lambda state: state.identity != identity, 10.0, "die")

    def restart(self, component: str, within: float = START_WITHIN) -> None:
        """End a program as a deploy would (or one that is held down: start it), and wait until it is well.

        Args:
            component: as for :meth:`kill`.
            within: seconds until it must be healthy.

        Raises:
            NotRunningError: the sidecar does not run.
            StartError: it did not become healthy.
        """
        before = self.state().programs[component].identity
        if before is None:
            self._order(f"start {component}")
        else:
            before.signal(signal.SIGTERM)
        self._await(
            component,
            lambda state: state.condition == "healthy" and state.identity not in (None, before),
            within,
            "become healthy again",
        )

    def wait_healthy(self, component: str, within: float = START_WITHIN) -> None:
        """Wait until a program is well.

        Args:
            component: as for :meth:`kill`.
            within: seconds until it must be healthy.

        Raises:
            StartError: it did not become healthy.
        """
        self._await(component, lambda state: state.condition == "healthy", within, "become healthy")

    def _await(self, component: str, done: Callable[..., bool], within: float, what: str) -> None:
        deadline = time.monotonic() + within
        while not done(state := self.state().programs[component]):
            if time.monotonic() > deadline:
                raise StartError(f"{component} did not {what} within {within:g} s; it is {state.condition}", state.log)
            time.sleep(_LOOK)

    def _order(self, line: str) -> None:
        if self._supervisor is None or self._supervisor.stdin is None:
            raise NotRunningError(f"only who started the sidecar in {self.folder}, attached, can tell it to {line}")
        self._supervisor.stdin.write(f"{line}\n".encode())
        self._supervisor.stdin.flush()

    def _spawn(self, lock: IO[str], *, detach: bool) -> subprocess.Popen[bytes]:
        # From a checkout that is not installed, the supervisor finds the same package.
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
                # The supervisor holds the lock from now on, for as long as it lives.
                pass_fds=[lock.fileno()],
                # Ctrl-C in the terminal reaches us, and we stop it in order.
                start_new_session=True,
            )

    def _await_start(self, supervisor: subprocess.Popen[bytes], within: float, watch: Watch | None) -> None:
        seen: SidecarState | None = None
        deadline = time.monotonic() + within + PATIENCE
        while True:
            ended = supervisor.poll()
            state = SidecarState.read(self.folder)
            if state and state.supervisor.pid == supervisor.pid and state != seen:
                seen = state
                if watch:
                    watch(state)
                if state.phase == "up":
                    return
            if ended is not None or time.monotonic() > deadline:
                break
            time.sleep(_LOOK)
        log = self.folder / SUPERVISOR_LOG
        if seen and seen.failure:
            raise StartError(seen.failure, f"The whole logs: {short(self.folder / 'logs')}")
        raise StartError(f"the sidecar's supervisor ended with code {ended} while it started", f"Its log: {short(log)}")


@contextmanager
def _lock(folder: Path) -> Iterator[IO[str]]:
    """Hold the folder's lock, which a running supervisor holds all its life."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SidecarError(
                f"a sidecar runs already in {short(folder)}",
                "See it: otel-tools sidecar status. Stop it: otel-tools sidecar down",
            ) from None
        yield lock
