"""An MCP server, by `mcp` 1.x: `opentelemetry-instrumentation-mcp` carries the trace there."""

from __future__ import annotations

import pytest

from tests.interop.frameworks.over_mcp import Conversation


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_tool_is_called_over_the_wire(transport: str) -> None:
    Conversation(transport).holds()
