"""What the telemetry of a tool knows before the first call: its counters, span name and attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_tools._telemetry import names
from otel_tools._telemetry.counters import metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.binding import Arguments
    from otel_tools._call.steps import CircuitState

__all__ = ["ToolTelemetry"]

_MAX_ATTRIBUTE_SETS: Final = 256
_RECEIVERS: Final = frozenset({"self", "cls"})


class ToolTelemetry:
    """All that is known of a tool's telemetry before it is called, made once at decoration.

    Args:
        tool: The tool's name.
        description: What the model is told of the tool, if anything.
        arguments: Names the arguments where content is recorded.
        objective: The success ratio that the tool declares.
    """

    __slots__ = ("_for_agent", "_for_point", "arguments", "attributes", "metrics", "span_name")

    def __init__(self, tool: str, description: str | None, arguments: Arguments, objective: float | None) -> None:
        self.metrics = metrics_of(tool)
        if objective is not None:
            self.metrics.objective = objective
        self.arguments = arguments
        self.span_name = f"{names.EXECUTE_TOOL} {tool}"
        self.attributes: dict[str, str] = {
            names.OPERATION_NAME: names.EXECUTE_TOOL,
            names.TOOL_NAME: tool,
            names.TOOL_TYPE: names.FUNCTION,
            # Overwritten where a call ends otherwise. Setting it when each call ends would cost one span in thirty.
            names.OUTCOME: "ok",
        }
        if description:
            self.attributes[names.TOOL_DESCRIPTION] = description
        self._for_agent: dict[str, dict[str, str]] = {}
        self._for_point: dict[tuple[str | None, str | None], dict[str, str]] = {}

    def declare(self, policies: frozenset[str], circuit: Callable[[], CircuitState] | None) -> None:
        """Say which policies stand around the tool: their series exist from 0 on."""
        self.metrics.policies |= policies
        if circuit is not None:
            self.metrics.circuit = circuit

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments under the names of the function's parameters, without ``self``."""
        try:
            arguments = dict(self.arguments.signature.bind(*args, **kwargs).arguments)
        except TypeError:
            # They do not fit, which is what the call itself will fail of.
            arguments = {"args": args, "kwargs": kwargs}
        return {name: value for name, value in arguments.items() if name not in _RECEIVERS}

    def span_attributes(self, agent: str) -> dict[str, str]:
        """What the span of a call that an agent makes is created with."""
        known = self._for_agent.get(agent)
        if known is None:
            known = {**self.attributes, names.AGENT_NAME: agent}
            if len(self._for_agent) < _MAX_ATTRIBUTE_SETS:
                self._for_agent[agent] = known
        return known

    def point_attributes(self, agent: str | None, error_type: str | None) -> dict[str, str]:
        """What a point of the duration histogram carries."""
        known = self._for_point.get((agent, error_type))
        if known is None:
            known = {names.TOOL_NAME: self.metrics.tool, names.TOOL_TYPE: names.FUNCTION}
            if agent is not None:
                known[names.AGENT_NAME] = agent
            if error_type is not None:
                known[names.ERROR_TYPE] = error_type
            if len(self._for_point) < _MAX_ATTRIBUTE_SETS:
                self._for_point[agent, error_type] = known
        return known
