"""`LogLimit`: lets the first log record of a kind through in a minute, and counts the others."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["LogLimit"]

_INTERVAL: Final = 60.0
_MAX_KINDS: Final = 1_000


class LogLimit:
    """Lets the first record of a kind through in a minute, and says with the next how many it held back."""

    __slots__ = ("_kinds", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._kinds: dict[Hashable, tuple[float, int]] = {}

    def held_back(self, kind: Hashable) -> int | None:
        """How many records of the kind were held back since the last one; None where this one is held back too."""
        now = time.monotonic()
        with self._lock:
            if len(self._kinds) > _MAX_KINDS:
                self._kinds.clear()
            began, count = self._kinds.get(kind, (-_INTERVAL, 0))
            if now - began < _INTERVAL:
                self._kinds[kind] = began, count + 1
                return None
            self._kinds[kind] = now, 0
            return count
