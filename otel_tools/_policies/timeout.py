"""The timeout policy: bounds the time of one attempt."""

from __future__ import annotations

from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING

from otel_tools._call.outcome import EXPIRED, TOO_MANY_ABANDONED, Outcome
from otel_tools._call.steps import Invoke
from otel_tools._policies.durations import seconds_in
from otel_tools.errors import ConcurrencyLimited, ConfigurationError, ToolTimeout

if TYPE_CHECKING:
    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["timeout"]


def timeout(seconds: float, info: ToolInfo) -> Policy:
    """End an attempt that takes longer than so many seconds with a `ToolTimeout`.

    An async tool is cancelled, as by `asyncio.timeout`. A sync tool runs on a thread of its own with a copy of the
    caller's context variables, and cannot be killed: when its time is over its caller goes on, and the function runs to
    its end with nobody waiting. So what belongs to a thread stays there: thread-locals, SQLite connections, and context
    variables that the function sets. With 32 such threads of one tool its next calls are refused with
    `ConcurrencyLimited` until some have ended.

    Args:
        seconds: Above 0, and up to `threading.TIMEOUT_MAX`.
        info: The tool.

    Raises:
        ConfigurationError: It is not a positive number of seconds.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= TIMEOUT_MAX:
        in_seconds = seconds_in(seconds)
        way_out = "such as 5.0" if not in_seconds else f"timeout={in_seconds!r}"
        raise ConfigurationError(
            f"tool {info.tool!r}: timeout={seconds!r}: a positive number of seconds is needed, {way_out}"
        )
    full_timeout = Invoke(timeout=seconds)

    def policy(_inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            left = call.left()
            limit = seconds if left is None else min(seconds, left)
            if limit <= 0:
                return _expired(0.0)
            outcome: Outcome = yield full_timeout if limit == seconds else Invoke(timeout=limit)
            if outcome is EXPIRED:
                return _expired(limit)
            if outcome is TOO_MANY_ABANDONED:
                error = ConcurrencyLimited(
                    f"tool {info.tool!r}: not started, since too many of its calls that timed out are still running; "
                    "let the tool itself give up in time, as with otel_tools.remaining()",
                    tool=info.tool,
                )
                return Outcome(None, error, "error")
            return outcome

        return flow

    def _expired(limit: float) -> Outcome:
        left_by = "" if limit == seconds else f", which its deadline left of its timeout of {seconds:g} s"
        message = f"tool {info.tool!r} took longer than {limit:.3g} s{left_by}"
        return Outcome(None, ToolTimeout(message, tool=info.tool, timeout=limit), "error")

    return policy
