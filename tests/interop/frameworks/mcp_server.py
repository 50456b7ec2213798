"""A program: an MCP server with our tools, over stdio, or over HTTP on the port that is its argument."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

from otel_tools import configure, tool
from tests.interop import weather as w


def outage() -> None:
    """Let the next run of a tool fail. No tool of ours: it has no span."""
    w.outages.append(ConnectionError())


@tool
def broken() -> str:
    """Fail."""
    raise ValueError("no such city")


def instrumented() -> bool:
    """Whether `mcp` is 1.x, which has no OpenTelemetry of its own: another package sees to it, loaded before it is."""
    old = importlib.metadata.version("mcp").startswith("1.")
    if old:
        importlib.import_module("opentelemetry.instrumentation.mcp").McpInstrumentor().instrument()
    return old


def main() -> None:
    """Serve until the client has gone, or for ever."""
    configure(service_name="server")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else None
    http = {}
    if instrumented():
        server = importlib.import_module("mcp.server.fastmcp").FastMCP("weather", port=port or 8000)
    else:
        server = importlib.import_module("mcp.server.mcpserver").MCPServer("weather")
        http = {} if port is None else {"port": port}
    for function in (outage, broken, w.weather, w.weather_async):
        server.add_tool(function)
    server.add_tool(w.bare, name="bare")
    server.add_tool(w.bare_async, name="bare_async")
    server.run("stdio" if port is None else "streamable-http", **http)


if __name__ == "__main__":
    main()
