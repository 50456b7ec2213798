"""Runs all checks in the order in which telemetry flows: this process, the collector, the backends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otel_tools._cli.diagnosis import backends, environment
from otel_tools._cli.diagnosis.backends import SIDECAR_UP, Backends
from otel_tools._cli.diagnosis.check import Check, Status
from otel_tools._cli.diagnosis.delivery import Route, check_delivery
from otel_tools._cli.diagnosis.endpoints import (
    check_clock,
    connection_error,
    is_local,
    path_problem,
    proxy_of,
    use_address,
)
from otel_tools._export.endpoint import sdk_disabled
from otel_tools._sidecar import docker, http
from otel_tools._sidecar.binaries import SIDECAR, find_all
from otel_tools._sidecar.paths import state_dir
from otel_tools._sidecar.ports import HOST, Ports
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
            detail = f"go to {without_secrets(export.endpoint.url)} ({export.endpoint.protocol}{source})"
            problem, meant = path_problem(export.endpoint)
            if problem:
                yield Check(export.signal, "warning", f"{detail}: {problem}", use_address(export.endpoint, meant))
            else:
                yield Check(export.signal, "ok", detail)


def _distinct(endpoints: list[OtlpEndpoint]) -> list[OtlpEndpoint]:
    return list({(endpoint.host, endpoint.port): endpoint for endpoint in reversed(endpoints)}.values())[::-1]


def _check_collector(endpoint: OtlpEndpoint, sidecar: SidecarState | None) -> Check:
    if proxy := proxy_of(endpoint):
        return _check_proxy(endpoint, proxy)
    if not endpoint.host:
        return Check("collector", "ok", f"{endpoint.address} is read by gRPC alone: the test span tells")
    where = f"{endpoint.host}:{endpoint.port}"
    if error := connection_error(endpoint.host, endpoint.port):
        return Check("collector", "failed", f"nothing listens on {where} ({error})", _collector_fix(endpoint, sidecar))
    if sidecar and is_local(endpoint) and endpoint.port != _sidecar_port(endpoint, sidecar):
        fix = _collector_fix(endpoint, sidecar)
        return Check("collector", "warning", f"what listens on {where} is not the sidecar", fix)
    return Check("collector", "ok", f"listens on {where}")


def _check_proxy(endpoint: OtlpEndpoint, proxy: str) -> Check:
    """Check the proxy that stands before an endpoint: who is behind it need not be known to this machine by name."""
    parts, where = urlsplit(proxy), without_secrets(proxy)
    error = connection_error(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    if error:
        fix = f"correct the variable that names it; or, if {endpoint.host} can be reached without: export NO_PROXY="
        return Check("collector", "failed", f"the proxy {where} does not answer ({error})", fix + endpoint.host)
    return Check("collector", "ok", f"the proxy {where} listens, by which {endpoint.host} is reached")


def _collector_fix(endpoint: OtlpEndpoint, sidecar: SidecarState | None) -> str:
    """How to start a collector at the endpoint, or how to send to the sidecar that runs."""
    if sidecar:
        port = _sidecar_port(endpoint, sidecar)
        if port != endpoint.port or not is_local(endpoint):
            return f"the sidecar listens elsewhere: {use_address(endpoint, f'http://{HOST}:{port}')}"
        return "see what keeps it from listening: otel-tools sidecar status"
    if not is_local(endpoint):
        local = f", or unset {endpoint.variable} to use a local one" if endpoint.variable else ""
        return f"start the collector on {endpoint.host}{local}"
    needs_build = len(find_all()) < len(SIDECAR) and docker.unavailable_reason()
    start = f"otel-tools sidecar build, then {SIDECAR_UP}" if needs_build else SIDECAR_UP
    port = getattr(Ports(), _port_name(endpoint))
    if endpoint.port == port:
        return start
    return f"start what is to listen there; or {start}, and {use_address(endpoint, f'http://{HOST}:{port}')}"


def _sidecar_port(endpoint: OtlpEndpoint, sidecar: SidecarState) -> int:
    return sidecar.ports[_port_name(endpoint)]


def _port_name(endpoint: OtlpEndpoint) -> str:
    return "otlp_grpc" if endpoint.protocol == "grpc" else "otlp_http"


def _check_health(url: str) -> Check:
    if http.healthy(url, _HEALTH_TIMEOUT):
        return Check("health", "ok", f"the collector says that it is well ({url})")
    return Check("health", "warning", f"it does not say that it is well ({url})", "otel-tools sidecar status")
