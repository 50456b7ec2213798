"""The doctor and real servers: what each kind of mistake is called, and its fix."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped] # it has no types of its own
import pytest
from typer.testing import CliRunner

from otel_tools._cli.app import app
from tests.export.certificates import Authority, Certificate
from tests.export.proxy import CountingProxy
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_TOOLS_STATE_DIR", str(tmp_path / "state"))


class Found:
    """The checks of one run.

    Attributes:
        output: All that was printed.
    """

    def __init__(self, *arguments: str, code: int = 1, **variables: str) -> None:
        done = CliRunner().invoke(app, ["doctor", "--json", "--wait", "0", *arguments], env=variables)
        self.output = done.output
        assert done.exit_code == code, done.output
        self._checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def __contains__(self, name: str) -> bool:
        return name in self._checks

    def status(self, name: str) -> str:
        return str(self._checks[name]["status"])

    def text(self, name: str) -> str:
        """Finding and fix, as they are printed."""
        return f"{self._checks[name]['detail']} | fix: {self._checks[name]['fix']}"


def test_http_sent_to_the_grpc_port_is_named() -> None:
    with GrpcReceiver() as receiver:
        found = Found("--endpoint", receiver.url)

    for check in ("test span", "test metric"):
        assert found.status(check) == "failed"
        assert "this looks like a gRPC port" in found.text(check)
        assert found.text(check).endswith(
            "export OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the port of HTTP, often 4318"
        )


def test_grpc_sent_to_the_http_port_is_named() -> None:
    with HttpReceiver() as receiver:
        found = Found("--endpoint", receiver.url, "--protocol", "grpc")

    said = "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use the port of gRPC, often 4317"
    assert "this looks like an HTTP port" in found.text("test span")
    assert found.text("test span").endswith(said)
    assert found.text("test metric").endswith(said)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_https_sent_to_a_port_without_tls_is_named(protocol: str) -> None:
    with HttpReceiver() if protocol == "http/protobuf" else GrpcReceiver() as receiver:
        found = Found("--endpoint", receiver.url.replace("http:", "https:"), "--protocol", protocol)

    assert "this port does not speak TLS" in found.text("test span")
    assert found.text("test span").endswith(f"| fix: configure(endpoint='{receiver.url}')")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_takes_both_is_well(protocol: str) -> None:
    with HttpReceiver() if protocol == "http/protobuf" else GrpcReceiver() as receiver:
        found = Found("--endpoint", receiver.url, "--protocol", protocol)

    assert found.status("traces") == found.status("metrics") == found.status("collector") == "ok"
    assert found.text("test span").startswith("the collector took it; ")
    assert found.text("test metric").startswith("the collector took it; ")
    assert [span.name for span in receiver.spans] == ["doctor check"]


def test_what_configure_has_is_what_is_asked() -> None:
    """Not what the variables say: ``configure(endpoint=...)`` wins over them."""
    with HttpReceiver() as healthy:
        found = Found("--endpoint", "http://127.0.0.1:9", OTEL_EXPORTER_OTLP_ENDPOINT=healthy.url)

    assert "go to http://127.0.0.1:9/v1/traces (http/protobuf)" in found.text("traces")
    assert found.status("collector") == "failed"
    assert "nothing listens on 127.0.0.1:9" in found.text("collector")
    assert "configure(endpoint='http://127.0.0.1:4318')" in found.text("collector")
    assert healthy.attempts == []


@pytest.mark.parametrize(
    ("variable", "path", "fix"),
    [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces/v1/traces", "/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/otel", "/otel/v1/traces"),
    ],
)
def test_a_path_that_is_there_twice_or_not_at_all_is_named(variable: str, path: str, fix: str) -> None:
    with HttpReceiver() as receiver:
        receiver.statuses = {path: 404}
        variables = {variable: receiver.url + path}
        found = Found(code=1, **variables)

    assert found.status("traces") == "warning"
    assert found.text("traces").endswith(f"fix: export {variable}={receiver.url}{fix}")


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_endpoint_for_traces_alone_is_named(status: int) -> None:
    with HttpReceiver() as receiver:
        receiver.statuses = {"/v1/metrics": status}
        found = Found("--endpoint", receiver.url)

    assert found.text("test span").startswith("the collector took it; ")
    assert found.status("test metric") == "warning"
    assert f"takes no metrics: HTTP {status}" in found.text("test metric")
    assert "OTEL_METRICS_EXPORTER=none" in found.text("test metric")


def test_an_endpoint_for_traces_alone_by_grpc_is_named() -> None:
    with GrpcReceiver() as receiver:
        receiver.codes = {"/v1/metrics": grpc.StatusCode.UNIMPLEMENTED}
        found = Found("--endpoint", receiver.url, "--protocol", "grpc")

    assert found.status("test metric") == "warning"
    assert "OTEL_METRICS_EXPORTER=none" in found.text("test metric")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_with_its_target(status: int) -> None:
    with HttpReceiver() as receiver:
        receiver.statuses = {"/v1/traces": status, "/v1/metrics": status}
        receiver.headers = {"Location": "https://joe:s3cret@collector.example/v1/traces?token=s3cret"}
        found = Found("--endpoint", receiver.url)

    assert "it redirects to https://collector.example/v1/traces" in found.text("test span")
    assert "fix: send to the address that it names: configure(endpoint='https://collector.example')" in found.text(
        "test span"
    )
    assert "s3cret" not in found.output


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_named_and_never_printed(status: int) -> None:
    with HttpReceiver() as receiver:
        receiver.statuses = {"/v1/traces": status, "/v1/metrics": status}
        none = Found("--endpoint", receiver.url)
        given = Found("--endpoint", receiver.url, "--headers", "authorization=Bearer%20s3cret-words")
        by_variable = Found(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_EXPORTER_OTLP_HEADERS="x-key=s3cret-words")

    assert "OTEL_EXPORTER_OTLP_HEADERS, as authorization=Bearer%20TOKEN; none were sent" in none.text("test span")
    assert "is the value of authorization in --headers, or in" in given.text("test span")
    assert "is the value of x-key in OTEL_EXPORTER_OTLP_HEADERS complete" in by_variable.text("test metric")
    assert "s3cret" not in given.output + by_variable.output
    assert "Bearer s3cret-words" in {request.headers.get("authorization") for request in receiver.attempts}


def test_credentials_that_a_collector_repeats_are_not_printed() -> None:
    class Repeats(grpc.GenericRpcHandler):  # type: ignore[misc] # it has no types of its own
        def service(self, details: Any) -> Any:
            token = dict(details.invocation_metadata)["authorization"]

            def refuse(_: bytes, context: Any) -> bytes:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, f"{token} is not known, nor is {token.split()[1]}")
                return b""

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(2), [Repeats()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        found = Found(
            "--endpoint",
            f"http://127.0.0.1:{port}",
            "--protocol",
            "grpc",
            "--headers",
            "authorization=Bearer%20s3cret-words",
        )
    finally:
        server.stop(None)

    assert "is not known, nor is" in found.text("test span")
    assert "s3cret" not in found.output


def test_a_proxy_in_between_is_named_and_its_password_is_not() -> None:
    with CountingProxy() as proxy:
        through = proxy.url.replace("http://", "http://joe:s3cret@")
        found = Found("--endpoint", "http://collector.example:4318", HTTP_PROXY=through)

    assert f"goes through the proxy {proxy.url}" in found.text("settings")
    assert f"the proxy {proxy.url} listens" in found.text("collector")
    assert f"HTTP 502 Bad Gateway, through the proxy {proxy.url}" in found.text("test span")
    assert "export NO_PROXY=collector.example" in found.text("test span")
    assert "s3cret" not in found.output
    assert proxy.first_lines


def test_a_proxy_that_does_not_answer_is_named() -> None:
    found = Found("--endpoint", "http://collector.example:4318", HTTP_PROXY="http://joe:s3cret@127.0.0.1:9")

    assert "the proxy http://127.0.0.1:9 does not answer" in found.text("collector")
    assert "s3cret" not in found.output


def test_this_machine_is_reached_without_a_proxy() -> None:
    with CountingProxy() as proxy, HttpReceiver() as receiver:
        found = Found("--endpoint", receiver.url, HTTP_PROXY=proxy.url)

    assert "settings" not in found
    assert found.text("test span").startswith("the collector took it; ")
    assert proxy.first_lines == []


@contextmanager
def server_with_clock(seconds_ahead: float) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_HEAD()

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + seconds_ahead, usegmt=True)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("ahead", "said"), [(3600.0, "behind"), (-3600.0, "ahead of"), (-95.0, "ahead of")])
def test_a_clock_that_is_off_is_named(ahead: float, said: str) -> None:
    with server_with_clock(ahead) as url:
        found = Found("--endpoint", url)

    assert found.status("clock") == "warning"
    assert f" s {said} 127.0.0.1" in found.text("clock")


def test_a_clock_that_is_right_is_not_spoken_of() -> None:
    with server_with_clock(2.0) as url:
        assert "clock" not in Found("--endpoint", url)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def tls_receiver(protocol: str, certificate: Certificate) -> Iterator[Any]:
    if protocol == "grpc":
        pair = (certificate.key.read_bytes(), certificate.file.read_bytes())
        with GrpcReceiver(credentials=grpc.ssl_server_credentials([pair])) as receiver:
            yield receiver
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    with HttpReceiver(tls=context) as http_receiver:
        yield http_receiver


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_unknown_certificate_is_named(authority: Authority, protocol: str) -> None:
    with tls_receiver(protocol, authority.sign("server")) as receiver:
        found = Found("--endpoint", receiver.url, "--protocol", protocol)
        trusted = Found(
            "--endpoint",
            receiver.url,
            "--protocol",
            protocol,
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.file),
        )

    assert "export OTEL_EXPORTER_OTLP_CERTIFICATE=FILE" in found.text("test span")
    assert trusted.text("test span").startswith("the collector took it; ")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_expired_certificate_is_named(authority: Authority, protocol: str) -> None:
    with tls_receiver(protocol, authority.sign("old", days=-1)) as receiver:
        found = Found(
            "--endpoint",
            receiver.url,
            "--protocol",
            protocol,
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.file),
        )

    assert "| fix: renew the server's certificate; if it is valid, set this machine's clock" in found.text("test span")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--endpoint", "nonsense"),
        ("--endpoint", "127.0.0.1:4318"),
        ("--endpoint", "http://127.0.0.1:99999"),
        ("--protocol", "http/json"),
        ("--headers", "Authorization: Bearer s3cret-words"),
        ("--headers", "s3cret-words"),
        ("--wait", "-1"),
        ("--endpont", "http://127.0.0.1:4318"),
    ],
)
def test_wrong_usage_is_said_without_values_that_may_be_secret(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["doctor", *arguments])

    assert done.exit_code == 2
    assert arguments[0] in done.output
    assert "s3cret" not in done.output


def test_grpc_writes_nothing_of_its_own(authority: Authority) -> None:
    with tls_receiver("grpc", authority.sign("quiet")) as receiver:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "otel_tools",
                "doctor",
                "--wait=0",
                f"--endpoint={receiver.url}",
                "--protocol=grpc",
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    assert "OTEL_EXPORTER_OTLP_CERTIFICATE=FILE" in done.stdout
    assert done.stderr == ""
