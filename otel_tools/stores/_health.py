"""Remembers that a store cannot be used, so that calls fail at once instead of each waiting for a timeout."""

from __future__ import annotations

from typing import Final

from otel_tools._call.clock import clock

__all__ = ["Health"]

_BACK_OFF: Final = 1.0
"""Seconds after a failure in which the store is not tried again."""


class Health:
    """Whether one store could be used when it was last tried. It needs no lock: at worst two calls try where one would.

    Attributes:
        last_error: What the store said when it could not be used.
    """

    __slots__ = ("_away_until", "last_error")

    def __init__(self) -> None:
        self._away_until: float | None = None
        self.last_error = ""

    def seconds_left(self) -> float:
        """Seconds for which the store is to be left alone; asked before each operation. 0 where it is to be tried."""
        until = self._away_until
        if until is None:
            return 0.0
        present = clock.now()
        if until - _BACK_OFF <= present < until:
            return until - present
        # The back-off has ended. This call tries; the others wait for its result for another back-off.
        self._away_until = present + _BACK_OFF
        return 0.0

    def record_success(self) -> None:
        """An operation succeeded, or the store refused it: it can be used."""
        self._away_until = None

    def record_failure(self, error: Exception) -> None:
        """The store could not be used."""
        self.last_error = str(error)
        self._away_until = clock.now() + _BACK_OFF
