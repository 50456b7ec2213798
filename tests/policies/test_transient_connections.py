"""`transient`, of what real clients raise over real connections; of other clients, by the names of their classes."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import openai
import pytest
import requests
import urllib3

from otel_tools import transient
from otel_tools._policies.retry.transient import transient as internal
from tests.export.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def with_httpx(url: str) -> None:
    httpx.get(url, timeout=1)


def with_httpx_async(url: str) -> None:
    async def get() -> None:
        async with httpx.AsyncClient(timeout=1) as client:
            await client.get(url)

    asyncio.run(get())


def with_requests(url: str) -> None:
    requests.get(url, timeout=1)


def with_urllib3(url: str) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("GET", url, timeout=1, retries=False)


def with_aiohttp(url: str) -> None:
    async def get() -> None:
        timeout = aiohttp.ClientTimeout(1)
        async with aiohttp.ClientSession() as session, session.get(url, timeout=timeout) as response:
            response.raise_for_status()

    asyncio.run(get())


def with_openai(url: str) -> None:
    with openai.OpenAI(base_url=url, api_key="x", max_retries=0, timeout=1) as client:
        client.chat.completions.create(model="m", messages=[])


CLIENTS = [with_httpx, with_httpx_async, with_requests, with_urllib3, with_aiohttp, with_openai]


def raised(client: Callable[[str], None], url: str) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has classes of its own
        client(url)
    return caught.value


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a certificate of an authority that nobody trusts."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    certificate = Authority(folder).sign("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # each client breaks the handshake off
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("client", CLIENTS)
def test_an_untrusted_certificate_is_not_transient(client: Callable[[str], None], untrusted: str) -> None:
    assert not transient(raised(client, untrusted))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_host_that_does_not_exist_is_not_transient(client: Callable[[str], None]) -> None:
    try:
        socket.getaddrinfo("no-such-host.invalid", 80)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            pytest.skip("no name can be looked up on this machine")
    assert not transient(raised(client, "http://no-such-host.invalid"))


@contextmanager
def ending(how: str) -> Iterator[str]:
    """A server that refuses, resets, closes or never answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def serve() -> None:
        kept = []
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                break
            kept.append(connection)
            if how == "reset":
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            if how != "hang":
                connection.close()
        for connection in kept:
            connection.close()

    if how == "refuse":
        listening.close()
        yield url
        return
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize("how", ["refuse", "reset", "close", "hang"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_connection_that_fails_is_transient(client: Callable[[str], None], how: str) -> None:
    with ending(how) as url:
        assert transient(raised(client, url))


@contextmanager
def answering(status: int, body: dict[str, Any], headers: dict[str, str]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "headers", "passes"),
    [
        (429, "rate_limit_exceeded", {}, True),
        (429, "insufficient_quota", {}, False),
        (503, None, {}, True),
        (503, None, {"x-should-retry": "false"}, False),
        (429, None, {"X-Should-Retry": "false"}, False),
        (409, None, {}, False),
        (409, None, {"x-should-retry": "true"}, True),
        (401, "invalid_api_key", {}, False),
    ],
)
def test_what_openai_answers(status: int, code: str | None, headers: dict[str, str], passes: bool) -> None:
    with answering(status, {"error": {"message": "m", "code": code, "type": code}}, headers) as url:
        assert transient(raised(with_openai, url)) is passes


def error_of(path: str, *bases: str, text: str = "", **attributes: Any) -> Exception:
    """An error of a client that is not installed here: a class of that name, with the attributes that it documents."""
    kind: type[Exception] = Exception
    for each in (*reversed(bases), path):
        module, _, name = each.rpartition(".")
        kind = type(name, (kind,), {"__module__": module})
    error = kind(text)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def of_grpc(code: str, text: str = "") -> Exception:
    named = type("StatusCode", (), {"name": code})()
    return error_of("grpc._channel._InactiveRpcError", "grpc.RpcError", text=text, code=lambda: named)


def of_boto(status: int, code: str) -> Exception:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return error_of("botocore.exceptions.ClientError", response=response)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (error_of("anthropic.APITimeoutError", "anthropic.APIConnectionError"), True),
        (error_of("anthropic.OverloadedError", status_code=529), True),
        (error_of("anthropic.BadRequestError", status_code=400), False),
        (error_of("google.genai.errors.ServerError", "google.genai.errors.APIError", code=503), True),
        (error_of("google.genai.errors.ClientError", "google.genai.errors.APIError", code=429), True),
        (error_of("google.genai.errors.ClientError", "google.genai.errors.APIError", code=400), False),
        (error_of("google.api_core.exceptions.ServiceUnavailable", code=503), True),
        (error_of("google.api_core.exceptions.NotFound", code=404), False),
        (of_boto(400, "ThrottlingException"), True),
        (of_boto(400, "ProvisionedThroughputExceededException"), True),
        (of_boto(503, "SlowDown"), True),
        (of_boto(400, "ValidationException"), False),
        (of_boto(403, "ExpiredToken"), False),
        (error_of("botocore.exceptions.ReadTimeoutError", "botocore.exceptions.HTTPClientError"), True),
        (error_of("botocore.exceptions.SSLError", "botocore.exceptions.ConnectionError"), False),
        (error_of("botocore.exceptions.NoCredentialsError", "botocore.exceptions.BotoCoreError"), False),
        *((of_grpc(code), True) for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL")),
        *((of_grpc(code), False) for code in ("NOT_FOUND", "UNAUTHENTICATED", "INVALID_ARGUMENT", "UNKNOWN")),
        (of_grpc("UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED"), False),
        (of_grpc("UNAVAILABLE", "DNS resolution failed for x"), False),
        (error_of("redis.exceptions.ConnectionError", "redis.exceptions.RedisError"), True),
        (error_of("redis.exceptions.TimeoutError", "redis.exceptions.RedisError"), True),
        (error_of("redis.exceptions.AuthenticationError", "redis.exceptions.ConnectionError"), False),
        (error_of("redis.exceptions.ResponseError", "redis.exceptions.RedisError"), False),
        (error_of("pymongo.errors.AutoReconnect", "pymongo.errors.ConnectionFailure"), True),
        (error_of("pymongo.errors.DuplicateKeyError", "pymongo.errors.OperationFailure"), False),
        (error_of("psycopg.OperationalError", text="connection refused", sqlstate=None), True),
        (error_of("psycopg.errors.AdminShutdown", "psycopg.OperationalError", sqlstate="57P01"), True),
        (error_of("psycopg.errors.SerializationFailure", "psycopg.OperationalError", sqlstate="40001"), True),
        (error_of("psycopg.errors.UniqueViolation", sqlstate="23505"), False),
        (error_of("psycopg.OperationalError", text="password authentication failed", sqlstate=None), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors_of_other_clients(error: Exception, passes: bool) -> None:
    assert internal(error) is passes
