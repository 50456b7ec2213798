"""Helpers of the rate limit's tests: a call that records reports, and a flow driven by hand on a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.steps import Invoke, Sleep
from otel_tools.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools import RateLimit
    from otel_tools._call.steps import Flow


class RecordingCall(Call):
    """A call that records what is reported to it."""

    __slots__ = ("told",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args, kwargs)
        self.told: list[tuple[Any, ...]] = []

    def queued(self, policy: Any) -> None:
        self.told.append(("queued",))
        assert policy == "rate_limit"

    def store_failed(self, operation: str) -> None:
        self.told.append(("store failed", operation))

    def throttled(self, policy: Any, result: Any, waited: float | None) -> None:
        self.told.append((result, None if waited is None else round(waited, 6)))
        assert policy == "rate_limit"


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0


def work(user: str = "ann") -> str:
    return user


def flow_of(limit: RateLimit, call: Call, function: Callable[..., Any] = work) -> Flow:
    def inner(_call: Call) -> Flow:
        return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome

    info = ToolInfo("work", function, asynchronous=False, generator=False, arguments=Arguments(function))
    return limit.policy(info)(inner)(call)


def ask(limit: RateLimit, *args: Any, **kwargs: Any) -> float | RateLimited:
    """The seconds that a call would sleep, 0 where it runs at once; or how it is refused. It waits for ever."""
    flow = flow_of(limit, RecordingCall(*args, **kwargs))
    try:
        step = next(flow)
    except StopIteration as stop:
        outcome = stop.value
    else:
        kept.append(flow)
        return step.seconds if isinstance(step, Sleep) else 0.0
    assert (type(outcome.error), outcome.result) == (RateLimited, "error")
    return outcome.error  # type: ignore[no-any-return] # as asserted


kept: Final[list[Any]] = []
"""The flows of calls that wait; a test's end closes them."""
