"""An application for servers, ASGI and WSGI, whose requests call a tool."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from otel_tools import tool
from tests.interop.hosts.patience import set_up

WHEN = os.environ["CONFIGURED"]


@tool
def work() -> int:
    """The number of this process."""
    return os.getpid()


if WHEN == "import":
    set_up()
elif WHEN == "thread":
    starting = threading.Thread(target=set_up)
    starting.start()
    starting.join()


def note(fact: str) -> None:
    """Tell the test, in a file of this process."""
    with Path(os.environ["FACTS"], str(os.getpid())).open("a") as file:
        file.write(f"{fact}\n")


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer; a request for ``/slow`` takes a while before its call."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["path"] == "/slow":
        note("open")
        await asyncio.sleep(1)
    body = str(work()).encode()
    if scope["path"] == "/slow":
        note("slow call")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Any, send: Any) -> None:
    """Start and end; the end calls the tool, too."""
    await receive()
    if WHEN == "lifespan":
        set_up()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    work()
    note("lifespan ended")
    await send({"type": "lifespan.shutdown.complete"})


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer, as `asgi` does."""
    slow = environ["PATH_INFO"] == "/slow"
    if slow:
        note("open")
        time.sleep(1)
    body = str(work()).encode()
    if slow:
        note("slow call")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
