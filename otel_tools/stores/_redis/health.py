"""Is Redis there? Whoever finds that it is not spares the others the waiting."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from otel_tools._call.clock import clock

__all__ = ["Health"]

logger = logging.getLogger("otel_tools.stores.redis_health")

_BACK_OFF: Final = 1.0
"""Seconds for which a Redis that is away is not asked again."""

_LOG_EVERY: Final = 60.0
"""Seconds between two log lines."""


class Health:
    """What the last answer, or its absence, says. It needs no lock: at worst two calls ask where one would do.

    Args:
        where: How the log and errors call the server.
        log: Whether failures are logged.
    """

    __slots__ = ("_away_until", "_log", "_logged", "_where", "_why")

    def __init__(self, where: str, *, log: bool) -> None:
        self._where = where
        self._log = log
        self._logged: float | None = None
        self._away_until: float | None = None
        self._why = ""

    def check(self) -> None:
        """To be called before asking.

        Raises:
            redis.exceptions.ConnectionError: It did not answer a moment ago.
        """
        until = self._away_until
        if until is None:
            return
        present = clock.now()
        if until - _BACK_OFF <= present < until:
            from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - only who has it asks it

            raise ConnectionFailed(
                f"{self._where} was away a moment ago and is asked again in {until - present:.3f} s: {self._why}"
            )
        # This call finds out for all.
        self._away_until = present + _BACK_OFF

    def answered(self) -> None:
        """It is there."""
        self._away_until = None

    def failed(self, error: Exception) -> None:
        """It could not be reached, or would not do what it was asked to."""
        from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - as above
        from redis.exceptions import TimeoutError as TimedOut  # noqa: PLC0415 - as above

        present = clock.now()
        if isinstance(error, (ConnectionFailed, TimedOut, OSError)):
            self._why = str(error)
            self._away_until = present + _BACK_OFF
        else:
            self._away_until = None
        if self._log and (self._logged is None or not 0 <= present - self._logged < _LOG_EVERY):
            self._logged = present
            # A broken logging handler must not fail the tool.
            with contextlib.suppress(Exception):
                logger.warning(
                    "%s cannot be used (%s); until it can, each process limits by itself and caches are off",
                    self._where,
                    error,
                )
