"""THE ORDER of policies, and the plan of one tool that is built from it at decoration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_tools.call.steps import Invoke

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_tools.call.steps import Call, Flow, Next, Outcome, Policy

__all__ = ["ORDER", "Plan", "compile_plan"]

ORDER: Final = ("failed_if",)
"""The options that put a policy around the function, outermost first."""

_INVOKE: Final = Invoke()


class Plan:
    """What a driver needs to know of a tool. Built once, at decoration; holds no state of any call.

    Attributes:
        function: The user's function.
        open: Begins the record of one call.
        flow: The policies around the function, or None where there are none and the driver calls it directly.
    """

    __slots__ = ("flow", "function", "open")

    def __init__(
        self,
        function: Callable[..., Any],
        open_call: Callable[[tuple[Any, ...], dict[str, Any]], Call],
        flow: Next | None,
    ) -> None:
        self.function = function
        self.open = open_call
        self.flow = flow


def compile_plan(
    function: Callable[..., Any],
    open_call: Callable[[tuple[Any, ...], dict[str, Any]], Call],
    policies: Mapping[str, Policy],
) -> Plan:
    """Put the policies around the function in `ORDER`.

    Args:
        function: The user's function.
        open_call: Begins the record of one call from its arguments.
        policies: What the tool's options ask for, by option name.

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
