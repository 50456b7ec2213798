"""Settings that work and are probably not meant are said once: a log line with what to do."""

from __future__ import annotations

import os
import re
from typing import Final

import pytest

from tests.export.pipelines import exports
from tests.export.program import Program, run_all
from tests.export.receiver import HttpReceiver

SECRET: Final = "s3cret"  # noqa: S105 - it opens nothing


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("value", "said"), [("10", True), ("499", True), ("0.5", True), ("500", False), ("", False)])
def test_a_short_interval_of_metrics(monkeypatch: pytest.MonkeyPatch, value: str, *, said: bool) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", value)
    with exports(endpoint="http://127.0.0.1:9", exporter="console") as sent:
        assert bool(sent.warnings) is said
        assert all(text.startswith(f"OTEL_METRIC_EXPORT_INTERVAL={value} is in milliseconds") for text in sent.warnings)


def test_an_interval_that_is_not_used_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "often")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    with exports(endpoint="http://127.0.0.1:9") as sent:
        assert sent.warnings == []


@pytest.mark.parametrize("value", ["10000", "1e5"])
def test_a_timeout_that_was_meant_in_milliseconds(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", value)
    with exports(endpoint="http://127.0.0.1:9") as sent:
        [warning] = set(sent.warnings)
        assert warning.startswith(f"OTEL_EXPORTER_OTLP_TIMEOUT={value} is {float(value):g} seconds")


def test_what_a_program_says(receiver: HttpReceiver) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    secret_url = receiver.url.replace("//", f"//user:{SECRET}@")
    programs = {
        "no name": Program("configure()\nconfigure()\nwork()", env),
        "no name, forked": Program("configure()\nif os.fork() == 0: work(); flush(); os._exit(0)\nos.wait()", env),
        "empty name": Program("configure()", {**env, "OTEL_SERVICE_NAME": " ", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}),
        "name in attributes": Program("configure()", {**env, "OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=x"}),
        "nothing exported": Program("configure(exporter='none')", env),
        "ends with a path": Program(
            "configure(service_name='s')\nwork()\nreport(flush=flush())",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{receiver.url}/v1/traces"},
        ),
        "twice": Program(
            f"""
            configure(service_name="s", endpoint="{secret_url}", headers={{"authorization": "{SECRET}1"}})
            configure(service_name="s")
            configure(endpoint="{secret_url}")
            configure(headers={{"authorization": "{SECRET}2"}}, environment="prod", logs="otlp")
            configure(endpoint="http://u:{SECRET}@127.0.0.1:9?key={SECRET}")
            configure(handle_signals=False)
            """
        ),
    }
    ended = run_all(programs)
    assert {name: each.err for name, each in ended.items() if each.code} == {}
    no_name = "the service has no name and is exported as {!r}: configure(service_name=...) or OTEL_SERVICE_NAME"
    unknown = no_name.format("unknown_service")
    path = f"OTEL_EXPORTER_OTLP_ENDPOINT={receiver.url}/v1/traces: a base URL gets the path of each signal: "
    again = "configure() was called before with other arguments; the first configuration stays: "
    # The SDK adds the name of the interpreter's file.
    said = {
        name: [re.sub("(unknown_service):[^']+", r"\1", line) for line in each.lines] for name, each in ended.items()
    }
    assert said == {
        "no name": [unknown],
        "no name, forked": [unknown],
        "empty name": [no_name.format(" ")],
        "name in attributes": [],
        "nothing exported": [],
        "ends with a path": [f"{path}/v1/traces at its end is not used"],
        "twice": [
            f"{again}environment='prod' is not used, headers= differs, logs='otlp' is not used",
            f"{again}endpoint='http://127.0.0.1:9' is not used, endpoint='{receiver.url}' is",
            f"{again}handle_signals=False is not used",
        ],
    }
    assert ended["ends with a path"].reported["flush"] is True
    assert SECRET not in ended["twice"].err
