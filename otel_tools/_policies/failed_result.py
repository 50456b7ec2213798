"""The error that stands for a result which counts as a failure, where options are asked about errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_tools._call.outcome import ReportsOutcome
from otel_tools.errors import FailedResult, ToolError

if TYPE_CHECKING:
    from otel_tools._call.outcome import Outcome

__all__ = ["error_of", "names_failed_results"]


def error_of(outcome: Outcome, tool: str) -> BaseException | None:
    """The error of an outcome; a `FailedResult` where the tool returned a failure; None where it did not fail."""
    if outcome.error is not None or outcome.result != "error":
        return outcome.error
    result = outcome.value
    retry_after = result.retry_after if isinstance(result, ReportsOutcome) else None
    return FailedResult(f"tool {tool!r} returned a failure", tool=tool, retry_after=retry_after, result=result)


def names_failed_results(kinds: Any) -> bool:
    """Whether exception classes name such results: ``Exception`` is about what a tool raises."""
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    return any(issubclass(kind, ToolError) and issubclass(FailedResult, kind) for kind in kinds)
