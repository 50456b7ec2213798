"""The ``failed_if`` policy: counts some results as failures, for tools that return errors instead of raising."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from otel_tools._call.log_limit import LogLimit
from otel_tools._call.safe_logging import log_safely
from otel_tools.errors import ConfigurationError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["failed_if"]

logger = logging.getLogger("otel_tools.policies.failed_if")


def failed_if(predicate: Callable[[Any], object], info: ToolInfo) -> Policy:
    """Report results for which the predicate is true as failures; the caller gets the result untouched.

    A predicate that raises is logged and counts as "not a failure": a mistake in it must not fail the tool.

    Args:
        predicate: Called with each result that an attempt returned.
        info: The tool.

    Raises:
        ConfigurationError: It is not a plain function.
    """
    tool = info.tool
    limit = LogLimit()
    if not callable(predicate) or not _is_plain(predicate):
        raise ConfigurationError(f"tool {tool!r}: failed_if={predicate!r} must be a plain function of the result")

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            outcome = yield from inner(call)
            if outcome.error is None and outcome.result in {"ok", "cached"} and _holds(outcome.value):
                outcome.result = "error"
                outcome.error_type = ToolError.error_type
            return outcome

        return flow

    def _holds(value: Any) -> bool:
        try:
            return bool(predicate(value))
        except Exception:  # noqa: BLE001 - the user's own code; logged, and the call goes on
            held_back = limit.held_back(tool)
            if held_back is not None:
                log_safely(
                    logger,
                    logging.ERROR,
                    "failed_if of tool %r raised; the result counts as a success%s",
                    tool,
                    f" ({held_back} more since the last time)" if held_back else "",
                    exc_info=not held_back,
                )
            return False

    return policy


def _is_plain(predicate: Callable[[Any], object]) -> bool:
    """Whether a function returns its answer itself, rather than something to await or to iterate."""
    method = type(predicate).__call__
    return not any(
        kind(candidate)
        for candidate in (predicate, getattr(predicate, "func", None), method)
        for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    )
