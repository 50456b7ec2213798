"""Runs all checks in the order in which telemetry flows: this process, the collector, the backends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis import backends, environment
from otel_tools._cli.diagnosis.backends import SIDECAR_UP, Backends
from otel_tools._cli.diagnosis.check import Check
from otel_tools._cli.diagnosis.delivery import Route, check_delivery
from otel_tools._cli.diagnosis.endpoints import configured_endpoint, connection_error, endpoint_problem, is_local
from otel_tools._export.endpoint import sdk_disabled
from otel_tools._sidecar import docker, http
from otel_tools._sidecar.binaries import SIDECAR, find_all
from otel_tools._sidecar.paths import state_dir
from otel_tools._sidecar.ports import HOST
from otel_tools._sidecar.state import SidecarState, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._export.endpoint import OtlpEndpoint

_HEALTH_TIMEOUT = 2.0  # seconds


def diagnose(given: Backends, timeout: float, show_wait: Callable[[str], None]) -> Iterator[Check]:
    """Run all checks.

    Args:
        given: backends from the command line; they win over those of the sidecar.
        timeout: the longest wait for the test span and metric, in seconds.
        show_wait: takes the text to show during a wait; an empty text ends it.
    """
    sidecar = running(state_dir())
    endpoints = [configured_endpoint("traces"), configured_endpoint("metrics")]
    usable = [endpoint for endpoint in endpoints if not endpoint_problem(endpoint)]
    sends_locally = all(map(is_local, usable))
    known = _merge(given, Backends.known(sidecar, local=sends_locally))
    yield environment.check_python()
    packages = environment.check_packages()
    yield packages
    yield from environment.check_variables(usable)
    yield from _check_endpoints(endpoints)
    reached = []
    for endpoint in _distinct(usable):
        collector = _check_collector(endpoint, sidecar)
        yield collector
        if collector.status != "failed":
            reached += [each for each in usable if (each.host, each.port) == (endpoint.host, endpoint.port)]
    if reached and known.health and sends_locally:
        yield _check_health(known.health)
    can_send = reached if packages.status != "failed" and not sdk_disabled() else []
    yield from _check_backends(known, can_send, timeout, show_wait)
    if sidecar and sends_locally and not given.alertmanager:
        yield backends.check_webhook(state_dir())


def _check_backends(
    known: Backends, endpoints: list[OtlpEndpoint], timeout: float, show_wait: Callable[[str], None]
) -> Iterator[Check]:
    """Check that the backends answer, receive test signals and raise alerts.

    Args:
        known: the backends to ask.
        endpoints: those that test signals can be sent to.
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
    by_signal = {endpoint.signal: endpoint for endpoint in endpoints}
    yield from check_delivery(routes, by_signal, timeout, show_wait)
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


def _check_endpoints(endpoints: list[OtlpEndpoint]) -> Iterator[Check]:
    for endpoint in endpoints:
        source = f", set by {endpoint.variable}" if endpoint.variable else ", the default"
        if problem := endpoint_problem(endpoint):
            what, _, fix = problem.partition(": ")
            yield Check(endpoint.signal, "failed", what, fix)
        else:
            yield Check(endpoint.signal, "ok", f"go to {endpoint.url} ({endpoint.protocol}{source})")


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
