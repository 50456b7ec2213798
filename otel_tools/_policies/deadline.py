"""When must a whole call be over?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_tools._call.clock import clock
from otel_tools._call.scope import Scope, current

if TYPE_CHECKING:
    from otel_tools._call.steps import Call, Flow, Next, Policy

__all__ = ["deadline"]


def deadline(seconds: float) -> Policy:
    """Set the time by which all that is inside must be over: attempts, waits between them, waits for others.

    Those who wait ask the call how much is left (`Call.left`), and so does a tool (`otel_tools.remaining`). What comes
    after, such as a fallback, is not held to it.
    """

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            scope = call.scope
            call.scope = Scope(call, clock.now() + seconds, scope or current.get())
            try:
                return (yield from inner(call))
            finally:
                call.scope = scope

        return flow

    return policy
