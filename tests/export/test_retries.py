"""A batch that the collector asks to send again is sent again, and arrives once."""

from __future__ import annotations

import os
import time
from email.utils import formatdate
from typing import Any

import grpc  # type: ignore[import-untyped] # it has no types of its own
import pytest

from otel_tools._export.answers import Answer
from otel_tools._export.grpc_transport import _retry_delay
from otel_tools._export.http_transport import _retry_after
from otel_tools._export.otlp_exporter import OtlpExporter
from otel_tools._export.signals import read_signals
from tests.export.pipelines import exports
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")


class Flapping:
    """Answers the first requests with a failure."""

    def __init__(self, *failures: Answer) -> None:
        self.failures = list(failures)
        self.sent = 0
        self.closed = False

    def prepare(self, data: bytes) -> bytes:
        return data

    def send(self, body: bytes, timeout: float) -> Answer:
        self.sent += 1
        return self.failures.pop(0) if self.failures else Answer(delivered=True)

    def close(self) -> None:
        self.closed = True


def exporter_with(monkeypatch: pytest.MonkeyPatch, transport: Flapping) -> OtlpExporter:
    monkeypatch.setattr("otel_tools._export.otlp_exporter._transport", lambda _: transport)
    return OtlpExporter(read_signals()["traces"])


def failure(**more: Any) -> Answer:
    return Answer(delivered=False, reason="HTTP 503", **more)


def test_what_may_succeed_later_is_sent_again_and_the_rest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = failure(retryable=True, retry_after=0.0)
    transport = Flapping(soon, soon, soon)
    assert exporter_with(monkeypatch, transport).export([]).delivered
    assert transport.sent == 4
    transport = Flapping(failure(), failure())
    assert not exporter_with(monkeypatch, transport).export([]).delivered
    assert transport.sent == 1


def test_the_reason_is_the_last_answer_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Flapping(failure(retryable=True, retry_after=3600.0))
    answer = exporter_with(monkeypatch, transport).export([])
    assert (answer.delivered, answer.reason, transport.sent) == (False, "HTTP 503", 1)
    transport = Flapping(*[failure(retryable=True, retry_after=0.0)] * 20)
    assert exporter_with(monkeypatch, transport).export([]).reason == "HTTP 503"
    assert transport.sent == 6


def test_after_its_end_an_exporter_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Flapping()
    exporter = exporter_with(monkeypatch, transport)
    exporter.shutdown()
    assert exporter.export([]).reason == "the exporter has ended"
    assert (transport.sent, transport.closed) == (0, True)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_collector_that_is_overloaded_for_a_moment_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, receiver: HttpReceiver, status: int
) -> None:
    receiver.statuses = {"/v1/traces": status}
    receiver.headers = {"Retry-After": "0"}
    take = receiver.take

    def recover(*request: Any) -> tuple[int, bytes]:
        answer = take(*request)
        receiver.statuses = {}
        return answer

    monkeypatch.setattr(receiver, "take", recover)
    with exports(endpoint=receiver.url) as sent:
        sent.send(3)
        assert sent.flush()
        assert (len(receiver.spans), sent.dropped) == (3, {})


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_restarts_loses_nothing_that_is_sent_later(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    kind, port = (GrpcReceiver if protocol == "grpc" else HttpReceiver), free_port()
    url = f"http://127.0.0.1:{port}"
    with exports(endpoint=url) as sent:
        for count in (2, 3):
            with kind(port=port) as receiver:
                sent.send(count)
                assert sent.flush()
                assert (len(receiver.spans), sent.dropped) == (count, {})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("inf", None), ("nan", None), ("", None)],
)
def test_the_seconds_of_retry_after(value: str | None, seconds: float | None) -> None:
    assert _retry_after(value) == seconds


def test_the_date_of_retry_after() -> None:
    later = _retry_after(formatdate(time.time() + 100, usegmt=True))
    assert later is not None
    assert 90 < later < 101
    assert _retry_after(formatdate(time.time() - 100, usegmt=True)) == 0.0


def test_the_delay_that_grpc_asks_for() -> None:
    from google.rpc.error_details_pb2 import RetryInfo  # noqa: PLC0415 - it comes with gRPC's exporter

    class Failed(grpc.RpcError):  # type: ignore[misc] # it has no types
        def trailing_metadata(self) -> Any:
            info = RetryInfo()
            info.retry_delay.FromMilliseconds(1500)
            return (("other", "x"), ("google.rpc.retryinfo-bin", info.SerializeToString()))

    class Silent(grpc.RpcError):  # type: ignore[misc] # as above
        def trailing_metadata(self) -> Any:
            return None

    assert (_retry_delay(Failed()), _retry_delay(Silent())) == (1.5, None)
