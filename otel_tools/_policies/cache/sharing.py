"""Shares the result of one running call with the calls that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Wait
from otel_tools._policies.cache.keeping import copied
from otel_tools._policies.cache.single_flight import SharedResult, Waiter
from otel_tools.errors import ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import CacheResult, Call
    from otel_tools._policies.cache.backends import Steps
    from otel_tools._policies.cache.keeping import KeptValues
    from otel_tools._policies.cache.memory import Entry
    from otel_tools._policies.cache.single_flight import InFlightCall, InFlightCalls

    Report = Callable[[Call, CacheResult], None]
    """Counts the result of a call and reports it."""

__all__ = ["NOT_SHARED", "ResultSharing", "shared_result"]

NOT_SHARED: Final = SharedResult(Outcome(), None, None, None)
"""The result of a call that cannot be shared: each waiter runs on its own."""


class ResultSharing:
    """Lets the calls of one tool join those that are in flight, and wait for their results.

    Args:
        in_flight: The in-flight calls that the tools of the cache share.
        kept: The values of the tool.
        info: The tool.
    """

    def __init__(self, in_flight: InFlightCalls, kept: KeptValues, info: ToolInfo) -> None:
        self._in_flight = in_flight
        self._kept = kept
        self._blocking = not info.asynchronous
        self._tool = info.tool

    def wait(self, call: Call, key: Any, waiter: Waiter, report: Report) -> Steps:
        """Wait for the in-flight call of the same key.

        Args:
            call: The call that waits.
            key: Its key.
            waiter: Its `Waiter`, as `InFlightCalls.join` returned it.
            report: Called once where the wait is the end of the call.

        Returns:
            The outcome; or None where the call must run itself, and then the in-flight call that it became, if any.
        """
        joined: InFlightCall | Waiter | None = waiter
        while isinstance(joined, Waiter):
            left = call.left()
            try:
                yield Wait(joined.future, None if left is None else max(0.0, left))
            except GeneratorExit:
                report(call, "coalesced")
                raise
            finally:
                joined.leave()
            shared = joined.future.result() if joined.future.done() else self._deadline_passed()
            if shared is not None:
                error = shared.outcome.error
                value = None if error is not None else copied(shared.copy)
                return None if error is None and value is None else self._received(call, shared, value, report), None
            joined = self._in_flight.join(key, blocking=self._blocking)
        return None, joined

    def _deadline_passed(self) -> SharedResult:
        error = ToolTimeout(
            f"tool {self._tool!r}: the deadline passed while another call with the same arguments was under way",
            tool=self._tool,
        )
        return SharedResult(Outcome.of_error(error), None, None, None)

    def _received(self, call: Call, shared: SharedResult, value: tuple[Any] | None, report: Report) -> Outcome:
        """The outcome of a call that waited for another one."""
        error, result = shared.outcome.error, shared.outcome.result
        if error is not None and shared.traceback is not None:
            # Many calls raise this one error, and each adds its frames to it: they all begin where it was raised.
            error.__traceback__ = shared.traceback
        outcome = Outcome(value[0] if value else None, error, result, shared.outcome.error_type)
        cache_result: CacheResult = "coalesced"
        if result != "error":
            outcome.result = "cached"
        elif (stale := self._kept.stale(call, outcome, shared.stale)) is not None:
            cache_result, outcome = "stale", stale
        report(call, cache_result)
        return outcome


def shared_result(outcome: Outcome | None, copy: Callable[[], Any] | None, stale: Entry | None) -> SharedResult | None:
    """The result of an in-flight call as its waiters get it; None where it was cancelled."""
    if outcome is None or outcome.result == "cancelled":
        return None
    error = outcome.error
    # An outcome of its own, since the driver takes the error out of the call's.
    without_value = Outcome(None, error, outcome.result, outcome.error_type)
    return SharedResult(without_value, error.__traceback__ if error is not None else None, copy, stale)
