"""THE ORDER of policies, and the plan of one tool that is built from it at decoration."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.steps import Invoke
from otel_tools._call.threads import ThreadBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_tools._call.call import Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["ORDER", "Plan", "compile_plan"]

ORDER: Final = (
    "validate",
    "fallback",
    # Of the retry option; it holds for the wait for another call's value too.
    "deadline",
    "cache",
    "retry",
    "circuit_breaker",
    # A slot before a token: the other way round, a stall would let a backlog of paid-for tokens through at once.
    "concurrency",
    "rate_limit",
    # Asked again: it may have opened while the call waited for the two above.
    "circuit_breaker_again",
    "validate_result",
    "failed_if",
    # What the function's own tenacity, cachetools or lru_cache does is looked at from as near as can be.
    "decorated",
    "timeout",
)
"""The places of the policies around the function, outermost first."""

_INVOKE: Final = Invoke()


class Plan:
    """What a driver needs to know of a tool. Built once, at decoration; holds no state of any call.

    Attributes:
        function: The user's function.
        open: Begins the record of one call.
        flow: The policies around the function, or None where there are none and the driver calls it directly.
        thread_budget: The threads that run the function where it may take only so long.
        options: What it was built from, and
        run: the driver, which is the function that callers call: both set and read by who makes it.
        overridden: Whether another plan has ever been put in this one's place, so that nobody else looks for one.
        override: The plan to use in this one's place, where the current context has one.
    """

    __slots__ = ("flow", "function", "open", "options", "overridden", "override", "run", "thread_budget")

    def __init__(
        self,
        function: Callable[..., Any],
        open_call: Callable[[tuple[Any, ...], dict[str, Any]], Call],
        flow: Next | None,
    ) -> None:
        self.function = function
        self.open = open_call
        self.flow = flow
        self.thread_budget = ThreadBudget()
        self.options: Any = None
        self.run: Callable[..., Any]
        self.overridden = False
        self.override: ContextVar[Plan | None] = ContextVar("otel_tools-override", default=None)

    @property
    def current(self) -> Plan:
        """What is used in this context: this plan, or the one in its place."""
        return self.override.get(None) or self

    @contextmanager
    def replaced_by(self, other: Plan) -> Iterator[None]:
        """Use another plan for the calls that this context makes in the block."""
        self.overridden = True
        token = self.override.set(other)
        try:
            yield
        finally:
            with suppress(ValueError):
                # The garbage collector closes a task in another context.
                self.override.reset(token)


def compile_plan(
    function: Callable[..., Any],
    open_call: Callable[[tuple[Any, ...], dict[str, Any]], Call],
    policies: Mapping[str, Policy],
) -> Plan:
    """Put the policies around the function in `ORDER`.

    Args:
        function: The user's function.
        open_call: Begins the record of one call from its arguments.
        policies: What the tool's options ask for, by place.

    Raises:
        ValueError: A policy has no place in `ORDER`.
    """
    if unplaced := policies.keys() - set(ORDER):
        raise ValueError(f"no place in ORDER for {sorted(unplaced)}")
    flow: Next | None = None
    for option in reversed(ORDER):
        if policy := policies.get(option):
            flow = policy(flow or _invoke)
    return Plan(function, open_call, flow)


def _invoke(_call: Call) -> Flow:
    """The innermost flow: the function itself."""
    outcome: Outcome = yield _INVOKE
    return outcome
