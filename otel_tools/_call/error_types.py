"""The ``error.type`` of an exception, and which errors mean that a policy refused an attempt."""

from __future__ import annotations

from typing import Any, Final

from otel_tools.errors import CircuitOpen, ConcurrencyLimited, RateLimited, ToolError

__all__ = ["REFUSED", "class_name_of", "error_type_of"]

REFUSED: Final = (RateLimited, ConcurrencyLimited, CircuitOpen)
"""A policy refused the attempt before the tool ran: it is not retried, and is no failure of the back end."""


def class_name_of(error: BaseException) -> str:
    """The name of an exception's class, qualified by its module unless it is a builtin."""
    kind: type[Any] = type(error)
    if kind.__module__ == "builtins":
        return str(kind.__qualname__)
    return f"{kind.__module__}.{kind.__qualname__}"


def error_type_of(error: BaseException) -> str:
    """The ``error.type`` of an exception: ours have one; that of any other is the name of its class."""
    return error.error_type if isinstance(error, ToolError) else class_name_of(error)
