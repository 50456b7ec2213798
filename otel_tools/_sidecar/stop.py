"""Stops the running sidecar, and orphaned programs of a killed one."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from otel_tools._sidecar.state import Identity, SidecarState, running

if TYPE_CHECKING:
    from pathlib import Path

STOP_TIMEOUT = 45.0  # seconds: the supervisor's time-out for four programs, and a margin
_ORPHAN_TIMEOUT = 10.0  # seconds
_POLL_INTERVAL = 0.05  # seconds


def stop_running(folder: Path) -> bool:
    """Stop the sidecar that runs in ``folder``, and orphaned programs of a killed one.

    Returns:
        Whether there was anything to stop.
    """
    state = running(folder)
    if state is None:
        return stop_orphans(folder)
    _end(state.supervisor, STOP_TIMEOUT)
    stop_orphans(folder)
    return True


def stop_orphans(folder: Path) -> bool:
    """Stop programs whose supervisor has ended. On Linux there are none: the kernel ends them with it.

    Returns:
        Whether there were any.
    """
    state = SidecarState.read(folder)
    if state is None or state.supervisor.alive():
        return False
    orphans = [program.identity for program in state.programs.values() if program.identity]
    alive = [identity for identity in orphans if identity.alive()]
    for identity in alive:
        _end(identity, _ORPHAN_TIMEOUT)
    return bool(alive)


def _end(identity: Identity, within: float) -> None:
    deadline = time.monotonic() + within
    identity.signal(signal.SIGTERM)
    while identity.alive():
        if time.monotonic() > deadline:
            identity.signal(signal.SIGKILL)
        time.sleep(_POLL_INTERVAL)
