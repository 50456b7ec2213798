"""What a collector's answer means: items arrive, or are counted as dropped and one line says why."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import grpc  # type: ignore[import-untyped] # it has no types of its own
import pytest

from otel_tools._export.answers import ResponseReader
from otel_tools._export.endpoint import SIGNALS
from otel_tools._export.hints import with_hint
from tests.export.pipelines import exports
from tests.export.program import Program
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS: Final = {"traces": "/v1/traces", "metrics": "/v1/metrics", "logs": "/v1/logs"}
REFUSALS: Final = (404, 405, 501)
STATUSES: Final = [
    *(status.value for status in HTTPStatus if status.value >= 300),
    299,
    300,
    399,
    418,
    420,
    499,
    520,
    529,
    599,
]
CODES: Final = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    # What may be tried again is given up after one attempt.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")


@pytest.fixture(params=["http/protobuf", "grpc"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver | GrpcReceiver]:
    """A receiver of each protocol."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    with GrpcReceiver() if request.param == "grpc" else HttpReceiver() as receiver:
        yield receiver


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "otel_tools"]


def arrived(seen: Any) -> tuple[int, int, int]:
    counted = [point for point in seen.points if point.metric == "counted"]
    return len(seen.spans), len(counted), len(seen.logs)


def test_what_is_taken_arrives_and_nothing_is_said(
    either: HttpReceiver | GrpcReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with exports(endpoint=either.url) as sent:
        sent.send()
        assert sent.flush()
        assert arrived(either) == (5, 5, 5)
        assert (sent.dropped, said(caplog)) == ({}, [])


@pytest.mark.parametrize("status", STATUSES)
def test_only_2xx_is_delivered(receiver: HttpReceiver, caplog: pytest.LogCaptureFixture, status: int) -> None:
    receiver.statuses = dict.fromkeys(PATHS.values(), status)
    receiver.headers = {"Location": "http://user:s3cret@elsewhere/v1/traces?key=k3y"} if 300 <= status < 400 else {}
    with exports(endpoint=receiver.url) as sent:
        sent.send()
        delivered = sent.flush()
        if status < 300:
            assert (delivered, sent.dropped, said(caplog)) == (True, {}, [])
            return
        assert delivered is False
        assert sent.dropped == {"traces": 5, "metrics": 5, "logs": 5}
        lines = said(caplog)
        assert any(f"(HTTP {status}" in line for line in lines)
        assert "timeout" not in "".join(lines).lower() or status in {408, 504}
        # The other signals' refusals are said on their own.
        assert len(lines) == 1 or status in REFUSALS
        if receiver.headers:
            assert "redirects to http://elsewhere/v1/traces, which is not followed" in lines[0]
            assert "s3cret" not in lines[0]
            assert "k3y" not in lines[0]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_only_ok_is_delivered_by_grpc(
    grpc_receiver: GrpcReceiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: grpc.StatusCode,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    grpc_receiver.codes = dict.fromkeys(PATHS.values(), code)
    with exports(endpoint=grpc_receiver.url) as sent:
        sent.send()
        assert sent.flush() is False
        assert sent.dropped == {"traces": 5, "metrics": 5, "logs": 5}
        assert any(f"(gRPC {code.name}: no)" in line for line in said(caplog))


@pytest.mark.parametrize("signal", PATHS)
def test_rejected_items_are_dropped_counted_and_said(
    either: HttpReceiver | GrpcReceiver, caplog: pytest.LogCaptureFixture, signal: str
) -> None:
    either.rejected = {PATHS[signal]: (2, "too old")}
    with exports(endpoint=either.url) as sent:
        sent.send()
        assert sent.flush() is False
        assert sent.dropped == {signal: 2}
        [line] = said(caplog)
        assert f"(2 of {signal} were rejected: too old); dropped so far: 2 of {signal}" in line
        either.rejected = {}
        assert sent.flush()


def test_a_remark_of_the_collector_is_said_and_nothing_is_lost(
    either: HttpReceiver | GrpcReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    either.rejected = dict.fromkeys(PATHS.values(), (0, "use the other port"))
    with exports(endpoint=either.url) as sent:
        sent.send()
        assert sent.flush()
        assert sent.dropped == {}
        [line] = said(caplog)
        assert line.endswith("takes the telemetry and says: use the other port")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b"\xff" * 50, b'{"partialSuccess": 7}'])
def test_another_body_says_nothing_of_rejected_items(body: bytes) -> None:
    for signal in SIGNALS:
        reader = ResponseReader(signal)
        for answer in (reader.read(body), reader.read_json(body)):
            assert (answer.delivered, answer.rejected) == (True, 0)


@pytest.mark.parametrize("count", ["2", '"2"'])
def test_a_collector_may_answer_in_json(count: str) -> None:
    body = f'{{"partialSuccess": {{"rejectedSpans": {count}, "errorMessage": "too old"}}, "more": 1}}'
    answer = ResponseReader("traces").read_json(body.encode())
    assert (answer.delivered, answer.rejected, answer.reason) == (True, 2, "2 of traces were rejected: too old")


@pytest.mark.parametrize(
    ("kind", "body", "delivered"),
    [
        ("text/html; charset=utf-8", b" <!doctype html><title>Log in</title>", False),
        ("text/html", b"", True),
        ("text/plain", b"ok", True),
        ("application/json", b"{}", True),
        ("application/json", b'{"partialSuccess": {"rejectedSpans": 3}}', False),
    ],
)
def test_a_web_page_is_no_collector(
    monkeypatch: pytest.MonkeyPatch, receiver: HttpReceiver, kind: str, body: bytes, *, delivered: bool
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setattr(receiver, "take", lambda *_: (200, body))
    receiver.headers = {"Content-Type": kind}
    with exports(endpoint=receiver.url) as sent:
        sent.send(3)
        assert sent.flush() is delivered
        assert bool(sent.dropped) is not delivered


def test_the_other_protocol_and_no_tls_are_said(
    monkeypatch: pytest.MonkeyPatch,
    receiver: HttpReceiver,
    grpc_receiver: GrpcReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for url, protocol, hint in (
        (receiver.url, "grpc", "this looks like an HTTP port: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
        (grpc_receiver.url, "http/protobuf", "this looks like a gRPC port: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        (receiver.url.replace("http:", "https:"), "http/protobuf", "this port does not speak TLS"),
        (grpc_receiver.url.replace("http:", "https:"), "grpc", "this port does not speak TLS"),
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        caplog.clear()
        with exports(endpoint=url) as sent:
            sent.send(1)
            assert sent.flush() is False
        assert f"cannot be delivered to {url} ({hint}" in said(caplog)[0]
    assert "gRPC port" in with_hint("('Connection aborted.', ConnectionResetError(104))", "http/protobuf", 4317)
    assert with_hint("('Connection aborted.', ConnectionResetError(104))", "http/protobuf", 4318).startswith("('Conn")
    # What was sent by mistake, as HTTP to a gRPC port, is no malformed request of ours.
    receiver.problems.clear()


def test_a_header_is_in_no_line(
    grpc_receiver: GrpcReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    grpc_receiver.rejected = {"/v1/traces": (1, "the key s3cret99 is over its quota")}
    with exports(endpoint=grpc_receiver.url, headers={"x-key": "s3cret99"}) as sent:
        sent.send(1)
        assert sent.flush() is False
    assert "over its quota" in said(caplog)[0]
    assert "s3cret99" not in "".join(said(caplog))


@pytest.mark.parametrize("refused", [("metrics",), ("metrics", "logs"), ("logs",), ("traces",), ("traces", "logs")])
@pytest.mark.parametrize("status", [*REFUSALS, grpc.StatusCode.UNIMPLEMENTED], ids=str)
def test_a_signal_that_the_endpoint_does_not_take_is_off_and_flush_is_about_the_rest(  # noqa: PLR0913, PLR0917 - fixtures
    monkeypatch: pytest.MonkeyPatch,
    receiver: HttpReceiver,
    grpc_receiver: GrpcReceiver,
    caplog: pytest.LogCaptureFixture,
    refused: tuple[str, ...],
    status: Any,
) -> None:
    paths = [PATHS[signal] for signal in refused]
    either: HttpReceiver | GrpcReceiver = receiver
    if status is grpc.StatusCode.UNIMPLEMENTED:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        either = grpc_receiver
    receiver.statuses = grpc_receiver.codes = dict.fromkeys(paths, status)
    with exports(endpoint=either.url) as sent:
        for _ in range(3):
            sent.send()
            assert sent.flush()
        # Said once for each, with the way out.
        lines = said(caplog)
        assert sorted(line.partition(" ")[0] for line in lines) == sorted(refused)
        for line in lines:
            signal = line.partition(" ")[0]
            assert line.startswith(f"{signal} are off: {either.url} does not take them (")
            assert f"OTEL_{signal.upper()}_EXPORTER=none" in line
            assert f"otel-tools doctor --endpoint {either.url} --protocol " in line
        # What it does take arrives, and what it does not take is counted.
        for signal, found in zip(PATHS, arrived(either), strict=True):
            assert (found > 0) is (signal not in refused)
        assert set(sent.dropped) == set(refused)
        # It is not sent again at once.
        if isinstance(either, HttpReceiver):
            assert sorted(request.path for request in either.attempts if request.path in paths) == sorted(paths)
        assert sent.pipeline.stop(60.0)


def test_a_wrong_address_is_no_endpoint_for_one_signal(
    receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = dict.fromkeys(PATHS.values(), 404)
    with exports(endpoint=receiver.url) as sent:
        sent.send()
        assert sent.flush() is False
        sent.send()
        assert sent.flush() is False
        assert sent.dropped["traces"] == 10
        assert any("telemetry cannot be delivered" in line for line in said(caplog))


def test_a_signal_that_is_taken_later_comes_back(receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_tools._export.refusals._RETRY_INTERVAL", 0.0)
    receiver.statuses = {"/v1/metrics": 404}
    with exports(endpoint=receiver.url) as sent:
        sent.send()
        assert sent.flush()
        receiver.statuses = {}
        assert sent.flush()
        assert arrived(receiver) == (5, 5, 5)


def test_a_program_with_an_endpoint_for_traces_alone(receiver: HttpReceiver) -> None:
    receiver.statuses = {"/v1/metrics": 404, "/v1/logs": 404}
    ended = Program(
        """
        configure(service_name="s", logs="otlp")
        for n in range(3): work(n)
        logging.warning("a record")
        report(flush=flush())
        for n in range(3): work(n)
        report(again=flush(), shutdown=shutdown())
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
    ).run()
    assert ended.reported == {"flush": True, "again": True, "shutdown": True}
    assert len(receiver.spans) == 6
    assert sorted(line.split()[0] for line in ended.lines if "a record" not in line) == [
        "WARNING:otel_tools:logs",
        "WARNING:otel_tools:metrics",
    ]
