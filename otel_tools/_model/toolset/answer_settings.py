"""The options of a `ToolSet`, and the texts that they make of results and errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otel_tools._call.outcome import SERVED
from otel_tools._model.toolset.results import ToolResult
from otel_tools.errors import ToolTimeout

if TYPE_CHECKING:
    from otel_tools._call.outcome import Outcome
    from otel_tools._model.toolset.failure_kinds import FailureKind, FailureKinds
    from otel_tools._model.toolset.registry import RegisteredTool
    from otel_tools._model.toolset.results import ToolFailure
    from otel_tools._telemetry.content.redaction import Redact

__all__ = ["AnswerSettings"]


@dataclass(frozen=True, slots=True, eq=False)
class AnswerSettings:
    """The tools and options of a `ToolSet`; the arguments of `ToolSet` explain them."""

    tools: dict[str, RegisteredTool]
    ordered: frozenset[str]
    timeout: float | None
    kinds: FailureKinds
    max_characters: int
    redact: Redact
    envelope: bool = True

    def text(self, result: ToolResult, tool: str = "") -> tuple[str, ToolFailure | None]:
        """The text that the model gets; and the failure that it describes where the result cannot be written."""
        try:
            return result.to_json_or_failure(
                self.max_characters, redact=self._redact(tool), kinds=self.kinds, envelope=self.envelope
            )
        except Exception:  # noqa: BLE001 - the tool may have made the result itself, with what cannot be written
            failed = ToolResult.failure("bad_result", "The tool returned what cannot be written as JSON.")
            return self.failure("bad_result", "The tool returned what cannot be written as JSON."), failed.error

    def text_of(self, outcome: Outcome, tool: str) -> tuple[str, ToolFailure | None]:
        """As `text`, for the outcome of a call."""
        if outcome.error is not None:
            return self.error(outcome.error), None
        if outcome.result in SERVED:
            return self.text(ToolResult.of(outcome.value), tool)
        return self.text(ToolResult.of_failed_result(outcome.value, tool, self.kinds), tool)

    def _redact(self, tool: str) -> Redact:
        entry = self.tools.get(tool)
        own: Redact | None = None if entry is None else entry.tool.options.redact
        return self.redact if own is None else own

    def timed_out(self, tool: str, *, begun: bool) -> ToolTimeout:
        """The error of a call whose turn took longer than the `ToolSet` allows."""
        state = "done" if begun else "begun"
        message = f"{tool} was not {state} within the {self.timeout:g} s that the calls of a turn have together."
        return ToolTimeout(message, tool=tool, timeout=self.timeout)

    def failure(self, kind: FailureKind, message: str) -> str:
        """The text of a failure for which there is no exception."""
        failure = replace(ToolResult.failure(kind, message), suggestion=self.kinds.suggestion(kind))
        return failure.to_json(self.max_characters)

    def error(self, error: BaseException) -> str:
        """The text of a failure that an exception describes."""
        return self.text(ToolResult.of_error(error, self.kinds))[0]
