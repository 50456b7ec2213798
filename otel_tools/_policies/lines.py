"""`line_for`: the line to write in place of an option's value that is a number or a text, such as ``retry=3``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_tools._policies.durations import rate_in, seconds_in
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from otel_tools._policies.options import Option

__all__ = ["line_for"]


def line_for(option: Option, value: Any) -> str:
    """What to write for an option in place of a value that is not of its class.

    The option with the numbers that the value has, where they make sense there; else with an example's.
    """
    kind = option.kind
    if kind is None or value is True or value is kind:
        return f"{option.name}={option.example}"
    if value is False:
        return f"{option.name}=None"
    args, options = _numbers_in(value, rates=option.name == "rate_limit")
    try:
        bound = inspect.signature(kind).bind(*args, **options)
        kind(*args, **options)
    except (ConfigurationError, TypeError):
        return f"{option.name}={option.example}"
    written = ", ".join(f"{name}={each!r}" for name, each in bound.arguments.items())
    return f"{option.name}={kind.__name__}({written})" if written else f"{option.name}={option.example}"


def _numbers_in(value: Any, *, rates: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(value, Mapping):
        return (), {str(name): each for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(value), {}
    if rates and (rate := rate_in(value)) is not None:
        return rate, {}
    seconds = seconds_in(value)
    return (value if seconds is None else seconds,), {}
