"""The plan of one tool: its policies around its function, compiled at decoration."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.steps import Invoke
from otel_tools._call.threads import ThreadBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextvars import Token

    from otel_tools._call.call import Call
    from otel_tools._call.outcome import Outcome
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["Plan", "compile_plan"]

_INVOKE: Final = Invoke()
_PLAN_OF: Final = attrgetter("_plan")


class Plan:
    """The parts of a tool that a driver needs. Built at decoration; holds no state of a call.

    Attributes:
        function: The user's function.
        open: Opens the record of one call.
        flow: The policies around the function; None where there are none and the driver calls the function directly.
        thread_budget: The threads that run the function where it has a timeout.
        options: The options that it was built from; set by its maker.
        run: The driver: the function that callers call; set by its maker.
        overridden: Whether any context has ever replaced this plan; until then calls do not look for a replacement.
        override: The plan that replaces this one in the current context.
        policies: The policies by their place, from which it was built; set by its maker.
        watched: The same plan for calls that somebody watches; None until the first.
    """

    __slots__ = (
        "flow",
        "function",
        "open",
        "options",
        "overridden",
        "override",
        "policies",
        "run",
        "thread_budget",
        "watched",
    )

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
        self.policies: Mapping[str, Policy] = {}
        self.watched: Plan | None = None
        self.override: ContextVar[Plan | None] = ContextVar("otel_tools-override", default=None)

    def __reduce__(self) -> tuple[Any, ...]:
        # The driver is the wrapper of a `Tool`, which is pickled by its options.
        return _PLAN_OF, (self.run.tool,)  # type: ignore[attr-defined] # as above

    @property
    def current(self) -> Plan:
        """The plan of this context: this one or its replacement."""
        return self.override.get(None) or self

    def replace_by(self, other: Plan) -> Token[Plan | None]:
        """Use another plan for the calls that this context makes from now on; returns what undoes it."""
        self.overridden = True
        return self.override.set(other)

    @contextmanager
    def replaced_by(self, other: Plan) -> Iterator[None]:
        """Use another plan for the calls that this context makes in the block."""
        token = self.replace_by(other)
        try:
            yield
        finally:
            with suppress(ValueError):
                # The garbage collector closes a task in another context.
                self.override.reset(token)


def compile_plan(
    function: Callable[..., Any],
    open_call: Callable[[tuple[Any, ...], dict[str, Any]], Call],
    policies: Sequence[Policy],
) -> Plan:
    """Put the policies around the function.

    Args:
        function: The user's function.
        open_call: Opens the record of one call from its arguments.
        policies: The policies, outermost first.
    """
    flow: Next | None = None
    for policy in reversed(policies):
        flow = policy(flow or _invoke)
    return Plan(function, open_call, flow)


def _invoke(_call: Call) -> Flow:
    """The innermost flow: the function itself."""
    outcome: Outcome = yield _INVOKE
    return outcome
