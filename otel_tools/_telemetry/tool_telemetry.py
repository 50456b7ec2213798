"""What the telemetry of a tool knows before the first call: its counters, span name and attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_tools._telemetry import names
from otel_tools._telemetry.content.capture import redact_text
from otel_tools._telemetry.counters import metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.binding import Arguments
    from otel_tools._call.call import CircuitState

__all__ = ["ToolTelemetry"]

_MAX_ATTRIBUTE_SETS: Final = 256
_MAX_DESCRIPTION: Final = 1024


class ToolTelemetry:
    """The telemetry of one tool, created at decoration.

    Args:
        tool: The tool's name.
        description: The description that the model gets; None or empty where there is none.
        arguments: Names the arguments where content is recorded.
        objective: The success ratio that the tool declares; None where it declares none.

    Attributes:
        metrics: The metrics of the tool's name.
        arguments: As given.
        span_name: Name of a call's span.
        attributes: Attributes that a call's span is created with, where no agent makes the call.
    """

    __slots__ = ("_agent_attributes", "_point_attributes", "arguments", "attributes", "metrics", "span_name")

    def __init__(self, tool: str, description: str | None, arguments: Arguments, objective: float | None) -> None:
        self.metrics = metrics_of(tool)
        # Also None: a tool that is defined again under its name shows what it is now.
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
            self.attributes[names.TOOL_DESCRIPTION] = redact_text(description, _MAX_DESCRIPTION)
        self._agent_attributes: dict[str, dict[str, str]] = {}
        self._point_attributes: dict[tuple[str | None, str | None], dict[str, str]] = {}

    def declare(self, policies: frozenset[str], circuit: Callable[[], CircuitState] | None) -> None:
        """Declare the tool's policies, whose series then start at 0, and its circuit breaker; those of before go."""
        self.metrics.policies = policies
        self.metrics.circuit = circuit

    def declare_timeout(self) -> None:
        """Declare that something else than the tool's own options bounds its calls."""
        self.metrics.policies |= {"timeout"}

    def named_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by the names of the function's parameters, without ``self`` and ``cls``."""
        try:
            arguments = dict(self.arguments.signature.bind(*args, **kwargs).arguments)
        except TypeError:
            # They do not fit the signature. The call itself will raise this error.
            arguments = {"args": args, "kwargs": kwargs}
        return {name: value for name, value in arguments.items() if name != self.arguments.receiver}

    def span_attributes(self, agent: str) -> dict[str, str]:
        """Attributes that the span of a call is created with, where this agent makes the call."""
        attributes = self._agent_attributes.get(agent)
        if attributes is None:
            attributes = {**self.attributes, names.AGENT_NAME: agent}
            if len(self._agent_attributes) < _MAX_ATTRIBUTE_SETS:
                self._agent_attributes[agent] = attributes
        return attributes

    def point_attributes(self, agent: str | None, error_type: str | None) -> dict[str, str]:
        """Attributes of a point of the duration histogram."""
        attributes = self._point_attributes.get((agent, error_type))
        if attributes is None:
            attributes = {names.TOOL_NAME: self.metrics.tool, names.TOOL_TYPE: names.FUNCTION}
            if agent is not None:
                attributes[names.AGENT_NAME] = agent
            if error_type is not None:
                attributes[names.ERROR_TYPE] = error_type
            if len(self._point_attributes) < _MAX_ATTRIBUTE_SETS:
                self._point_attributes[agent, error_type] = attributes
        return attributes
