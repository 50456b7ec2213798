"""The fence: what goes wrong in telemetry is logged here and goes no further."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import Final

__all__ = ["log_failure"]

logger = logging.getLogger("otel_tools")

_EVERY: Final = 60.0
_last: dict[str, float] = {}


def log_failure(doing: str) -> None:
    """Log the exception being handled, once a minute for each thing that was being done.

    Called from an ``except`` block around telemetry, so that a broken sampler, processor or exporter can neither
    fail nor alter the tool's call.

    Args:
        doing: What telemetry was about to do; ends the sentence "telemetry failed while ...".
    """
    now = time.monotonic()
    if now - _last.get(doing, -_EVERY) < _EVERY:
        return
    _last[doing] = now
    # A broken logging handler is no reason to fail the tool either.
    with contextlib.suppress(Exception):
        logger.warning("telemetry failed while %s; the tool's call goes on", doing, exc_info=sys.exc_info())
