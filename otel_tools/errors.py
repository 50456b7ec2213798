"""What can be raised to the people who use the library: one tree."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

__all__ = [
    "REFUSED",
    "CircuitOpen",
    "ConcurrencyLimited",
    "ConfigurationError",
    "FieldError",
    "InvalidArguments",
    "InvalidResult",
    "RateLimited",
    "ToolError",
    "ToolTimeout",
    "class_name_of",
    "error_type_of",
]


class ConfigurationError(ValueError):
    """An option has a value that cannot work.

    Raised where the option is given (at decoration, or by ``configure()``), never later at a call. The
    message names the tool or argument, the value and what would be accepted.
    """


class ToolError(Exception):
    """A policy of a tool ended its call. What the tool itself raises is never wrapped in one.

    Attributes:
        tool: The tool's name.
        error_type: How spans and metrics name it.
        retry_after: Seconds after which another call may succeed; None where nobody knows.
    """

    error_type: ClassVar[str] = "tool_error"

    def __init__(self, message: str, *, tool: str = "", retry_after: float | None = None) -> None:
        # All but the message by keyword and with a default: that is what pickle and copy can make anew.
        super().__init__(message)
        self.tool = tool
        self.retry_after = retry_after


class FieldError(NamedTuple):
    """One thing that is wrong with a call's arguments, or with a result.

    Attributes:
        field: The argument, and the way into it: ``items.0.price``.
        problem: What is wrong, without the value.
        expected: What would be right; empty where the problem says it all.
    """

    field: str
    problem: str
    expected: str = ""


class InvalidArguments(ToolError, ValueError):  # noqa: N818 - what happened, in the words of the options
    """The model's arguments do not fit the tool: the model's mistake, which it can mend, and no failure of the tool.

    Attributes:
        errors: What is wrong, field by field. Values are not repeated: they may be secrets.
    """

    error_type = "invalid_arguments"

    def __init__(self, message: str, *, tool: str = "", errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, tool=tool)
        self.errors = errors


class InvalidResult(ToolError):  # noqa: N818 - what happened, in the words of the options
    """The tool returned what its own annotation does not allow.

    Attributes:
        errors: What is wrong, field by field, without the values.
    """

    error_type = "invalid_result"

    def __init__(self, message: str, *, tool: str = "", errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, tool=tool)
        self.errors = errors


class ToolTimeout(ToolError, TimeoutError):  # noqa: N818 - what happened, in the words of the options
    """An attempt took longer than the tool's ``timeout``. A `TimeoutError`, and retried as one.

    Attributes:
        timeout: The limit, in seconds.
    """

    error_type = "timeout"

    def __init__(self, message: str, *, tool: str = "", timeout: float | None = None) -> None:
        super().__init__(message, tool=tool)
        self.timeout = timeout


class RateLimited(ToolError):  # noqa: N818 - what happened, in the words of the options
    """No token came free within ``max_wait``."""

    error_type = "rate_limited"


class ConcurrencyLimited(ToolError):  # noqa: N818 - what happened, in the words of the options
    """No slot came free within ``max_wait``, or too many calls that timed out are still running."""

    error_type = "concurrency_limited"


class CircuitOpen(ToolError):  # noqa: N818 - what happened, in the words of the options
    """The tool failed too often and is left alone until its circuit breaker's cooldown is over."""

    error_type = "circuit_open"


REFUSED: Final = (RateLimited, ConcurrencyLimited, CircuitOpen)
"""A policy refused the attempt before the tool ran: not to be retried, and no failure of what the tool calls."""


def class_name_of(error: BaseException) -> str:
    """The name of an exception's class, qualified by its module unless it is a builtin."""
    kind: type[Any] = type(error)
    if kind.__module__ == "builtins":
        return str(kind.__qualname__)
    return f"{kind.__module__}.{kind.__qualname__}"


def error_type_of(error: BaseException) -> str:
    """The ``error.type`` of an exception: ours say it themselves; of any other it is the name of its class."""
    return error.error_type if isinstance(error, ToolError) else class_name_of(error)
