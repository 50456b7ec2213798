"""Durations and rates in people's words, such as ``5s`` and ``10 per minute``, for the errors that refuse them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

__all__ = ["rate_in", "seconds_in"]

_SECONDS: Final = {"": 1, "ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400}
_LONG_UNIT: Final = re.compile(r"(second|minute|hour|day)s?")
_DURATION: Final = re.compile(r"\s{0,9}(\d{1,9}(?:\.\d{1,9})?)\s{0,9}([a-z]{0,9})\.?\s{0,9}", re.IGNORECASE)
_RATE: Final = re.compile(
    r"\s{0,9}(\d{1,9})[a-z\s]{0,20}(?:/|\bper\b|\ban?\b)\s{0,9}(\d{1,9})?\s{0,9}([a-z]{1,9})\s{0,9}", re.IGNORECASE
)


def seconds_in(value: object) -> float | None:
    """The seconds of a duration such as ``"5s"``, ``"1.5 min"`` or a `timedelta`; None where it is none."""
    if isinstance(value, timedelta):
        return _whole(value.total_seconds())
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    unit = None if found is None else _unit(found[2])
    return None if found is None or unit is None else _whole(float(found[1]) * unit)


def rate_in(value: object) -> tuple[int, float] | None:
    """The number and the seconds of a rate such as ``"10/s"`` or ``"100 per hour"``; None where it is none."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    unit = None if found is None else _unit(found[3])
    return None if found is None or unit is None else (int(found[1]), _whole(int(found[2] or 1) * unit))


def _unit(text: str) -> float | None:
    lowered = text.lower()
    long = _LONG_UNIT.fullmatch(lowered)
    return _SECONDS.get(long[1][0] if long else lowered, _SECONDS.get(lowered.removesuffix("s")))


def _whole(number: float) -> float:
    return int(number) if number == int(number) else round(number, 6)
