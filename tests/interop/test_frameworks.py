"""Each framework, in an environment in which it is installed: its file in ``frameworks/`` is a test module there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.environments import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "frameworks"

# All of these can live together. What conflicts with one of them gets an environment of its own.
TOGETHER = Environment(
    "frameworks",
    (
        "fastapi>=0.165,<1",
        "httpx>=0.28,<1",
        "langchain-core>=1.8,<2",
        "mcp>=2.3,<3",
        "openai-agents>=0.24,<1",
        "pydantic-ai-slim[openai]>=2.68,<3",
        "uvicorn>=0.54,<1",
    ),
)

MCP_1 = Environment("mcp-1", ("mcp>=1.30,<2", "opentelemetry-instrumentation-mcp>=0.62,<1"))

# What configure(openai=True) meets where it is installed, and what the tests of our own must not meet.
OPENAI_SPANS = Environment("openai-spans", ("opentelemetry-instrumentation-genai-openai>=1.3b0,<2",))

# Their decorators return objects. They need an older mcp than the others.
TOOL_OBJECTS = Environment(
    "tool-objects", ("llama-index-core>=0.14,<1", "smolagents>=1.26,<2", "strands-agents>=1.62,<2")
)

WHERE = {"with_mcp_1.py": MCP_1, "with_openai_spans.py": OPENAI_SPANS, "with_tool_objects.py": TOOL_OBJECTS}
FILES = sorted(file.name for file in FOLDER.glob("with_*.py"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", FILES)
def test_works_with(file: str, passes: Callable[[Environment, Path], None]) -> None:
    passes(WHERE.get(file, TOGETHER), FOLDER / file)
