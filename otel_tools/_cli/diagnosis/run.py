"""Runs all checks in the order in which telemetry flows: this process, the collector, the backends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis import backends, environment
from otel_tools._cli.diagnosis.backends import SIDECAR_UP, Backends
from otel_tools._cli.diagnosis.check import Check, Status
from otel_tools._cli.diagnosis.delivery import Route, check_delivery
from otel_tools._cli.diagnosis.endpoints import check_clock, connection_error, is_local
from otel_tools._export.endpoint import sdk_disabled
from otel_tools._sidecar import docker, http
from otel_tools._sidecar.binaries import SIDECAR, find_all
from otel_tools._sidecar.paths import state_dir
from otel_tools._sidecar.ports import HOST
from otel_tools._sidecar.state import SidecarState, running
from otel_tools._urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_tools._export.endpoint import OtlpEndpoint, TelemetrySignal
    from otel_tools._export.signals import SignalExport

_HEALTH_TIMEOUT = 2.0  # seconds


def diagnose(
    exports: Mapping[TelemetrySignal, SignalExport], given: Backends, timeout: float, show_wait: Callable[[str], None]
) -> Iterator[Check]:
    """Run all checks.

    Args:
        exports: how each signal is exported, as `configure` reads it.
        given: backends from the command line; they win over those of the sidecar.
        timeout: the longest wait for the test span and metric, in seconds.
        show_wait: takes the text to show during a wait; an empty text ends it.
    """
    sidecar = running(state_dir())
    signals = [exports["traces"], exports["metrics"]]
    sent = [export for export in signals if "otlp" in export.exporters and not export.problem]
    usable = [export.endpoint for export in sent]
    sends_locally = all(map(is_local, usable))
    known = _merge(given, Backends.known(sidecar, local=sends_locally))
    yield environment.check_python()
    packages = environment.check_packages()
    yield packages
    yield from environment.check_variables(usable)
    yield from _check_signals(signals)
    reached = []
    for endpoint in _distinct(usable):
        collector = _check_collector(endpoint, sidecar)
        yield collector
        if collector.status != "failed":
            reached += [each for each in usable if (each.host, each.port) == (endpoint.host, endpoint.port)]
    if reached and known.health and sends_locally:
        yield _check_health(known.health)
    if reached and (clock := check_clock(reached[0])):
        yield clock
    can_send = packages.status != "failed" and not sdk_disabled()
    reachable = [export for export in sent if export.endpoint in reached] if can_send else []
    expected = {export.signal for export in signals if export.exporters or export.problem}
    yield from _check_backends(known, reachable, expected, timeout, show_wait)
    if sidecar and sends_locally and not given.alertmanager:
        yield backends.check_webhook(state_dir())


def _check_backends(
    known: Backends,
    exports: list[SignalExport],
    expected: set[TelemetrySignal],
    timeout: float,
    show_wait: Callable[[str], None],
) -> Iterator[Check]:
    """Check that the backends answer, receive test signals and raise alerts.

    Args:
        known: the backends to ask.
        exports: those by which test signals can be sent.
        expected: the signals that are to be exported at all.
        timeout: the longest wait for the test signals, in seconds.
        show_wait: takes the text to show during a wait.
    """
    jaeger = backends.check_reachable("jaeger", known.jaeger, "/api/v3/services")
    yield jaeger
    prometheus = backends.check_reachable("prometheus", known.prometheus, "/-/ready")
    yield prometheus
    yield backends.check_reachable("alertmanager", known.alertmanager, "/-/ready")
    routes = [
        Route("traces", "test span", "Jaeger", known.jaeger, jaeger.status),
        Route("metrics", "test metric", "Prometheus", known.prometheus, prometheus.status),
    ]
    by_signal = {export.signal: export for export in exports}
    yield from check_delivery([route for route in routes if route.signal in expected], by_signal, timeout, show_wait)
    if prometheus.status == "ok":
        yield from backends.check_alerting(known.prometheus)


def _merge(given: Backends, known: Backends) -> Backends:
    return replace(
        known,
        **{
            name: value.rstrip("/")
            for name in ("jaeger", "prometheus", "alertmanager", "health")
            if (value := getattr(given, name))
        },
    )


def _check_signals(exports: list[SignalExport]) -> Iterator[Check]:
    """Say where each signal goes, and what configure() would refuse or ignore."""
    for export in exports:
        if export.problem:
            what, _, fix = export.problem.partition(": ")
            yield Check(export.signal, "failed", f"configure() refuses {what}", fix)
            continue
        for warning in export.warnings:
            yield Check(export.signal, "warning", warning)
        if not export.exporters:
            status: Status = "warning" if any(other.exporters for other in exports) else "failed"
            yield Check(export.signal, status, f"are not exported: {export.variable}=none", f"unset {export.variable}")
        elif "otlp" not in export.exporters:
            yield Check(
                export.signal,
                "warning",
                f"go to {', '.join(export.exporters)} only, by {export.variable}",
                f"unset {export.variable}, or write {export.variable}=otlp",
            )
        else:
            source = f", set by {export.endpoint.variable}" if export.endpoint.variable else ""
            yield Check(
                export.signal,
                "ok",
                f"go to {without_secrets(export.endpoint.url)} ({export.endpoint.protocol}{source})",
            )


def _distinct(endpoints: list[OtlpEndpoint]) -> list[OtlpEndpoint]:
    return list({(endpoint.host, endpoint.port): endpoint for endpoint in reversed(endpoints)}.values())[::-1]


def _check_collector(endpoint: OtlpEndpoint, sidecar: SidecarState | None) -> Check:
    where = f"{endpoint.host}:{endpoint.port}"
    error = connection_error(endpoint)
    if error:
        return Check("collector", "failed", f"nothing listens on {where} ({error})", _collector_fix(endpoint, sidecar))
    if sidecar and is_local(endpoint) and endpoint.port != _sidecar_port(endpoint, sidecar):
        fix = _collector_fix(endpoint, sidecar)
        return Check("collector", "warning", f"what listens on {where} is not the sidecar", fix)
    return Check("collector", "ok", f"listens on {where}")


def _collector_fix(endpoint: OtlpEndpoint, sidecar: SidecarState | None) -> str:
    """How to start a collector at the endpoint, or how to send to the sidecar that runs."""
    if sidecar:
        port = _sidecar_port(endpoint, sidecar)
        if port != endpoint.port or not is_local(endpoint):
            return f"the sidecar listens elsewhere: export OTEL_EXPORTER_OTLP_ENDPOINT=http://{HOST}:{port}"
        return "see what keeps it from listening: otel-tools sidecar status"
    if not is_local(endpoint):
        return f"start the collector on {endpoint.host}, or unset {endpoint.variable} to use a local one"
    if len(find_all()) < len(SIDECAR) and docker.unavailable_reason():
        return f"otel-tools sidecar build, then {SIDECAR_UP}"
    return SIDECAR_UP


def _sidecar_port(endpoint: OtlpEndpoint, sidecar: SidecarState) -> int:
    return sidecar.ports["otlp_grpc" if endpoint.protocol == "grpc" else "otlp_http"]


def _check_health(url: str) -> Check:
    if http.healthy(url, _HEALTH_TIMEOUT):
        return Check("health", "ok", f"the collector says that it is well ({url})")
    return Check("health", "warning", f"it does not say that it is well ({url})", "otel-tools sidecar status")
