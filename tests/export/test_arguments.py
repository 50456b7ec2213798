"""The arguments of `configure()`: what it refuses, with which message, and that nothing is set up then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace

from otel_tools import ConfigurationError, configure
from otel_tools._export.configure import _process
from otel_tools._telemetry.content.capture import content
from tests.export.program import Program
from tests.export.receiver import HttpReceiver


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"exporter": "jaeger"}, "exporter='jaeger' 'otlp', 'console', 'file', 'none'"),
        ({"exporter": "OTLP"}, "exporter='OTLP' 'otlp', 'console', 'file', 'none'"),
        ({"exporter": 4318}, "exporter=4318 'otlp'"),
        ({"exporter": "file"}, "exporter='file' file='PATH'"),
        ({"file": "spans.jsonl"}, "file='spans.jsonl' exporter='file'"),
        ({"file": "spans.jsonl", "exporter": "otlp"}, "file='spans.jsonl' exporter='file' 'otlp'"),
        ({"file": "/proc/none/spans.jsonl", "exporter": "file"}, "file='/proc/none/spans.jsonl' cannot be appended to"),
        ({"file": "/", "exporter": "file"}, "file='/' cannot be appended to"),
        ({"file": 7.5, "exporter": "file"}, "file=7.5 cannot be appended to"),
        ({"endpoint": "localhost:4318"}, "endpoint='localhost:4318' scheme and host 'http://127.0.0.1:4318'"),
        ({"endpoint": "127.0.0.1"}, "endpoint='127.0.0.1' scheme"),
        ({"endpoint": "http://"}, "endpoint='http://' scheme and host"),
        ({"endpoint": "ftp://collector"}, "endpoint='ftp://collector' scheme"),
        ({"endpoint": "http://collector:99999"}, "endpoint='http://collector:99999' scheme"),
        ({"endpoint": "http://collector:port"}, "endpoint='http://collector:port' scheme"),
        ({"endpoint": ""}, "endpoint='' scheme"),
        ({"endpoint": 4318}, "endpoint=4318 scheme"),
        ({"headers": "authorization=s3cret"}, "headers= a dictionary of texts {'x-team' 'search'}"),
        ({"headers": {"x-team": 7}}, "headers= a dictionary of texts"),
        ({"headers": {"x-team": "a\nx-other: b"}}, "headers= 'x-team' printable ASCII"),
        ({"headers": {"x team": "a"}}, "headers= 'x' letters, digits"),
        ({"headers": {"": "a"}}, "headers= '' letters"),
        ({"sample_ratio": 2}, "sample_ratio=2 from 0 to 1"),
        ({"sample_ratio": -0.1}, "sample_ratio=-0.1 from 0 to 1"),
        ({"sample_ratio": float("nan")}, "sample_ratio=nan from 0 to 1"),
        ({"sample_ratio": "0.5"}, "sample_ratio='0.5' a number"),
        ({"sample_ratio": True}, "sample_ratio=True a number"),
        ({"service_name": ""}, "service_name='' not empty"),
        ({"service_name": "  "}, "service_name='  ' not empty"),
        ({"service_name": 7}, "service_name=7 a text"),
        ({"service_version": 1.2}, "service_version=1.2 a text"),
        ({"environment": ""}, "environment='' not empty"),
        ({"capture_content": "yes"}, "capture_content='yes' True or False"),
        ({"capture_content": 1}, "capture_content=1 True or False"),
        ({"handle_signals": "no"}, "handle_signals='no' True or False"),
        ({"redact": "sk-.*"}, "redact='sk-.*' a list of regular expressions function"),
        ({"redact": 5}, "redact=5 a list of regular expressions"),
        ({"redact": ["("]}, "redact=['('] not a regular expression"),
        ({"redact": [5]}, "redact=[5] not a regular expression"),
    ],
    ids=lambda value: repr(value) if isinstance(value, dict) else "",
)
def test_an_unusable_argument_is_refused_at_once(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configure(**arguments)

    message = str(refused.value)
    assert message.startswith("configure(")
    # In this order: the argument, its value, what is accepted.
    assert re.search(".*".join(map(re.escape, says.split())), message), message
    assert_nothing_is_set_up()


def test_header_values_are_not_in_the_error() -> None:
    for headers in ("authorization=s3cret", {"authorization": 53}, {"authorization": "s3cret\n"}):
        with pytest.raises(ConfigurationError) as refused:
            configure(headers=headers)  # type: ignore[arg-type] # what is tested
        assert "s3cret" not in str(refused.value)
        assert "53" not in str(refused.value)


def test_a_bad_argument_beside_good_ones_changes_nothing() -> None:
    before = content.on, content.redaction

    with pytest.raises(ConfigurationError):
        configure(service_name="s", capture_content=True, redact=["x"], sample_ratio=2)

    assert (content.on, content.redaction) == before
    assert_nothing_is_set_up()


def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(ConfigurationError, match=f"file={str(folder)!r}.*cannot be appended to.*directory"):
        configure(exporter="file", file=str(folder))


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "'otlp', 'console' and 'none'"),
        ("OTEL_METRICS_EXPORTER", "prometheus", "'otlp', 'console' and 'none'"),
        ("OTEL_LOGS_EXPORTER", "file", "'otlp', 'console' and 'none'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "'http/protobuf', 'grpc'"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "tcp", "'http/protobuf', 'grpc'"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "scheme and host"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://", "scheme and host"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often", "milliseconds above 0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "milliseconds above 0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "inf", "milliseconds above 0"),
    ],
)
def test_an_unusable_variable_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=f"{variable}={value}: .*{re.escape(says)}"):
        configure()

    assert_nothing_is_set_up()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        # The SDK refuses each of these at another stage of the set-up.
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "sometimes"),
    ],
)
def test_an_error_of_the_sdk_names_the_variables_and_sets_nothing_up(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret")

    with pytest.raises(ConfigurationError, match=variable) as refused:
        configure(endpoint="http://127.0.0.1:9")

    assert "s3cret" not in str(refused.value)
    assert_nothing_is_set_up()


def test_after_an_error_a_good_call_works(receiver: HttpReceiver) -> None:
    ended = Program(
        """
        from otel_tools import ConfigurationError
        for bad in ({"sample_ratio": 2}, {"exporter": "jaeger"}):
            try:
                configure(service_name="bad", **bad)
            except ConfigurationError:
                pass
        # The SDK refuses this one half way through the set-up.
        os.environ["OTEL_METRICS_EXEMPLAR_FILTER"] = "sometimes"
        try:
            configure(service_name="bad")
        except ConfigurationError as error:
            report(refused=str(error))
        del os.environ["OTEL_METRICS_EXEMPLAR_FILTER"]
        configure(service_name="good")
        work()
        report(left=flush(), threads=sorted(thread.name for thread in threading.enumerate()))
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
    ).run()

    assert ended.code == 0, ended.err
    assert "OTEL_METRICS_EXEMPLAR_FILTER" in ended.reported["refused"]
    assert ended.reported["left"] is True
    # One for SIGTERM, one for SIGHUP, but for those that whoever started the tests ignores, as nohup does.
    assert [name for name in ended.reported["threads"] if name != "otel-tools-signal"] == [
        "MainThread",
        "OtelBatchSpanRecordProcessor",
        "OtelPeriodicExportingMetricReader",
    ]
    assert 1 <= ended.reported["threads"].count("otel-tools-signal") <= 2
    assert {span.resource["service.name"] for span in receiver.spans} == {"good"}
    assert ended.err == ""


def assert_nothing_is_set_up() -> None:
    assert _process.settings is None
    assert _process.pipeline is None
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"
