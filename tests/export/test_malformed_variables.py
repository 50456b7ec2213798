"""Each ``OTEL_*`` variable with a malformed value: it works, is refused by name, or is warned about. Nothing else."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest

from otel_tools import ConfigurationError
from otel_tools._export import configure as configuration
from otel_tools._export.settings import read_settings
from tests.export.pipelines import NO_ARGUMENTS
from tests.export.receiver import HttpReceiver

SECRET: Final = "s3cret"  # noqa: S105 - it opens nothing
OTLP: Final = (
    "HEADERS",
    "ENDPOINT",
    "PROTOCOL",
    "COMPRESSION",
    "TIMEOUT",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
)
VARIABLES: Final = (
    *(f"OTEL_EXPORTER_OTLP_{own}{setting}" for own in ("", "TRACES_", "METRICS_", "LOGS_") for setting in OTLP),
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_METRICS_EXEMPLAR_FILTER",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    *(
        f"OTEL_{processor}_{setting}"
        for processor in ("BSP", "BLRP")
        for setting in ("SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")
    ),
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_TRACES_CREDENTIAL_PROVIDER",
)
VALUES: Final = {
    "empty": "",
    "spaces": "  \n",
    "a word": "nonsense",
    "a list": "nonsense,nonsense",
    "zero": "0",
    "negative": "-1",
    "a fraction": "0.5",
    "nan": "nan",
    "endless": "1e999",
    "an odd header": f"Authorization: Bearer {SECRET}",
    "an odd pair": f"=,=={SECRET};",
    "not UTF-8": os.fsdecode(b"\xff\xfe"),
    "half quotes": f'"{SECRET}',
}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("otel_tools._export.pipeline.Pipeline.install", lambda _: None)
    return monkeypatch


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_malformed_value_works_or_is_refused_by_name_or_is_warned_about(  # noqa: PLR0913, PLR0917 - fixtures
    clean: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    receiver: HttpReceiver,
    variable: str,
    protocol: str,
) -> None:
    clean.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    address = receiver.url if protocol == "http/protobuf" else "https://127.0.0.1:9"
    arguments: dict[str, Any] = {
        **NO_ARGUMENTS,
        "endpoint": None if variable.endswith("ENDPOINT") else address,
        "logs": "otlp",
    }
    refusals = []
    for value in VALUES.values():
        clean.setenv(variable, value)
        try:
            pipeline = configuration._set_up(read_settings(**arguments), [])
        except ConfigurationError as error:
            refusals.append(f"{error} {error.__cause__!r}")
        else:
            # What is left works: with nothing to send, it ends at once.
            assert pipeline is None or pipeline.stop(1.0)
    assert [refusal for refusal in refusals if variable not in refusal] == []
    # What is set to nothing is not set.
    for value in ("", "  "):
        clean.setenv(variable, value)
        assert configuration._set_up(read_settings(**arguments), []).stop(1.0)  # type: ignore[union-attr] # it is set up
    if variable.endswith("HEADERS"):
        assert SECRET not in "".join([*refusals, caplog.text, *capfd.readouterr()])
