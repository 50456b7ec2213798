"""A program: an agent that calls the tools of `mcp_server`, over stdio, or over HTTP at the URL that is its argument.

It says in JSON what it was told of the tools, and what they returned.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from otel_tools import agent, configure
from tests.interop import weather as w
from tests.interop.frameworks.mcp_server import instrumented

SERVER = Path(__file__).with_name("mcp_server.py")


async def connected(stack: AsyncExitStack, url: str | None) -> Any:
    """A session with the server, by what the installed version has for it."""
    # The client hands on few variables to a server of its own, none of OpenTelemetry's among them.
    server = {"command": sys.executable, "args": [str(SERVER)], "env": dict(os.environ)}
    instrumented()
    mcp: Any = importlib.import_module("mcp")
    if hasattr(mcp, "Client"):
        return await stack.enter_async_context(mcp.Client(url or mcp.StdioServerParameters(**server)))
    if url is None:
        stdio = importlib.import_module("mcp.client.stdio").stdio_client
        streams = await stack.enter_async_context(stdio(mcp.StdioServerParameters(**server)))
    else:
        http = importlib.import_module("mcp.client.streamable_http").streamablehttp_client
        streams = await stack.enter_async_context(http(url))
    session = await stack.enter_async_context(mcp.ClientSession(*streams[:2]))
    await session.initialize()
    return session


async def main(url: str | None) -> None:
    """List the tools, and call them as an agent."""
    configure(service_name="client")
    said: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        session = await connected(stack, url)
        listed = await session.list_tools()
        said["told"] = {each.name: {**each.model_dump(mode="json"), "name": ""} for each in listed.tools}
        with agent("travel"):
            for name in ("weather", "weather_async"):
                await session.call_tool("outage", {})
                results = [await session.call_tool(each, w.ARGUMENTS) for each in (name, name)]
                results.append(await session.call_tool(name.replace("weather", "bare"), w.ARGUMENTS))
                said[name] = [result.model_dump(mode="json") for result in results]
            said["broken"] = (await session.call_tool("broken", {})).model_dump(mode="json")
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
