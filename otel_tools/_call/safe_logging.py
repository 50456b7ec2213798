"""Logging from inside a tool's call: a broken logging handler must not fail the tool."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

__all__ = ["log_safely"]


def log_safely(
    logger: logging.Logger,
    level: int,
    message: str,
    *args: object,
    exc_info: Any = None,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Log a message; exceptions of handlers, filters and formatters are suppressed.

    Args:
        logger: The logger.
        level: The level, such as ``logging.WARNING``.
        message: The message, with ``%`` placeholders.
        args: The values of the placeholders.
        exc_info: As in `logging.Logger.log`.
        extra: As in `logging.Logger.log`.
    """
    # Records name the caller's file and line, not these.
    with contextlib.suppress(Exception):
        logger.log(level, message, *args, exc_info=exc_info, extra=extra, stacklevel=2)
