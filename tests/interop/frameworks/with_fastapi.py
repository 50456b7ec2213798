"""fastapi: our tools as endpoints, behind a real uvicorn and in the client's own task."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Client
from opentelemetry import context, propagate

from otel_tools import agent
from tests.interop import weather as w

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from otel_tools.testing import Captured

TOOLS = ["weather", "weather_async"]
BODY = w.ARGUMENTS["place"]
QUERY = {"days": 2}


class Joined:
    """What makes a server's spans part of its client's trace: W3C context from the request's headers."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}
        token = context.attach(propagate.extract(headers)) if "traceparent" in headers else None
        try:
            await self._app(scope, receive, send)
        finally:
            if token is not None:
                context.detach(token)


def app_of(*functions: Any) -> FastAPI:
    app = FastAPI()
    for function in functions:
        app.post(f"/{function.__name__}")(function)
    return app


@contextlib.contextmanager
def served(app: Any) -> Iterator[Client]:
    """A client of the app, which uvicorn serves on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 90
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_the_documentation_of_the_api_is_the_same() -> None:
    documented = app_of(w.weather, w.weather_async).openapi()
    assert documented == app_of(w.bare, w.bare_async).openapi()
    assert set(documented["paths"]) == {"/weather", "/weather_async"}


@pytest.mark.parametrize("tool", TOOLS)
def test_an_endpoint_over_http(tool: str, seen: Captured) -> None:
    carrier: dict[str, str] = {}
    w.outages.append(ConnectionError())
    with served(Joined(app_of(w.weather, w.weather_async))) as client, agent("travel"):
        propagate.inject(carrier)
        answers = [client.post(f"/{tool}", json=BODY, params=QUERY, headers=carrier) for _ in range(2)]
    with served(app_of(w.bare, w.bare_async)) as client:
        bare = client.post(f"/{tool}", json=BODY, params=QUERY)
    assert [answer.json() for answer in answers] == [bare.json()] * 2 == [w.EXPECTED.model_dump()] * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(1, "miss"), (0, "hit")]


@pytest.mark.parametrize("tool", TOOLS)
async def test_an_endpoint_in_the_task_of_its_client(tool: str, seen: Captured) -> None:
    transport = ASGITransport(app_of(w.weather, w.weather_async))
    async with AsyncClient(transport=transport, base_url="http://app") as client:
        with agent("travel"):
            answers = [await client.post(f"/{tool}", json=BODY, params=QUERY) for _ in range(2)]
    assert [answer.json() for answer in answers] == [w.EXPECTED.model_dump()] * 2
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss"), (0, "hit")]


@pytest.mark.parametrize("tool", TOOLS)
def test_what_does_not_fit_is_refused_as_without_us(tool: str, seen: Captured) -> None:
    refused = []
    for functions in ((w.weather, w.weather_async), (w.bare, w.bare_async)):
        with served(app_of(*functions)) as client:
            answer = client.post(f"/{tool}", json=BODY, params={"days": 8})
            refused.append((answer.status_code, answer.json()))
    assert refused[0] == refused[1]
    assert refused[0][0] == 422
    assert not seen.spans


def test_requests_at_once(seen: Captured) -> None:
    carrier: dict[str, str] = {}
    with served(Joined(app_of(w.weather, w.weather_async))) as client, agent("travel"), ThreadPoolExecutor(8) as pool:
        propagate.inject(carrier)

        def ask(number: int) -> Any:
            city = {"city": f"City {number}"}
            return client.post(f"/{TOOLS[number % 2]}", json=city, headers=carrier).json()["place"]["city"]

        assert list(pool.map(ask, range(16))) == [f"City {number}" for number in range(16)]
    assert w.policies_seen(w.tool_spans(seen)) == [(0, "miss")] * 16
