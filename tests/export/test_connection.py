"""How the collector is reached: certificates, proxies, compression, headers and the path, with real servers."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any, Final

import grpc  # type: ignore[import-untyped] # it has no types of its own
import pytest

from otel_tools import ConfigurationError
from otel_tools._export.endpoint import OtlpEndpoint
from tests.export.certificates import Authority, Certificate
from tests.export.pipelines import exports
from tests.export.program import Program
from tests.export.proxy import CountingProxy
from tests.export.receiver import GrpcReceiver, HttpReceiver
from tests.export.test_answers import said

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROTOCOLS: Final = ("http/protobuf", "grpc")
PROXY_VARIABLES: Final = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "grpc_proxy")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
    bundles = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    for name in [name for name in os.environ if name.startswith("OTEL_") or name in proxies | bundles]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certificate:
    return authority.sign("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Certificate:
    return authority.sign("client")


def tls_receiver(protocol: str, server: Certificate, clients: Path | None = None) -> Any:
    """A receiver with TLS; with an authority of clients, it asks for their certificates."""
    if protocol == "grpc":
        pairs = [(server.key.read_bytes(), server.file.read_bytes())]
        authorities = clients.read_bytes() if clients else None
        return GrpcReceiver(credentials=grpc.ssl_server_credentials(pairs, authorities, clients is not None))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.file, server.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return HttpReceiver(tls=context)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    return str(request.param)


@pytest.fixture
def secure(protocol: str, server: Certificate) -> Iterator[Any]:
    with tls_receiver(protocol, server) as receiver:
        yield receiver


def spans_arrive(receiver: Any) -> bool:
    with exports(endpoint=receiver.url) as sent:
        sent.send(2)
        delivered = sent.flush()
        assert delivered is (len(receiver.spans) == 2)
        assert delivered is not bool(sent.dropped)
        return delivered


@pytest.mark.parametrize("bundle", ["", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_CERTIFICATE", "own"])
def test_the_certificate_of_opentelemetrys_variable_wins(  # noqa: PLR0913, PLR0917 - fixtures
    monkeypatch: pytest.MonkeyPatch, secure: Any, authority: Authority, stranger: Authority, variable: str, bundle: str
) -> None:
    if variable == "own":
        for signal in ("TRACES", "METRICS", "LOGS"):
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal}_CERTIFICATE", str(authority.file))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(stranger.file))
    else:
        monkeypatch.setenv(variable, str(authority.file))
    if bundle:
        monkeypatch.setenv(bundle, str(stranger.file))
    assert spans_arrive(secure)


@pytest.mark.parametrize("bundle", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_without_it_the_bundle_of_requests_is_used(
    monkeypatch: pytest.MonkeyPatch, server: Certificate, authority: Authority, bundle: str
) -> None:
    monkeypatch.setenv(bundle, str(authority.file))
    with tls_receiver("http/protobuf", server) as receiver:
        assert spans_arrive(receiver)


def test_an_untrusted_certificate_is_refused_and_said(secure: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert not spans_arrive(secure)
    assert "ertificate" in said(caplog)[0] or "CERTIFICATE" in said(caplog)[0]


def test_an_expired_certificate_is_refused_and_said(
    monkeypatch: pytest.MonkeyPatch, protocol: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(authority.file))
    with tls_receiver(protocol, authority.sign(f"expired-{protocol[:4]}", days=-1)) as receiver:
        assert not spans_arrive(receiver)
    assert "expired" in said(caplog)[0]


@pytest.mark.parametrize("prefix", ["OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_TRACES"])
def test_a_client_certificate_is_sent(  # noqa: PLR0913, PLR0917 - fixtures
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    server: Certificate,
    client: Certificate,
    authority: Authority,
    prefix: str,
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "console")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(authority.file))
    with tls_receiver(protocol, server, clients=authority.file) as receiver:
        with exports(endpoint=receiver.url) as sent:
            sent.send(2)
            assert sent.flush() is False
        monkeypatch.setenv(f"{prefix}_CLIENT_CERTIFICATE", str(client.file))
        monkeypatch.setenv(f"{prefix}_CLIENT_KEY", str(client.key))
        with exports(endpoint=receiver.url) as sent:
            sent.send(2)
            assert sent.flush()
        assert len(receiver.spans) == 2


@pytest.mark.parametrize("setting", ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"])
@pytest.mark.parametrize("own", ["", "TRACES_"])
@pytest.mark.parametrize("content", [None, "", "no certificate", "folder"])
def test_a_file_that_holds_no_certificate_is_refused_by_name(  # noqa: PLR0913, PLR0917 - fixtures
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    tmp_path: Path,
    client: Certificate,
    setting: str,
    own: str,
    content: str | None,
) -> None:
    file = tmp_path / "file.pem"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_text(content)
    variable = f"OTEL_EXPORTER_OTLP_{own}{setting}"
    if setting == "CLIENT_KEY":
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{own}CLIENT_CERTIFICATE", str(client.file))
    monkeypatch.setenv(variable, str(file))
    named = variable if content is None or setting != "CLIENT_KEY" else f"OTEL_EXPORTER_OTLP_{own}CLIENT_"
    with pytest.raises(ConfigurationError, match=f"^{named}"), exports(endpoint="https://127.0.0.1:1"):
        pass
    # Without TLS it is not used.
    with exports(endpoint="http://127.0.0.1:1"):
        pass


def test_a_key_without_its_certificate_is_refused(monkeypatch: pytest.MonkeyPatch, client: Certificate) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(client.key))
    with pytest.raises(ConfigurationError, match="set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well"):
        exports(endpoint="https://127.0.0.1:1").__enter__()


@pytest.mark.parametrize("variable", PROXY_VARIABLES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_never_goes_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, protocol: str, variable: str, host: str
) -> None:
    with CountingProxy() as proxy, GrpcReceiver() if protocol == "grpc" else HttpReceiver() as receiver:
        monkeypatch.setenv(variable, proxy.url)
        with exports(endpoint=receiver.url.replace("127.0.0.1", host)) as sent:
            sent.send(2)
            assert sent.flush()
        assert len(receiver.spans) == 2
        assert proxy.first_lines == []


def test_another_host_goes_through_the_proxy_and_the_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with CountingProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:s3cret@"))
        with exports(endpoint="http://collector.invalid:4318") as sent:
            sent.send(2)
            assert sent.flush() is False
        assert proxy.first_lines[0].startswith("POST http://collector.invalid:4318/v1/")
    [line] = said(caplog)
    assert f"(HTTP 502 Bad Gateway, through the proxy {proxy.url})" in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("[::1]", True),
        ("0.0.0.0", True),  # noqa: S104 - nothing is bound
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("collector", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, *, loopback: bool) -> None:
    assert OtlpEndpoint("traces", "http/protobuf", f"http://{host}:4318").is_loopback is loopback


@pytest.mark.parametrize("value", ["none", "gzip", "GZIP", "deflate", "zstd", ""])
def test_each_compression_works_or_is_ignored_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, protocol: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", value)
    with (
        GrpcReceiver() if protocol == "grpc" else HttpReceiver() as receiver,
        exports(endpoint=receiver.url) as sent,
    ):
        sent.send(2)
        assert sent.flush()
        assert len(receiver.spans) == 2
        known = {"none", "gzip", ""} | ({"deflate"} if protocol != "grpc" else set())
        ignored = [warning for warning in sent.warnings if "OTEL_EXPORTER_OTLP_COMPRESSION" in warning]
        assert bool(ignored) is (value.lower() not in known)
        if protocol != "grpc" and value.lower() in {"gzip", "deflate"}:
            assert receiver.requests[0].headers["content-encoding"] == value.lower()


def test_headers_in_code_replace_those_of_the_variable(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20variable,x-a=1")
    with GrpcReceiver() if protocol == "grpc" else HttpReceiver() as receiver:
        for headers in (None, {"X-B": " 2 "}):
            with exports(endpoint=receiver.url, headers=headers) as sent:
                sent.send(1)
                assert sent.flush()
        first, last = receiver.requests[0].headers, receiver.requests[-1].headers
        assert (first["authorization"], first["x-a"]) == ("Bearer variable", "1")
        assert "authorization" not in last
        assert last["x-b"] == "2"


def test_netrc_does_not_replace_the_authorization(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, receiver: HttpReceiver
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with exports(endpoint=receiver.url, headers={"authorization": "Bearer mine"}) as sent:
        sent.send(1)
        assert sent.flush()
    assert {request.headers["authorization"] for request in receiver.requests} == {"Bearer mine"}


@pytest.mark.parametrize("suffix", ["", "/", "?key=k", "/v1/traces", "/v1/metrics/", "\n"])
def test_each_form_of_a_base_url_reaches_the_same_path(receiver: HttpReceiver, suffix: str) -> None:
    with exports(endpoint=receiver.url + suffix) as sent:
        sent.send(1)
        assert sent.flush()
    assert {request.path.partition("?")[0] for request in receiver.attempts} == {
        "/v1/traces",
        "/v1/metrics",
        "/v1/logs",
    }
    assert all(request.path.endswith("?key=k") for request in receiver.attempts) is ("?" in suffix)


def test_several_exporters_all_get_the_telemetry(receiver: HttpReceiver) -> None:
    ended = Program(
        """
        configure(service_name="s", logs="otlp")
        for n in range(3): work(n)
        logging.getLogger("application").error("a record")
        report(flush=flush())
        """,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            **{f"OTEL_{signal}_EXPORTER": "console,otlp" for signal in ("TRACES", "METRICS", "LOGS")},
        },
    ).run()
    assert ended.reported["flush"] is True
    assert (len(receiver.spans), receiver.calls("work")) == (3, 3)
    assert {point.delta for point in receiver.points if point.metric == "otel_tools.calls"} == {True}
    assert ended.out.count('"name": "execute_tool work"') == 3
    assert ended.out.count('"body": "a record"') == 1
    assert '"name": "otel_tools.calls"' in ended.out
