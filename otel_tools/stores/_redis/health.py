"""Remembers that Redis is unreachable, so that calls fail at once instead of each waiting for a timeout."""

from __future__ import annotations

import logging
from typing import Final

from otel_tools._call.clock import clock
from otel_tools._call.safe_logging import log_safely

__all__ = ["Health"]

logger = logging.getLogger("otel_tools.stores.redis_health")

_BACK_OFF: Final = 1.0
"""Seconds after a failure in which Redis is not tried again."""

_LOG_INTERVAL: Final = 60.0
"""Seconds between two log lines."""


class Health:
    """Whether one Redis was reachable when it was last used. It needs no lock: at worst two calls try where one would.

    Args:
        address: The server, as the log and errors name it.
        log: Whether failures are logged.
    """

    __slots__ = ("_address", "_last_error", "_log", "_logged_at", "_unreachable_until")

    def __init__(self, address: str, *, log: bool) -> None:
        self._address = address
        self._log = log
        self._logged_at: float | None = None
        self._unreachable_until: float | None = None
        self._last_error = ""

    def check(self) -> None:
        """Raise if Redis is to be left alone; called before each operation.

        Raises:
            redis.exceptions.ConnectionError: Redis was unreachable less than a second ago.
        """
        until = self._unreachable_until
        if until is None:
            return
        present = clock.now()
        if until - _BACK_OFF <= present < until:
            from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - an optional dependency

            raise ConnectionFailed(
                f"{self._address} was away a moment ago and is asked again in {until - present:.3f} s: "
                f"{self._last_error}"
            )
        # The back-off has ended. This call tries; the others wait for its result for another back-off.
        self._unreachable_until = present + _BACK_OFF

    def record_success(self) -> None:
        """An operation succeeded: Redis is reachable."""
        self._unreachable_until = None

    def record_failure(self, error: Exception) -> None:
        """An operation failed: Redis is unreachable, or refused it."""
        from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - an optional dependency
        from redis.exceptions import TimeoutError as TimedOut  # noqa: PLC0415 - an optional dependency

        present = clock.now()
        if isinstance(error, (ConnectionFailed, TimedOut, OSError)):
            self._last_error = str(error)
            self._unreachable_until = present + _BACK_OFF
        else:
            self._unreachable_until = None
        if self._log and (self._logged_at is None or not 0 <= present - self._logged_at < _LOG_INTERVAL):
            self._logged_at = present
            log_safely(
                logger,
                logging.WARNING,
                "%s cannot be used (%s); until it can, each process limits by itself and caches are off",
                self._address,
                error,
            )
