"""The ``OTEL_*`` variables are honoured, and an argument in code wins over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.export.seen import Seen

BARE: Final = "configure()\nfor n in range(20): work(n)\n"
NAMED: Final = "configure(service_name={0!r}{1})\nfor n in range(20): work(n)\n"


def named(service: str, more: str = "") -> str:
    return NAMED.format(service, more)


def programs(http: str, grpc: str) -> dict[str, Program]:
    """Each under the name of its service. The receiver is given by variable, unless that is what is tested."""
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
            named("disabled") + "say(ok=calls(), flush=flush(), hooked=signal.getsignal(15) != signal.SIG_DFL)",
            {"OTEL_SDK_DISABLED": "true"},
        ),
        "config-file": (
            named("config-file") + "say(ok=calls(), flush=flush())",
            {"OTEL_CONFIG_FILE": "otel.yaml"},
        ),
        "none": (
            named("none", ", exporter='none'")
            + "say(ok=calls(), flush=flush(), sdk='opentelemetry.sdk' in sys.modules)",
            {},
        ),
    }
    return {
        service: Program(script, {"OTEL_EXPORTER_OTLP_ENDPOINT": http, **env})
        for service, (script, env) in cases.items()
    }


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Seen, Seen, dict[str, Ended]]]:
    with HttpReceiver() as http, GrpcReceiver() as grpc:
        yield http, grpc, run_all(programs(http.url, grpc.url))


@pytest.fixture
def http(lab: tuple[Seen, Seen, dict[str, Ended]]) -> Seen:
    return lab[0]


@pytest.fixture
def grpc(lab: tuple[Seen, Seen, dict[str, Ended]]) -> Seen:
    return lab[1]


@pytest.fixture
def ended(lab: tuple[Seen, Seen, dict[str, Ended]]) -> dict[str, Ended]:
    return lab[2]


def test_all_end_well_and_in_silence(ended: dict[str, Ended], http: Seen) -> None:
    assert {service: each.code for service, each in ended.items() if each.code} == {}
    loud = {service for service, each in ended.items() if each.err}
    assert loud == {"config-file", "traces-apart"}, {service: ended[service].err for service in loud}
    assert http.problems == []


def test_service_name_and_resource_attributes(http: Seen) -> None:
    assert {span.resource["team"] for span in http.of("by-variable").spans} == {"search"}
    assert {point.resource["team"] for point in http.of("by-argument").points} == {"x"}
    assert http.of("by-resource").instances == {"pod-7"}
    assert not http.of("loses").spans
    for service in ("by-variable", "by-argument"):
        assert len(http.of(service).instances) == 1


def test_endpoints(http: Seen, ended: dict[str, Ended]) -> None:
    apart = http.of("traces-apart")
    assert (len(apart.spans), len(apart.points)) == (20, 0)
    assert len(ended["traces-apart"].lines) == 1
    assert (len(http.of("endpoint-wins").spans), http.of("endpoint-wins").calls("work")) == (20, 20)


def test_headers(http: Seen) -> None:
    for request in http.of("headers").requests:
        assert (request.headers["x-team"], request.headers["authorization"]) == ("search", "Bearer abc")
    assert {request.headers["x-team"] for request in http.of("headers-win").requests} == {"code"}


def test_compression(http: Seen) -> None:
    assert {request.headers["content-encoding"] for request in http.of("gzip").requests} == {"gzip"}
    assert len(http.of("gzip").spans) == 20


def test_protocol(http: Seen, grpc: Seen) -> None:
    assert (len(grpc.of("grpc").spans), grpc.of("grpc").calls("work"), http.of("grpc").requests) == (20, 20, [])
    assert len(grpc.of("grpc-no-scheme").spans) == 20
    assert (len(grpc.of("grpc-traces").spans), grpc.of("grpc-traces").points) == (20, [])
    assert (http.of("grpc-traces").spans, http.of("grpc-traces").calls("work")) == ([], 20)


def test_exporters(http: Seen, ended: dict[str, Ended]) -> None:
    assert (http.of("no-traces").spans, http.of("no-traces").calls("work")) == ([], 20)
    assert (len(http.of("no-metrics").spans), http.of("no-metrics").points) == (20, [])
    assert http.of("console-traces").spans == []
    assert ended["console-traces"].out.count('"name": "execute_tool work"') == 20
    assert len(http.of("exporter-wins").spans) == 20


def test_sampling_thins_traces_and_never_the_counts(http: Seen) -> None:
    assert (http.of("sampler").spans, http.of("sampler").calls("work")) == ([], 20)
    assert len(http.of("sampler-loses").spans) == 20
    assert (http.of("no-sample").spans, http.of("no-sample").durations("work")) == ([], 20)
    half = http.of("half")
    assert 100 < len(half.spans) < 300
    assert (half.calls("work"), half.durations("work")) == (400, 400)


def test_delta_temporality(http: Seen) -> None:
    delta = http.of("delta")
    assert (delta.calls("work"), delta.durations("work")) == (25, 25)
    assert [point.value for point in delta.points if point.metric == "gen_ai.execute_tool.duration"] == [20, 5]


def test_exceptions_as_log_events_where_asked_for(http: Seen) -> None:
    [event] = http.of("logs").logs
    [span] = http.of("logs").spans_of("fail")
    assert event.event == "gen_ai.execute_tool.exception"
    assert (event.trace, event.attributes["exception.type"]) == (span.trace, "ValueError")
    assert http.of("headers").logs == []


def test_where_nothing_is_set_up_the_tools_work_and_count(http: Seen, ended: dict[str, Ended]) -> None:
    for service in ("disabled", "config-file", "none"):
        assert http.of(service).requests == []
        assert ended[service].said["ok"] == 20
        assert ended[service].said["flush"] is True
    assert ended["disabled"].said["hooked"] is False
    assert ended["none"].said["sdk"] is False
    assert ended["config-file"].lines == ["OTEL_CONFIG_FILE is set: configure() leaves the providers to it"]
