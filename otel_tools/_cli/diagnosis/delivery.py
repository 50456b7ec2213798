"""Checks that a test span and a test metric reach Jaeger and Prometheus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis.check import Check, Status
from otel_tools._cli.diagnosis.probe import METRIC_NAME, SPAN_NAME, Probe
from otel_tools._cli.diagnosis.refusals import fix_of, without_credentials
from otel_tools._urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_tools._export.endpoint import TelemetrySignal
    from otel_tools._export.signals import SignalExport

_POLL_INTERVAL = 0.25  # seconds
_MAX_REASON_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Route:
    """A test signal and the backend that should receive it.

    Attributes:
        signal: traces or metrics.
        name: the name of the check.
        backend: the name of the backend.
        url: the backend's base URL; empty where none is known.
        backend_status: the result of the check whether the backend answers.
    """

    signal: TelemetrySignal
    name: str
    backend: str
    url: str
    backend_status: Status


def check_delivery(
    routes: list[Route],
    exports: Mapping[TelemetrySignal, SignalExport],
    timeout: float,
    show_wait: Callable[[str], None],
) -> Iterator[Check]:
    """Send all test signals, then wait for all of them together.

    Args:
        routes: the signals to send.
        exports: how each signal that can be sent is exported.
        timeout: the longest wait, in seconds.
        show_wait: takes the text to show during the wait.
    """
    probe = Probe()
    sent = []
    answers = {
        route.signal: (probe.send_span if route.signal == "traces" else probe.send_metric)(exports[route.signal])
        for route in routes
        if route.signal in exports
    }
    # Where nothing is taken, it is the address that is wrong.
    taken = any(answer.delivered for answer in answers.values())
    for route in routes:
        export = exports.get(route.signal)
        if export is None:
            yield Check(route.name, "failed", "not sent, for what is said above", "put right what failed above")
            continue
        answer = answers[route.signal]
        url, reason = without_secrets(export.endpoint.url), without_credentials(answer.reason, export)
        if answer.refused and taken:
            yield Check(
                route.name,
                "warning",
                f"{url} takes no {route.signal}: {reason[:_MAX_REASON_LENGTH]}",
                f"send them to a collector: export OTEL_EXPORTER_OTLP_{route.signal.upper()}_ENDPOINT=URL, or switch "
                f"them off: export OTEL_{route.signal.upper()}_EXPORTER=none",
            )
        elif not answer.delivered or answer.rejected:
            yield Check(
                route.name, "failed", f"refused by {url}: {reason[:_MAX_REASON_LENGTH]}", fix_of(reason, export)
            )
        elif route.backend_status == "ok":
            sent.append(route)
        else:
            detail = f"the collector took it; there is no {route.backend} to ask whether it arrived"
            is_unknown = route.backend_status == "warning"
            fix = f"--{route.backend.lower()} URL" if is_unknown else "put right what failed above"
            yield Check(route.name, route.backend_status, detail, fix)
    yield from _await(sent, probe, timeout, show_wait)


def _await(routes: list[Route], probe: Probe, timeout: float, show_wait: Callable[[str], None]) -> Iterator[Check]:
    pending = list(routes)
    began = time.monotonic()
    while pending and time.monotonic() - began < timeout:
        show_wait(f"waiting for the {' and the '.join(route.name for route in pending)}, at most {timeout:g} s")
        for route in [route for route in pending if _arrived(route, probe)]:
            pending.remove(route)
            what = f"{SPAN_NAME!r} (trace {probe.trace_id})" if route.signal == "traces" else METRIC_NAME
            took = time.monotonic() - began
            yield Check(route.name, "ok", f"{what} was in {route.backend} after {took:.1f} s")
        time.sleep(_POLL_INTERVAL)
    for route in pending:
        yield Check(
            route.name,
            "failed",
            f"the collector took it, but {route.backend} did not have it after {timeout:g} s",
            "see the logs that `otel-tools sidecar status` names, or wait longer: --wait 60",
        )


def _arrived(route: Route, probe: Probe) -> bool:
    return probe.span_arrived(route.url) if route.signal == "traces" else probe.metric_arrived(route.url)
