"""The state file of a running sidecar, and the identity of its processes.

The supervisor writes the file after every change; other processes read it. A process is identified by its
pid and its start time together, so that a reused pid is never signalled.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Phase = Literal["starting", "up", "stopping", "failed", "stopped"]
Condition = Literal["starting", "healthy", "unhealthy", "restarting", "held", "stopped"]

FILE = "sidecar.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """One process.

    Attributes:
        pid: its process id.
        birth: its start time; opaque, only compared for equality.
    """

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this pid now; None where there is none or it is a zombie."""
        birth = _birth(pid)
        return cls(pid, birth) if birth else None

    def alive(self) -> bool:
        """Whether this process still runs."""
        return Identity.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal to this process; False where it has ended."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class ProgramState:
    """The state of one supervised program.

    Attributes:
        identity: its process; None while it is down.
        condition: its condition in one word.
        since: when its process started, in seconds since 1970.
        restarts: the number of restarts.
        last_exit: how it last ended, as text; empty where it never did.
        health: its health URL.
        log: the path of its log file.
    """

    identity: Identity | None
    condition: Condition
    since: float
    restarts: int
    last_exit: str
    health: str
    log: str


@dataclass(frozen=True, slots=True)
class SidecarState:
    """The state of the sidecar.

    Attributes:
        supervisor: the supervisor's process.
        phase: the phase in one word.
        started: when the supervisor started, in seconds since 1970.
        ports: the ports by name, as in ``Ports``.
        programs: the programs by name.
        failure: why the start failed; empty where it did not.
    """

    supervisor: Identity
    phase: Phase
    started: float
    ports: dict[str, int]
    programs: dict[str, ProgramState] = field(default_factory=dict)
    failure: str = ""

    def write(self, folder: Path) -> None:
        """Replace the state file in ``folder`` atomically, so that no reader sees half of it."""
        text = json.dumps(asdict(self), indent=2)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=FILE, delete=False) as file:
            file.write(text)
        Path(file.name).replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> SidecarState | None:
        """Read the state file in ``folder``; None where there is none that this version can read."""
        try:
            raw = json.loads((folder / FILE).read_text())
            programs = {
                name: ProgramState(**{**state, "identity": _identity(state["identity"])})
                for name, state in raw.pop("programs").items()
            }
            return cls(**{**raw, "supervisor": Identity(**raw["supervisor"]), "programs": programs})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def running(folder: Path) -> SidecarState | None:
    """The state of the sidecar that runs in ``folder``; None where none runs."""
    state = SidecarState.read(folder)
    return state if state and state.supervisor.alive() else None


def _identity(raw: dict[str, int | str] | None) -> Identity | None:
    return Identity(int(raw["pid"]), str(raw["birth"])) if raw else None


def _birth(pid: int) -> str:
    with suppress(OSError, IndexError):
        # The name, in brackets, may have any character. After it the state is the 1st field, the start time the 20th.
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        if after_name[0] in "ZX":
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{after_name[19]}"
    return "" if Path("/proc/self/stat").exists() else _birth_by_ps(pid)


def _birth_by_ps(pid: int) -> str:
    """The start time on systems without /proc, to the second."""
    listed = subprocess.run(  # noqa: S603  # a fixed command with a number
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    state, _, started = listed.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
