"""Opens files that no other user may read: telemetry may hold arguments and results."""

from __future__ import annotations

import os

__all__ = ["open_private"]


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: where the file is created, its owner alone may read and write it."""
    return os.open(path, flags, 0o600)
