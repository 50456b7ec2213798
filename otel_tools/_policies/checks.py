"""Checks of options that several policies have: numbers, and the errors that a policy is about."""

from __future__ import annotations

import inspect
import math
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

if TYPE_CHECKING:
    from otel_tools._arguments.tool_info import ToolInfo

__all__ = ["check_store", "is_finite_number", "is_wait_seconds", "matching_errors", "problem_of_errors"]


def check_store(store: object, info: ToolInfo) -> None:
    """Let a store refuse a tool, where it has an opinion.

    Raises:
        ConfigurationError: The store does not serve such a tool.
    """
    check = getattr(store, "check_tool", None)
    if check is not None:
        check(info.tool, asynchronous=info.asynchronous)


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


def problem_of_errors(on: Any) -> str:
    """Why a value names no errors; empty where it is an exception class, a tuple of them, or a plain function."""
    if isinstance(on, (type, tuple)):
        kinds = on if isinstance(on, tuple) else (on,)
        named = kinds and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds)
        return "" if named else "an exception class, a tuple of them, or a function of the error is needed"
    if not callable(on):
        return "an exception class, a tuple of them, or a function of the error is needed"
    if inspect.iscoroutinefunction(on) or inspect.iscoroutinefunction(type(on).__call__):
        return "the function is called in sync tools too, so it must not be async"
    return ""


def matching_errors(on: Any) -> Callable[[BaseException], bool]:
    """A function that says whether an error is one of those that `problem_of_errors` found nothing wrong with."""
    if isinstance(on, (type, tuple)):
        return lambda error: isinstance(error, on)
    return lambda error: bool(on(error))
