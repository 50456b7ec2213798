"""Logging from inside a tool's call, which a broken logging handler must not fail."""

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
    """Log a message; errors of filters, formatters and handlers are ignored.

    The record names the caller of this function as the place where it was logged.

    Args:
        logger: Where the message is logged.
        level: Such as `logging.WARNING`.
        message: The message, with ``%`` placeholders for ``args``.
        args: The values of the placeholders.
        exc_info: As for `logging.Logger.log`; True is the exception that is being handled.
        extra: As for `logging.Logger.log`.
    """
    with contextlib.suppress(Exception):
        logger.log(level, message, *args, exc_info=exc_info, extra=extra, stacklevel=2)
