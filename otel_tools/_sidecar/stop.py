"""Stops a sidecar from outside: the running one, and what a killed one left."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from otel_tools._sidecar.state import Identity, SidecarState, running

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 45.0  # seconds: four programs, each with the supervisor's own patience, and a little
_LEFT_PATIENCE = 10.0
_LOOK = 0.05


def stop_running(folder: Path) -> bool:
    """Stop the sidecar that runs in ``folder``, and what a killed one left there.

    Returns:
        Whether there was anything to stop.
    """
    state = running(folder)
    if state is None:
        return stop_left_programs(folder)
    _end(state.supervisor, PATIENCE)
    stop_left_programs(folder)
    return True


def stop_left_programs(folder: Path) -> bool:
    """Stop programs whose supervisor is gone; where the kernel ends them with it there are none.

    Returns:
        Whether there were any.
    """
    state = SidecarState.read(folder)
    if state is None or state.supervisor.alive():
        return False
    left = [program.identity for program in state.programs.values() if program.identity]
    alive = [identity for identity in left if identity.alive()]
    for identity in alive:
        _end(identity, _LEFT_PATIENCE)
    return bool(alive)


def _end(identity: Identity, within: float) -> None:
    deadline = time.monotonic() + within
    identity.signal(signal.SIGTERM)
    while identity.alive():
        if time.monotonic() > deadline:
            identity.signal(signal.SIGKILL)
        time.sleep(_LOOK)
