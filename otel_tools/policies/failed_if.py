"""Is a result that the tool returned really a failure? For tools that return their errors instead of raising."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.call.steps import Call, Flow, Next, Policy

__all__ = ["failed_if"]

logger = logging.getLogger(__name__)


def failed_if(predicate: Callable[[Any], object], tool: str, error_type: str) -> Policy:
    """Report results for which the predicate is true as failures; the caller gets the result untouched.

    A predicate that raises is logged and counts as "not a failure": a mistake in it must not fail the tool.

    Args:
        predicate: Called with each result that an attempt returned.
        tool: The tool's name, for the log.
        error_type: What to report such a failure as.
    """

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            outcome = yield from inner(call)
            if outcome.error is None and outcome.result == "ok" and _holds(outcome.value):
                outcome.result = "error"
                outcome.error_type = error_type
            return outcome

        return flow

    def _holds(value: Any) -> bool:
        try:
            return bool(predicate(value))
        except Exception:
            # A broken logging handler must not fail the tool either.
            with contextlib.suppress(Exception):
                logger.exception("failed_if of tool %r raised; the result counts as a success", tool)
            return False

    return policy
