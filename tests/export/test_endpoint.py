"""The OTLP endpoint rules: environment, signal and protocol decide the address; they agree with the SDK's exporters."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import Any, Final, get_args

import pytest

from otel_tools._export.endpoint import (
    OTLP_PROTOCOLS,
    OtlpEndpoint,
    OtlpProtocol,
    TelemetrySignal,
    is_http_url,
    otlp_endpoint,
    otlp_protocol,
    sdk_disabled,
)
from otel_tools._urls import secrets_in, without_secrets

GENERAL: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
SIGNALS: Final[tuple[TelemetrySignal, ...]] = get_args(TelemetrySignal)

ENVIRONMENTS: Final[dict[str, dict[str, str]]] = {
    "nothing set": {},
    "general": {GENERAL: "http://collector:4318"},
    "general with a slash": {GENERAL: "http://collector:4318/"},
    "general with a path": {GENERAL: "https://collector/otlp"},
    "own": {"OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT": "http://own:9999/any/path"},
    "own and general": {"OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT": "http://own:9999", GENERAL: "http://collector:4318"},
    "own empty": {"OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT": "", GENERAL: "http://collector:4318"},
    "both empty": {"OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT": "", GENERAL: ""},
    "another signal's": {"OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT": "http://other:9999"},
    "spaces around": {GENERAL: "  http://collector:4318 "},
}
"""Variables; ``{SIGNAL}`` stands for the signal's name in upper case."""

URLS: Final[dict[str, tuple[str, str]]] = {
    "nothing set": ("http://localhost:4318/v1/{signal}", "http://localhost:4317"),
    "general": ("http://collector:4318/v1/{signal}", "http://collector:4318"),
    "general with a slash": ("http://collector:4318/v1/{signal}", "http://collector:4318/"),
    "general with a path": ("https://collector/otlp/v1/{signal}", "https://collector/otlp"),
    "own": ("http://own:9999/any/path", "http://own:9999/any/path"),
    "own and general": ("http://own:9999", "http://own:9999"),
    "own empty": ("http://collector:4318/v1/{signal}", "http://collector:4318"),
    "both empty": ("http://localhost:4318/v1/{signal}", "http://localhost:4317"),
    "another signal's": ("http://localhost:4318/v1/{signal}", "http://localhost:4317"),
    "spaces around": ("http://collector:4318/v1/{signal}", "http://collector:4318"),
}
"""The full addresses by HTTP and by gRPC."""

UNUSABLE_FOR_THE_SDK: Final = {"both empty", "spaces around"}
"""Left to themselves the SDK's exporters fail there; `configure()` gives them the address."""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def set_variables(monkeypatch: pytest.MonkeyPatch, environment: str, signal: TelemetrySignal) -> None:
    for variable, value in ENVIRONMENTS[environment].items():
        monkeypatch.setenv(variable.format(SIGNAL=signal.upper()), value)


@pytest.mark.parametrize("protocol", OTLP_PROTOCOLS)
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_environment_decides_the_url(
    monkeypatch: pytest.MonkeyPatch, environment: str, signal: TelemetrySignal, protocol: OtlpProtocol
) -> None:
    set_variables(monkeypatch, environment, signal)
    endpoint = otlp_endpoint(signal, protocol)
    assert endpoint.url == URLS[environment][OTLP_PROTOCOLS.index(protocol)].format(signal=signal)
    assert endpoint.is_valid


@pytest.mark.parametrize("protocol", OTLP_PROTOCOLS)
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("environment", [name for name in ENVIRONMENTS if name not in UNUSABLE_FOR_THE_SDK])
def test_the_url_is_the_one_that_the_exporter_of_the_sdk_uses(
    monkeypatch: pytest.MonkeyPatch, environment: str, signal: TelemetrySignal, protocol: OtlpProtocol
) -> None:
    set_variables(monkeypatch, environment, signal)
    exporter = sdk_exporter(signal, protocol)
    expected = otlp_endpoint(signal, protocol).url
    if protocol == "grpc":
        # The exporter keeps HOST:PORT alone.
        expected = expected.split("//")[1].split("/")[0]
    assert exporter._endpoint == expected
    exporter.shutdown()


def sdk_exporter(signal: TelemetrySignal, protocol: OtlpProtocol) -> Any:
    module, name = {
        "traces": ("trace_exporter", "OTLPSpanExporter"),
        "metrics": ("metric_exporter", "OTLPMetricExporter"),
        "logs": ("_log_exporter", "OTLPLogExporter"),
    }[signal]
    package = f"opentelemetry.exporter.otlp.proto.{'grpc' if protocol == 'grpc' else 'http'}"
    return getattr(import_module(f"{package}.{module}"), name)()


@pytest.mark.parametrize("protocol", OTLP_PROTOCOLS)
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_base_url_given_in_code_wins(
    monkeypatch: pytest.MonkeyPatch, environment: str, signal: TelemetrySignal, protocol: OtlpProtocol
) -> None:
    set_variables(monkeypatch, environment, signal)
    endpoint = otlp_endpoint(signal, protocol, base="http://code:4318")
    assert endpoint.variable == ""
    assert endpoint.url == ("http://code:4318" if protocol == "grpc" else f"http://code:4318/v1/{signal}")


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_endpoint_names_the_variable_that_sets_it(monkeypatch: pytest.MonkeyPatch, signal: TelemetrySignal) -> None:
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    assert otlp_endpoint(signal, "http/protobuf").variable == ""
    monkeypatch.setenv(GENERAL, "http://collector:4318")
    assert otlp_endpoint(signal, "http/protobuf").variable == GENERAL
    monkeypatch.setenv(own, "http://own:9999")
    assert otlp_endpoint(signal, "http/protobuf").variable == own


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_signals_own_variable_decides_the_protocol(
    monkeypatch: pytest.MonkeyPatch, signal: TelemetrySignal
) -> None:
    own, general = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
    assert otlp_protocol(signal) == ("http/protobuf", "")
    monkeypatch.setenv(general, " GRPC ")
    assert otlp_protocol(signal) == ("grpc", general)
    monkeypatch.setenv(own, "http/json")
    assert otlp_protocol(signal) == ("http/json", own)
    monkeypatch.setenv(own, "")
    assert otlp_protocol(signal) == ("grpc", general)


@pytest.mark.parametrize(
    ("protocol", "address", "host_port_secure", "valid"),
    [
        ("http/protobuf", "http://localhost:4318", ("localhost", 4318, False), True),
        ("http/protobuf", "http://collector", ("collector", 80, False), True),
        ("http/protobuf", "https://collector/otlp", ("collector", 443, True), True),
        ("http/protobuf", "http://[::1]:4318", ("::1", 4318, False), True),
        ("http/protobuf", "localhost:4318", ("localhost", 4318, False), False),
        ("http/protobuf", "ftp://collector", ("collector", 80, False), False),
        ("http/protobuf", "http://", ("", 80, False), False),
        ("http/protobuf", "http://collector:port", ("collector", None, False), False),
        ("http/protobuf", "http://collector:99999", ("collector", None, False), False),
        ("http/protobuf", "http://[::1", (None, None, None), False),
        ("grpc", "http://localhost:4317", ("localhost", 4317, False), True),
        ("grpc", "https://collector", ("collector", 443, True), True),
        ("grpc", "localhost:4317", ("localhost", 4317, False), True),
        ("grpc", "collector", ("collector", 80, False), True),
        ("grpc", "[::1]:4317", ("::1", 4317, False), True),
        ("grpc", ":4317", ("", 4317, False), False),
        ("grpc", "collector:port", ("collector", None, False), False),
        ("grpc", "[::1", (None, None, None), False),
        ("thrift", "http://localhost:4318", ("localhost", 4318, False), True),
    ],
)
def test_host_port_and_validity_of_an_address(
    protocol: str, address: str, host_port_secure: tuple[str | None, int | None, bool | None], *, valid: bool
) -> None:
    endpoint = OtlpEndpoint("traces", protocol, address)
    assert endpoint.is_valid is valid
    assert tuple(value_of(endpoint, name) for name in ("host", "port", "is_secure")) == host_port_secure


def value_of(endpoint: OtlpEndpoint, name: str) -> Any:
    """An attribute of the endpoint; None where the address cannot be parsed."""
    try:
        return getattr(endpoint, name)
    except ValueError:
        return None


@pytest.mark.parametrize("address", [None, 4318, b"http://localhost", "", "localhost", "localhost:4318", "http:///v1"])
def test_what_is_no_http_url(address: object) -> None:
    assert not is_http_url(address)


@pytest.mark.parametrize(
    ("url", "public", "secrets"),
    [
        ("http://collector:4318", "http://collector:4318", []),
        ("https://user:password@collector/otlp", "https://collector/otlp", ["user:password@"]),
        ("https://a@b:c@collector", "https://collector", ["a@b:c@"]),
        ("https://collector/otlp?key=abc#part", "https://collector/otlp", ["key=abc", "part"]),
        ("https://user@collector?key=abc", "https://collector", ["user@", "key=abc"]),
        ("http://[::1", "an endpoint that is no URL", ["http://[::1"]),
        ("/var/log/spans@host.jsonl", "/var/log/spans@host.jsonl", []),
        ("the console", "the console", []),
        ("localhost:4317", "localhost:4317", []),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, public: str, secrets: list[str]) -> None:
    assert without_secrets(url) == public
    assert secrets_in(url) == secrets


@pytest.mark.parametrize(
    ("value", "disabled"),
    [("true", True), ("TRUE", True), (" True ", True), ("false", False), ("1", False), ("yes", False), ("", False)],
)
def test_only_the_word_true_disables_the_sdk(monkeypatch: pytest.MonkeyPatch, value: str, *, disabled: bool) -> None:
    assert not sdk_disabled()
    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    assert sdk_disabled() is disabled


def test_the_rules_do_not_import_the_sdk() -> None:
    script = (
        "import sys, otel_tools._export.endpoint\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
