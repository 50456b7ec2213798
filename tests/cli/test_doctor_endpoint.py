"""The doctor looks at what `configure()` would use, and names what is wrong with an endpoint, with the fix."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._export.signals import read_signals
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cli.conftest import Run

SECRET = "not-a-real-token"  # noqa: S105 - it opens nothing


def findings(run: Run, *arguments: str, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    backends = {f"OTEL_TOOLS_{name}_URL": "http://127.0.0.1:9" for name in ("JAEGER", "PROMETHEUS", "ALERTMANAGER")}
    done = run("doctor", "--json", *arguments, code=1, variables={**backends, **(variables or {})})
    assert SECRET not in done.stdout + done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_it_looks_at_the_endpoint_of_configure_and_not_at_the_environment(run: Run) -> None:
    port = free_port()
    with HttpReceiver() as healthy:
        found = findings(
            run, "--endpoint", f"http://127.0.0.1:{port}", variables={"OTEL_EXPORTER_OTLP_ENDPOINT": healthy.url}
        )
    assert found["collector"]["status"] == "failed"
    assert f"nothing listens on 127.0.0.1:{port}" in found["collector"]["detail"]


def test_the_command_of_the_loss_line_sends_as_configure_does(run: Run) -> None:
    with HttpReceiver() as receiver:
        command = read_signals(endpoint=receiver.url, headers=(("x-key", SECRET),))["traces"].doctor_command
        words = shlex.split(command)
        assert words[:2] == ["otel-tools", "doctor"]
        found = findings(run, *words[2:])
        assert found["test span"]["status"] == "failed"  # for there is no Jaeger
        findings(run, *(word.replace("...", SECRET) for word in words[2:]))
        assert {request.headers["x-key"] for request in receiver.attempts[-2:]} == {SECRET}


def test_an_endpoint_for_traces_alone_is_named(run: Run) -> None:
    with HttpReceiver() as receiver:
        receiver.statuses = {"/v1/metrics": 404}
        found = findings(run, "--endpoint", receiver.url)
    assert "the collector took it" in found["test span"]["detail"]
    assert "export OTEL_METRICS_EXPORTER=none" in found["test metric"]["fix"]


def test_a_path_that_is_there_twice_is_named(run: Run) -> None:
    with HttpReceiver() as receiver:
        receiver.statuses = {"/v1/traces/v1/traces": 404}
        variables = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.url}/v1/traces/v1/traces"}
        found = findings(run, variables={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **variables})
    assert "takes no traces" in found["test span"]["detail"]


def test_grpc_is_sent_to_the_endpoint_of_configure(run: Run) -> None:
    with GrpcReceiver() as receiver:
        found = findings(run, "--endpoint", receiver.url, "--protocol", "grpc")
    assert "the collector took it" in found["test span"]["detail"]
    assert "the collector took it" in found["test metric"]["detail"]


def test_no_exporter_at_all_fails(run: Run) -> None:
    none = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    found = findings(run, variables=none)
    assert found["traces"]["status"] == found["metrics"]["status"] == "failed"
    assert "test span" not in found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--endpoint", "nonsense"], "a URL is needed"),
        (["--endpoint", "http://127.0.0.1:99999"], "a URL is needed"),
        (["--protocol", "http/json"], "accepted are http/protobuf and grpc"),
    ],
)
def test_wrong_options_are_wrong_usage(run: Run, arguments: list[str], says: str) -> None:
    assert says in run("doctor", *arguments, code=2, variables={"COLUMNS": "500"}).stderr
