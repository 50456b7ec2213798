"""Logs errors raised by telemetry, so that they never reach the tool."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

from otel_tools._call.safe_logging import log_safely

__all__ = ["log_failure"]

logger = logging.getLogger("otel_tools")

_INTERVAL: Final = 60.0
"""Seconds between two logs of the same action."""

_last_logged: dict[str, float] = {}


def log_failure(doing: str) -> None:
    """Log the exception being handled, at most once a minute for each action.

    Call it from an ``except`` block around telemetry, so that a broken sampler, processor or exporter can neither
    fail nor alter the tool's call.

    Args:
        doing: The action that failed. It ends the sentence "telemetry failed while ...".
    """
    now = time.monotonic()
    if now - _last_logged.get(doing, -_INTERVAL) < _INTERVAL:
        return
    _last_logged[doing] = now
    log_safely(
        logger, logging.WARNING, "telemetry failed while %s; the tool's call goes on", doing, exc_info=sys.exc_info()
    )
