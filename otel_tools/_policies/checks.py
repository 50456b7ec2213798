"""Checks of numbers that are options."""

from __future__ import annotations

import math
from threading import TIMEOUT_MAX

__all__ = ["is_finite_number", "is_wait_seconds"]


def is_finite_number(value: object) -> bool:
    """Whether a value is a finite number, no bool, and fits into a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_wait_seconds(value: object) -> bool:
    """Whether a value is a number of seconds, 0 or more, for which a thread can wait."""
    return is_finite_number(value) and 0 <= value <= TIMEOUT_MAX  # type: ignore[operator] # a number
