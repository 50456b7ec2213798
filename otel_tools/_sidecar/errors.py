"""The sidecar's errors, each with its fix."""

from __future__ import annotations


class SidecarError(Exception):
    """An error of the sidecar that a person can fix.

    Args:
        what: what is wrong, with the name and the value; may have several lines.
        fix: what to do about it; empty where ``what`` is enough.
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
    """A program ended or did not become healthy in time while the sidecar started."""


class NotRunningError(SidecarError):
    """The sidecar does not run, and the request needs a running one."""
