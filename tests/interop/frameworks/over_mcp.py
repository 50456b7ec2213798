"""What holds for both generations of the `mcp` package: two processes, one trace."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.export.program import Running
from tests.export.receiver import HttpReceiver, free_port
from tests.interop import weather as w

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import ReceivedSpan

FOLDER = Path(__file__).parent


class Conversation:
    """An agent that called the tools of an MCP server, each a process of its own.

    Attributes:
        reported: The facts that the client reported.
        spans: What both sent to a collector.
    """

    def __init__(self, transport: str) -> None:
        with HttpReceiver() as receiver:
            send = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
            with contextlib.ExitStack() as stack:
                arguments = [] if transport == "stdio" else [stack.enter_context(_served(send))]
                client = Running([sys.executable, str(FOLDER / "mcp_client.py"), *arguments], send, 60)
                stack.callback(client.kill)
                ended = client.wait()
            assert ended.code == 0, ended.err
            self.reported: dict[str, Any] = ended.reported
            receiver.wait(lambda seen: len([each for each in seen.spans if each.name.startswith("execute_tool")]) >= 5)
            self.spans = receiver.spans

    def calls(self, tool: str) -> list[ReceivedSpan]:
        """The spans of a tool's calls."""
        return [span for span in self.spans if span.name == f"execute_tool {tool}"]

    def way(self, span: ReceivedSpan) -> list[tuple[str, str]]:
        """Name and service of the spans above one, the innermost first."""
        above = {each.id: each for each in self.spans if each.trace == span.trace}
        way = []
        while span.parent:
            span = above[span.parent]
            way.append((span.name, str(span.resource["service.name"])))
        return way

    def holds(self) -> None:
        """Schemas and results are those of the undecorated tools; each call has one span, under the client's agent.

        Raises:
            AssertionError: Something else is the case.
        """
        told = self.reported["told"]
        assert told["weather"] == told["bare"]
        assert told["weather_async"] == told["bare_async"]
        for tool in ("weather", "weather_async"):
            retried, cached, bare = self.reported[tool]
            assert w.EXPECTED.model_dump() in bare.values()
            assert retried == cached == bare
            attributes = [span.attributes for span in self.calls(tool)]
            assert [each["otel_tools.cache.result"] for each in attributes] == ["miss", "hit"]
            assert [each.get("otel_tools.retry.count") for each in attributes] == [1, None]
        [broken] = self.calls("broken")
        assert broken.attributes["error.type"] == "ValueError"
        assert len([span for span in self.spans if span.name.startswith("execute_tool")]) == 5
        for call in (*self.calls("weather"), *self.calls("weather_async"), broken):
            assert call.resource["service.name"] == "server"
            assert self.way(call)[-1] == ("invoke_agent travel", "client")


@contextlib.contextmanager
def _served(send: dict[str, str]) -> Iterator[str]:
    port = free_port()
    server = Running([sys.executable, str(FOLDER / "mcp_server.py"), str(port)], send, 60)
    try:
        _listens(port, server)
        yield f"http://127.0.0.1:{port}/mcp"
        server.process.terminate()
        server.wait()
    finally:
        server.kill()


def _listens(port: int, server: Running) -> None:
    deadline = time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert server.process.poll() is None, server.wait().err
        assert time.monotonic() < deadline, "it never listened"
        time.sleep(0.05)
