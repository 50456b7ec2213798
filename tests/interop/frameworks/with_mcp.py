"""An MCP server, by `mcp` 2.x: its spans are the package's own, and ours is under them in the client's trace."""

from __future__ import annotations

import pytest

from tests.interop.frameworks.over_mcp import Conversation


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_tool_is_called_over_the_wire(transport: str) -> None:
    conversation = Conversation(transport)
    conversation.holds()
    for call in conversation.calls("weather"):
        assert conversation.way(call) == [
            ("tools/call weather", "server"),
            ("MCP send tools/call weather", "client"),
            ("invoke_agent travel", "client"),
        ]
