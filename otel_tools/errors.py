"""The exceptions of the library: one tree."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

__all__ = [
    "CircuitOpen",
    "ConcurrencyLimited",
    "ConfigurationError",
    "FailedResult",
    "FieldError",
    "InvalidArguments",
    "InvalidResult",
    "RateLimited",
    "ToolError",
    "ToolTimeout",
]


class ConfigurationError(ValueError):
    """An option has a value that cannot work.

    Raised where the option is given (at decoration, or by ``configure()``), never later at a call. The
    message names the tool or argument, the value and what is accepted.
    """


class ToolError(Exception):
    """A policy of a tool ended its call. An exception of the tool's own function is never wrapped in one.

    Attributes:
        tool: The tool's name.
        error_type: The ``error.type`` on spans and metrics.
        retry_after: Seconds after which another call may succeed; None where that is unknown.
    """

    error_type: ClassVar[str] = "tool_error"

    def __init__(self, message: str, *, tool: str = "", retry_after: float | None = None) -> None:
        # All but the message are keywords with defaults, so that pickle and copy can rebuild the exception.
        super().__init__(message)
        self.tool = tool
        self.retry_after = retry_after


class FieldError(NamedTuple):
    """One field of a call's arguments, or of a result, that validation refused.

    Attributes:
        field: The path of the field, such as ``items.0.price``.
        problem: Why it was refused, without the value.
        expected: What is accepted; empty where the problem says it.
    """

    field: str
    problem: str
    expected: str = ""


class InvalidArguments(ToolError, ValueError):  # noqa: N818 - what happened, in the words of the options
    """The model's arguments do not fit the tool: a mistake that the model can correct, and no failure of the tool.

    Attributes:
        errors: The refused fields. They do not repeat the values, which may be secrets.
    """

    error_type = "invalid_arguments"

    def __init__(self, message: str, *, tool: str = "", errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, tool=tool)
        self.errors = errors


class InvalidResult(ToolError):  # noqa: N818 - what happened, in the words of the options
    """The tool returned a value that its own annotation does not allow.

    Attributes:
        errors: The refused fields, without the values.
    """

    error_type = "invalid_result"

    def __init__(self, message: str, *, tool: str = "", errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, tool=tool)
        self.errors = errors


class FailedResult(ToolError):  # noqa: N818 - what happened, in the words of the options
    """The tool returned a failure: a result for which ``failed_if`` is true, or a ``ToolResult.failure``.

    Never raised: the caller gets the result itself. It is what ``Retry(on=...)`` is asked about, so ``on=FailedResult``
    retries such results.

    Attributes:
        result: What the tool returned.
    """

    def __init__(
        self, message: str, *, tool: str = "", retry_after: float | None = None, result: object = None
    ) -> None:
        super().__init__(message, tool=tool, retry_after=retry_after)
        self.result = result


class ToolTimeout(ToolError, TimeoutError):  # noqa: N818 - what happened, in the words of the options
    """An attempt took longer than the tool's ``timeout``, or a turn than the `ToolSet` allows.

    A `TimeoutError`, and retried as one.

    Attributes:
        timeout: The limit, in seconds.
    """

    error_type = "timeout"

    def __init__(self, message: str, *, tool: str = "", timeout: float | None = None) -> None:
        super().__init__(message, tool=tool)
        self.timeout = timeout


class RateLimited(ToolError):  # noqa: N818 - what happened, in the words of the options
    """No token became free within ``max_wait``."""

    error_type = "rate_limited"


class ConcurrencyLimited(ToolError):  # noqa: N818 - what happened, in the words of the options
    """No slot became free within ``max_wait``, or too many timed-out calls of the tool are still running."""

    error_type = "concurrency_limited"


class CircuitOpen(ToolError):  # noqa: N818 - what happened, in the words of the options
    """The tool failed too often: its circuit breaker refuses calls until its cooldown is over."""

    error_type = "circuit_open"
