"""What can go wrong with the sidecar, each with its way out."""

from __future__ import annotations


class SidecarError(Exception):
    """Something about the sidecar that a person can put right.

    Args:
        what: what is wrong, naming the thing and the value; may have several lines.
        fix: what to do about it, where there is more to say than ``what`` does.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}\n{fix}" if fix else what)
        self.what = what
        self.fix = fix


class PortsTakenError(SidecarError):
    """Another program listens on a port that the sidecar needs."""


class BinariesMissingError(SidecarError):
    """A program of the sidecar is neither built nor on ``PATH``."""


class BuildError(SidecarError):
    """Go is missing or too old, or its build failed."""


class StartError(SidecarError):
    """A program ended, or did not become healthy in time, while the sidecar started."""


class NotRunningError(SidecarError):
    """The sidecar is asked something that only a running one can answer."""
