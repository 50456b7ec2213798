"""The record of a running sidecar, on disk, and which process it really is.

The supervisor writes it after every change; everybody else reads it. A process is known by its
number and its birth together, so that a number that the system gave to another program since is
never signalled.
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
    """One process: its number, and when it was born (opaque, only ever compared)."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this number now; None when there is none (a zombie is none)."""
        birth = _birth(pid)
        return cls(pid, birth) if birth else None

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Signal this very process; False when it is gone."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class ProgramState:
    """How one supervised program is.

    Attributes:
        identity: its process; None while it is down.
        condition: in one word.
        since: when its process started, in seconds since the epoch.
        restarts: how often it was started again.
        last_exit: how it last ended, in words; empty when it never did.
        health: the address that says whether it is well.
        log: its log file.
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
    """How the whole sidecar is.

    Attributes:
        supervisor: its process.
        phase: in one word.
        started: when, in seconds since the epoch.
        ports: by name, as in ``Ports``.
        programs: by name.
        failure: why the start failed; empty when it did not.
    """

    supervisor: Identity
    phase: Phase
    started: float
    ports: dict[str, int]
    programs: dict[str, ProgramState] = field(default_factory=dict)
    failure: str = ""

    def write(self, folder: Path) -> None:
        """Replace the record in ``folder`` as a whole, so that no reader sees half of one."""
        text = json.dumps(asdict(self), indent=2)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=FILE, delete=False) as new:
            new.write(text)
        Path(new.name).replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> SidecarState | None:
        """The record in ``folder``; None when there is none that this version can read."""
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
    """The record of the sidecar that runs in ``folder`` now; None when none does."""
    state = SidecarState.read(folder)
    return state if state and state.supervisor.alive() else None


def _identity(raw: dict[str, int | str] | None) -> Identity | None:
    return Identity(int(raw["pid"]), str(raw["birth"])) if raw else None


def _birth(pid: int) -> str:
    with suppress(OSError, IndexError):
        # The name, in brackets, may hold anything; what follows it is fixed: state first, start time 20th.
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        if after_name[0] in "ZX":
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{after_name[19]}"
    return "" if Path("/proc/self/stat").exists() else _birth_by_ps(pid)


def _birth_by_ps(pid: int) -> str:
    """The same on systems without /proc, to the second."""
    listed = subprocess.run(  # noqa: S603  # a fixed command with a number
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    state, _, started = listed.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
