"""A sidecar whose programs a test can kill, hold down and restart."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from otel_tools._sidecar.errors import StartError
from otel_tools._sidecar.programs import START_WITHIN
from otel_tools._sidecar.runner import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._sidecar.state import ProgramState


class ControlledSidecar(Sidecar):
    """A sidecar with control of its single programs."""

    def kill(self, component: str, *, hold: bool = False) -> None:
        """Kill a program with SIGKILL, as a crash would.

        Args:
            component: ``collector``, ``jaeger``, ``prometheus`` or ``alertmanager``.
            hold: leave it down until :meth:`restart`; else the supervisor restarts it at once.

        Raises:
            NotRunningError: the sidecar does not run.
        """
        if hold:
            self.send_order(f"hold {component}")
            self._await(component, lambda state: state.condition == "held", 10.0, "be held down")
        elif identity := self.state().programs[component].identity:
            identity.signal(signal.SIGKILL)
            self._await(component, lambda state: state.identity != identity, 10.0, "die")

    def restart(self, component: str, within: float = START_WITHIN) -> None:
        """End a program with SIGTERM, or start one that is held down; return when it is healthy.

        Args:
            component: as for :meth:`kill`.
            within: seconds until it must be healthy.

        Raises:
            NotRunningError: the sidecar does not run.
            StartError: it did not become healthy.
        """
        before = self.state().programs[component].identity
        if before is None:
            self.send_order(f"start {component}")
        else:
            before.signal(signal.SIGTERM)
        self._await(
            component,
            lambda state: state.condition == "healthy" and state.identity not in (None, before),
            within,
            "become healthy again",
        )

    def wait_healthy(self, component: str, within: float = START_WITHIN) -> None:
        """Wait until a program is healthy.

        Args:
            component: as for :meth:`kill`.
            within: seconds until it must be healthy.

        Raises:
            StartError: it did not become healthy.
        """
        self._await(component, lambda state: state.condition == "healthy", within, "become healthy")

    def _await(self, component: str, done: Callable[[ProgramState], bool], within: float, what: str) -> None:
        deadline = time.monotonic() + within
        while not done(state := self.state().programs[component]):
            if time.monotonic() > deadline:
                raise StartError(f"{component} did not {what} within {within:g} s; it is {state.condition}", state.log)
            time.sleep(0.05)
