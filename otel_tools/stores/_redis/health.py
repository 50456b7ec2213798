"""Whether a Redis can be reached, and the log of it."""

from __future__ import annotations

import logging
from typing import Final

from otel_tools._call.clock import clock
from otel_tools._call.safe_logging import log_safely
from otel_tools.stores._health import Health

__all__ = ["RedisHealth"]

logger = logging.getLogger("otel_tools.stores.redis_health")

_LOG_INTERVAL: Final = 60.0
"""Seconds between two log lines."""


class RedisHealth:
    """Whether one Redis was reachable when it was last used.

    Args:
        address: The server, as the log and errors name it.
        log: Whether failures are logged.
    """

    __slots__ = ("_address", "_health", "_log", "_logged_at")

    def __init__(self, address: str, *, log: bool) -> None:
        self._address = address
        self._health = Health()
        self._log = log
        self._logged_at: float | None = None

    def check(self) -> None:
        """Raise if Redis is to be left alone; called before each operation.

        Raises:
            redis.exceptions.ConnectionError: Redis was unreachable less than a second ago.
        """
        if seconds := self._health.seconds_left():
            from redis.exceptions import ConnectionError as ConnectionFailed  # noqa: PLC0415 - an optional dependency

            raise ConnectionFailed(
                f"{self._address} was away a moment ago and is asked again in {seconds:.3f} s: "
                f"{self._health.last_error}"
            )

    def record_success(self) -> None:
        """An operation succeeded: Redis is reachable."""
        self._health.record_success()

    def record_failure(self, error: Exception) -> None:
        """An operation failed: Redis is unreachable, or refused it."""
        if _is_unreachable(error):
            self._health.record_failure(error)
        else:
            self._health.record_success()
        present = clock.now()
        if self._log and (self._logged_at is None or not 0 <= present - self._logged_at < _LOG_INTERVAL):
            self._logged_at = present
            log_safely(
                logger,
                logging.WARNING,
                "%s cannot be used (%s); until it can, each process limits by itself and caches are off",
                self._address,
                error,
            )


def _is_unreachable(error: Exception) -> bool:
    from redis import exceptions  # noqa: PLC0415 - an optional dependency

    # The last two are a cluster's: a node, or a part of the keys, is away. redis-py has then tried for long.
    return isinstance(
        error,
        (
            exceptions.ConnectionError,
            exceptions.TimeoutError,
            OSError,
            exceptions.RedisClusterException,
            exceptions.ClusterError,
        ),
    )
