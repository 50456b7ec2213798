"""The deadline policy: bounds the time of a whole call with all its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_tools._call.clock import clock
from otel_tools._call.scope import Scope, current_scope

if TYPE_CHECKING:
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["deadline"]


def deadline(seconds: float) -> Policy:
    """Set the time by which everything inside must be over: attempts, waits between them, waits for other calls.

    Policies that wait read the time that is left from `Call.left`, and a tool from `otel_tools.remaining`. What runs
    outside, such as a fallback, has no deadline.

    Args:
        seconds: From the start of the call, above 0.
    """

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            scope = call.scope
            call.scope = Scope(call, clock.now() + seconds, scope or current_scope.get())
            try:
                return (yield from inner(call))
            finally:
                call.scope = scope

        return flow

    return policy
