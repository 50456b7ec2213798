"""Which values are numbers that an option can be."""

from __future__ import annotations

import math
from threading import TIMEOUT_MAX

__all__ = ["is_number", "is_wait"]


def is_number(value: object) -> bool:
    """Whether it is a finite number, no bool, and one that fits into a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_wait(value: object) -> bool:
    """Whether it is a number of seconds, 0 or more, that a thread can wait."""
    return is_number(value) and 0 <= value <= TIMEOUT_MAX  # type: ignore[operator] # a number
