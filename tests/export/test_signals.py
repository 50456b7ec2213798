"""What `read_signals` says of each signal: exporter, endpoint, headers, what is refused and what is ignored."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest

from otel_tools import ConfigurationError, configure
from otel_tools._export.endpoint import SIGNALS, TelemetrySignal
from otel_tools._export.otlp_options import parse_headers
from otel_tools._export.signals import read_signals

SECRET: Final = "s3cret"  # noqa: S105 - it opens nothing


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


# The known values of https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exporter-selection
# and those of `opentelemetry-instrument`, each with the exporters, or with a word of the way out.
EXPORTERS: Final[dict[str, tuple[str, ...] | str]] = {
    "otlp": ("otlp",),
    "OTLP": ("otlp",),
    " otlp\n": ("otlp",),
    "console": ("console",),
    "none": (),
    "": ("otlp",),
    ",": ("otlp",),
    "otlp,": ("otlp",),
    "otlp,otlp": ("otlp",),
    "otlp,console": ("otlp", "console"),
    "console, otlp": ("console", "otlp"),
    "otlp_proto_http": ("otlp",),
    "otlp_proto_grpc,console": ("otlp", "console"),
    "otlp_proto_http,otlp_proto_grpc": "one protocol",
    "otlp,none": "'none' stands alone",
    "none,otlp": "'none' stands alone",
    "prometheus": "write 'otlp'",
    "otlp,prometheus": "write 'otlp'",
    "zipkin": "write 'otlp'",
    "jaeger": "write 'otlp'",
    "logging": "'console'",
    "otlp/stdout": "file='/dev/stdout'",
    "file": "exporter='file'",
    "otlp;console": "accepted are",
    "nonsense": "accepted are",
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("value", EXPORTERS)
def test_each_name_of_an_exporter_works_or_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, signal: TelemetrySignal, value: str
) -> None:
    variable, right = f"OTEL_{signal.upper()}_EXPORTER", EXPORTERS[value]
    monkeypatch.setenv(variable, value)
    export = read_signals(logs=True)[signal]
    if isinstance(right, tuple):
        assert (export.exporters, export.problem) == (right, "")
    else:
        assert export.problem.startswith(f"{variable}={value}: ")
        assert right in export.problem
        with pytest.raises(ConfigurationError, match=f"^{variable}="):
            configure()


def test_the_name_of_an_otlp_exporter_sets_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp_proto_grpc")
    signals = read_signals()
    assert [signals[signal].endpoint.protocol for signal in ("traces", "metrics")] == ["grpc", "http/protobuf"]
    assert signals["traces"].endpoint.url == "http://localhost:4317"


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"])
@pytest.mark.parametrize("value", ["http/json", "http", "tcp", "grpc,http/protobuf"])
def test_a_protocol_is_refused_where_it_would_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert read_signals(logs=True)["logs"].problem.startswith(f"{variable}={value}: accepted are 'http/protobuf'")
    assert read_signals()["logs"].problem == ""
    assert read_signals(exporter="console", logs=True)["logs"].problem == ""


# Base URLs: the address over HTTP, where `{path}` is that of the signal, and a word of the warning.
ENDPOINTS: Final[dict[str, tuple[str, str]]] = {
    "http://h:4318?key=k": ("http://h:4318{path}?key=k", ""),
    "http://h:4318/?key=k&x=/v1/traces": ("http://h:4318{path}?key=k&x=/v1/traces", ""),
    "http://h:4318/otlp/?key=k": ("http://h:4318/otlp{path}?key=k", ""),
    "http://h:4318\n": ("http://h:4318{path}", ""),
    "\thttp://h:4318/\r\n": ("http://h:4318{path}", ""),
    "http://h:4318/v1/traces": ("http://h:4318{path}", "/v1/traces at its end is not used"),
    "http://h:4318/v1/traces/": ("http://h:4318{path}", "is not used"),
    "http://h:4318/otlp/v1/metrics": ("http://h:4318/otlp{path}", "/v1/metrics at its end is not used"),
    "http://h:4318/v1/logs?key=k": ("http://h:4318{path}?key=k", "/v1/logs at its end is not used"),
    "http://h:4318/v1/tracesx": ("http://h:4318/v1/tracesx{path}", ""),
    "http://h:4318#part": ("http://h:4318{path}", "what follows #"),
    "HTTP://h:4318": ("http://h:4318{path}", ""),
}


@pytest.mark.parametrize("given", ["variable", "argument"])
@pytest.mark.parametrize("value", ENDPOINTS)
def test_a_base_url_gets_the_path_of_the_signal_once_and_before_its_query(
    monkeypatch: pytest.MonkeyPatch, value: str, given: str
) -> None:
    if given == "variable":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", value)
    signals = read_signals(endpoint=value if given == "argument" else None)
    url, warning = ENDPOINTS[value]
    for signal in ("traces", "metrics"):
        assert signals[signal].problem == ""
        assert signals[signal].endpoint.url == url.replace("{path}", f"/v1/{signal}")
    # One text for all signals, so that it is logged once.
    warnings = {text for export in signals.values() for text in export.warnings}
    assert len(warnings) == bool(warning)
    assert warning in "".join(warnings)
    assert "key=k" not in "".join(warnings)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    "value",
    ["http://h:4 318", "http://h h:4318", "http://h\n:4318", "http://:4318", "ftp://h:4318", "http://h:x", "h:99999"],
)
def test_an_address_that_no_exporter_can_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, protocol: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value)
    problem = read_signals()["traces"].problem
    assert problem.startswith("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=")
    assert "scheme and host" in problem
    assert read_signals(endpoint=value)["traces"].problem.startswith("configure(endpoint=")


@pytest.mark.parametrize(
    "value", [f"user:{SECRET}@h:4318", f"http://user:{SECRET}@h:99999", f"ftp://{SECRET}@h?k={SECRET}", f"x?{SECRET}"]
)
def test_a_refused_address_is_shown_without_its_secrets(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert SECRET not in read_signals(endpoint=value)["traces"].problem
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", value)
    signal = read_signals()["traces"]
    assert signal.problem
    assert SECRET not in signal.problem


@pytest.mark.parametrize(
    ("value", "unused"),
    [
        ("https://collector/otlp", "/otlp is not used"),
        ("http://h:4317/v1/traces", "/v1/traces is not used"),
        ("http://h:4317?key=k", "the query is not used"),
        ("http://h:4317/", ""),
        ("h:4317", ""),
        ("dns:///h:4317", ""),
        ("unix:///run/otlp.sock", ""),
    ],
)
def test_grpc_says_what_of_an_address_it_does_not_send(
    monkeypatch: pytest.MonkeyPatch, value: str, unused: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", value)
    signal = read_signals(protocol="grpc")["traces"]
    assert signal.problem == ""
    assert len(signal.warnings) == bool(unused)
    assert unused in "".join(signal.warnings)


MALFORMED_HEADERS: Final = (
    f"Authorization: Bearer {SECRET}",
    f"Authorization Bearer {SECRET}",
    f"authorization:Bearer={SECRET}",
    f"Bearer {SECRET}==",
    f"x-team=search,Bearer {SECRET}",
    f"authorization=Bearer a,{SECRET}",
    f"authorization=Bearer {SECRET};x=y",
    f'authorization="Bearer {SECRET}"',
    f"authorization=Bearer {SECRET}\\n",
    f'{{"authorization": "Bearer {SECRET}"}}',
    f"={SECRET}",
    f"x-a=1,={SECRET}",
    f"authorization=Bearer {SECRET}\nx-other=1",
    f"authorization=Bearer%20{SECRET}%0A",
    f"authorization=Bearer {SECRET}é",
    f"authorization=%ff{SECRET}",
    f"a%0Ab={SECRET}",
)


@pytest.fixture(params=[None, *SIGNALS], ids=lambda signal: signal or "general")
def headers_variable(request: pytest.FixtureRequest) -> tuple[str, TelemetrySignal]:
    own = request.param
    return (f"OTEL_EXPORTER_OTLP_{own.upper()}_HEADERS", own) if own else ("OTEL_EXPORTER_OTLP_HEADERS", "metrics")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("value", MALFORMED_HEADERS)
def test_malformed_headers_are_refused_by_the_name_of_the_variable_without_their_value(  # noqa: PLR0913, PLR0917 - fixtures
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    headers_variable: tuple[str, TelemetrySignal],
    value: str,
    protocol: str,
) -> None:
    variable, signal = headers_variable
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{variable}: name=value pairs") as refused:
        configure(service_name="s", logs="otlp")
    shown = [str(refused.value), repr(refused.value.__cause__), caplog.text, *capfd.readouterr()]
    assert SECRET not in "".join(shown)
    assert SECRET not in repr(read_signals(logs=True)[signal])


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ("authorization=Bearer%20abc", {"authorization": "Bearer abc"}),
        ("authorization=Bearer abc", {"authorization": "Bearer abc"}),
        ("Authorization=Basic dXNlcjpwYXNz==", {"authorization": "Basic dXNlcjpwYXNz=="}),
        (" x-a = 1 , x-b=2,\n", {"x-a": "1", "x-b": "2"}),
        ("x-a=", {"x-a": ""}),
        ("x-a=%2C", {"x-a": ","}),
        ("", {}),
    ],
)
def test_headers_in_the_form_of_the_variable(value: str, headers: dict[str, str]) -> None:
    assert dict(parse_headers("OTEL_EXPORTER_OTLP_HEADERS", value)) == headers


@pytest.mark.parametrize(
    "headers",
    [
        f"authorization=Bearer {SECRET}",
        [("authorization", SECRET)],
        {"authorization": SECRET.encode()},
        {b"authorization": SECRET},
        {"authorization": f"{SECRET}\n"},
        {"authorization": f"{SECRET}é"},
        {f"authorization: Bearer {SECRET}": ""},
        {f"authorization={SECRET}": "x"},
        {"Content-Length": SECRET},
        {"content-type": SECRET},
    ],
    ids=range(10),
)
def test_malformed_headers_in_code_are_refused_without_their_value(headers: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^configure\(headers=") as refused:
        configure(headers=headers)  # type: ignore[arg-type] # what is tested
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("variables", "arguments", "command"),
    [
        ({}, {}, "--endpoint http://localhost:4318 --protocol http/protobuf"),
        ({"PROTOCOL": "grpc"}, {}, "--endpoint http://localhost:4317 --protocol grpc"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "h:4317"}, {}, "--endpoint https://h:4317 --protocol grpc"),
        (
            {"PROTOCOL": "grpc", "ENDPOINT": "h:4317", "INSECURE": "true"},
            {},
            "--endpoint http://h:4317 --protocol grpc",
        ),
        ({}, {"endpoint": "http://127.0.0.1:9"}, "--endpoint http://127.0.0.1:9 --protocol http/protobuf"),
        ({"TRACES_ENDPOINT": "http://h/a/v1/traces"}, {}, "--endpoint http://h/a --protocol http/protobuf"),
        # No base URL gives this address: the doctor reads the variable.
        ({"TRACES_ENDPOINT": "http://h/spans"}, {}, ""),
        ({"ENDPOINT": f"http://u:{SECRET}@h?k={SECRET}"}, {}, "--endpoint http://h --protocol http/protobuf"),
        ({"ENDPOINT": "http://h/a;b"}, {}, "--endpoint 'http://h/a;b' --protocol http/protobuf"),
        (
            {"HEADERS": f"authorization={SECRET}", "ENDPOINT": "http://h"},
            {},
            '--endpoint http://h --protocol http/protobuf --headers "$OTEL_EXPORTER_OTLP_HEADERS"',
        ),
        (
            {"TRACES_HEADERS": f"authorization={SECRET}", "ENDPOINT": "http://h"},
            {},
            '--endpoint http://h --protocol http/protobuf --headers "$OTEL_EXPORTER_OTLP_TRACES_HEADERS"',
        ),
        (
            {"HEADERS": f"authorization={SECRET}"},
            {"endpoint": "http://h", "headers": (("x-key", SECRET),)},
            "--endpoint http://h --protocol http/protobuf --headers x-key=...",
        ),
    ],
)
def test_the_doctors_command_looks_at_the_same_endpoint(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], arguments: dict[str, Any], command: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    export = read_signals(**arguments)["traces"]
    assert export.problem == ""
    assert export.doctor_command == f"otel-tools doctor {command}".rstrip()
    if "--endpoint" in command:
        endpoint, protocol = command.split()[1].strip("'"), command.split()[3]
        again = read_signals(endpoint=endpoint, protocol=protocol)["traces"].endpoint.url
        assert (
            again.rpartition("://")[2]
            == export.endpoint.url.replace(f"u:{SECRET}@", "").partition("?")[0].rpartition("://")[2]
        )
