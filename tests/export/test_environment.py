"""The ``OTEL_*`` variables apply, and an argument of `configure()` wins over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.export.received import Received

BARE: Final = "configure()\nfor n in range(20): work(n)\n"
NAMED: Final = "configure(service_name={0!r}{1})\nfor n in range(20): work(n)\n"


def named(service: str, more: str = "") -> str:
    return NAMED.format(service, more)


def programs(http: str, grpc: str) -> dict[str, Program]:
    """The programs, by the name of their service. A variable sets the receiver, unless that is what is tested."""
    dead = f"http://127.0.0.1:{free_port()}"
    cases: dict[str, tuple[str, Mapping[str, str]]] = {
        "by-variable": (BARE, {"OTEL_SERVICE_NAME": "by-variable", "OTEL_RESOURCE_ATTRIBUTES": "team=search"}),
        "by-argument": (named("by-argument"), {"OTEL_SERVICE_NAME": "loses", "OTEL_RESOURCE_ATTRIBUTES": "team=x"}),
        "by-resource": (BARE, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=by-resource,service.instance.id=pod-7"}),
        "traces-apart": (
            named("traces-apart"),
            {"OTEL_EXPORTER_OTLP_ENDPOINT": dead, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{http}/v1/traces"},
        ),
        "endpoint-wins": (
            named("endpoint-wins", f", endpoint={http + '/'!r}"),
            {"OTEL_EXPORTER_OTLP_ENDPOINT": dead, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": dead},
        ),
        "headers": (named("headers"), {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=search,authorization=Bearer%20abc"}),
        "headers-win": (
            named("headers-win", ", headers={'X-Team': 'code'}"),
            {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=variable"},
        ),
        "gzip": (named("gzip"), {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}),
        "grpc": (
            named("grpc"),
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": grpc},
        ),
        "grpc-no-scheme": (
            named("grpc-no-scheme"),
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_ENDPOINT": grpc.removeprefix("http://"),
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            },
        ),
        "grpc-traces": (
            named("grpc-traces"),
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": grpc},
        ),
        "no-traces": (named("no-traces"), {"OTEL_TRACES_EXPORTER": "none"}),
        "no-metrics": (named("no-metrics"), {"OTEL_METRICS_EXPORTER": "none"}),
        "console-traces": (named("console-traces"), {"OTEL_TRACES_EXPORTER": "console"}),
        "exporter-wins": (named("exporter-wins", ", exporter='otlp'"), {"OTEL_TRACES_EXPORTER": "none"}),
        "sampler": (named("sampler"), {"OTEL_TRACES_SAMPLER": "always_off"}),
        "sampler-loses": (named("sampler-loses", ", sample_ratio=1"), {"OTEL_TRACES_SAMPLER": "always_off"}),
        "no-sample": (named("no-sample", ", sample_ratio=0.0"), {}),
        "half": (named("half", ", sample_ratio=0.5") + "for n in range(380): work(n)\n", {}),
        "delta": (
            named("delta") + "flush()\nfor n in range(5): work(n)\n",
            {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
        ),
        "logs": (
            named("logs") + "try: fail()\nexcept ValueError: pass\n",
            {"OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "logs"},
        ),
        "disabled": (
            named("disabled") + "report(ok=calls(), flush=flush(), hooked=signal.getsignal(15) != signal.SIG_DFL)",
            {"OTEL_SDK_DISABLED": "true"},
        ),
        "config-file": (
            named("config-file") + "report(ok=calls(), flush=flush())",
            {"OTEL_CONFIG_FILE": "otel.yaml"},
        ),
        "none": (
            named("none", ", exporter='none'")
            + "report(ok=calls(), flush=flush(), sdk='opentelemetry.sdk' in sys.modules)",
            {},
        ),
    }
    return {
        service: Program(script, {"OTEL_EXPORTER_OTLP_ENDPOINT": http, **env})
        for service, (script, env) in cases.items()
    }


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[Received, Received, dict[str, Ended]]]:
    with HttpReceiver() as http, GrpcReceiver() as grpc:
        yield http, grpc, run_all(programs(http.url, grpc.url))


@pytest.fixture
def http(runs: tuple[Received, Received, dict[str, Ended]]) -> Received:
    return runs[0]


@pytest.fixture
def grpc(runs: tuple[Received, Received, dict[str, Ended]]) -> Received:
    return runs[1]


@pytest.fixture
def ended(runs: tuple[Received, Received, dict[str, Ended]]) -> dict[str, Ended]:
    return runs[2]


def test_all_programs_succeed_and_only_two_log(ended: dict[str, Ended], http: Received) -> None:
    assert {service: each.code for service, each in ended.items() if each.code} == {}
    loud = {service for service, each in ended.items() if each.err}
    assert loud == {"config-file", "traces-apart"}, {service: ended[service].err for service in loud}
    assert http.problems == []


def test_service_name_and_resource_attributes(http: Received) -> None:
    assert {span.resource["team"] for span in http.service("by-variable").spans} == {"search"}
    assert {point.resource["team"] for point in http.service("by-argument").points} == {"x"}
    assert http.service("by-resource").instances == {"pod-7"}
    assert not http.service("loses").spans
    for service in ("by-variable", "by-argument"):
        assert len(http.service(service).instances) == 1


def test_endpoints(http: Received, ended: dict[str, Ended]) -> None:
    apart = http.service("traces-apart")
    assert (len(apart.spans), len(apart.points)) == (20, 0)
    assert len(ended["traces-apart"].lines) == 1
    assert (len(http.service("endpoint-wins").spans), http.service("endpoint-wins").calls("work")) == (20, 20)


def test_headers(http: Received) -> None:
    for request in http.service("headers").requests:
        assert (request.headers["x-team"], request.headers["authorization"]) == ("search", "Bearer abc")
    assert {request.headers["x-team"] for request in http.service("headers-win").requests} == {"code"}


def test_compression(http: Received) -> None:
    assert {request.headers["content-encoding"] for request in http.service("gzip").requests} == {"gzip"}
    assert len(http.service("gzip").spans) == 20


def test_protocol(http: Received, grpc: Received) -> None:
    assert (
        len(grpc.service("grpc").spans),
        grpc.service("grpc").calls("work"),
        http.service("grpc").requests,
    ) == (20, 20, [])
    assert len(grpc.service("grpc-no-scheme").spans) == 20
    assert (len(grpc.service("grpc-traces").spans), grpc.service("grpc-traces").points) == (20, [])
    assert (http.service("grpc-traces").spans, http.service("grpc-traces").calls("work")) == ([], 20)


def test_exporters(http: Received, ended: dict[str, Ended]) -> None:
    assert (http.service("no-traces").spans, http.service("no-traces").calls("work")) == ([], 20)
    assert (len(http.service("no-metrics").spans), http.service("no-metrics").points) == (20, [])
    assert http.service("console-traces").spans == []
    assert ended["console-traces"].out.count('"name": "execute_tool work"') == 20
    assert len(http.service("exporter-wins").spans) == 20


def test_sampling_reduces_traces_and_not_the_counts(http: Received) -> None:
    assert (http.service("sampler").spans, http.service("sampler").calls("work")) == ([], 20)
    assert len(http.service("sampler-loses").spans) == 20
    assert (http.service("no-sample").spans, http.service("no-sample").durations("work")) == ([], 20)
    half = http.service("half")
    assert 100 < len(half.spans) < 300
    assert (half.calls("work"), half.durations("work")) == (400, 400)


def test_delta_temporality(http: Received) -> None:
    delta = http.service("delta")
    assert (delta.calls("work"), delta.durations("work")) == (25, 25)
    assert [point.value for point in delta.points if point.metric == "gen_ai.execute_tool.duration"] == [20, 5]


def test_exceptions_are_log_events_where_the_variable_says_so(http: Received) -> None:
    [event] = http.service("logs").logs
    [span] = http.service("logs").spans_of("fail")
    assert event.event == "gen_ai.execute_tool.exception"
    assert (event.trace, event.attributes["exception.type"]) == (span.trace, "ValueError")
    assert http.service("headers").logs == []


def test_tools_work_and_count_where_nothing_is_set_up(http: Received, ended: dict[str, Ended]) -> None:
    for service in ("disabled", "config-file", "none"):
        assert http.service(service).requests == []
        assert ended[service].reported["ok"] == 20
        assert ended[service].reported["flush"] is True
    assert ended["disabled"].reported["hooked"] is False
    assert ended["none"].reported["sdk"] is False
    assert ended["config-file"].lines == ["OTEL_CONFIG_FILE is set: configure() leaves the providers to it"]
