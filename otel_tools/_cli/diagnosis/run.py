"""All checks, in the order of the data's way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis import backends, environment
from otel_tools._cli.diagnosis.arrival import Way, follow
from otel_tools._cli.diagnosis.backends import UP, Backends
from otel_tools._cli.diagnosis.check import Check
from otel_tools._cli.diagnosis.endpoint import Endpoint
from otel_tools._sidecar import docker, http
from otel_tools._sidecar.binaries import SIDECAR, find_all
from otel_tools._sidecar.paths import state_dir
from otel_tools._sidecar.ports import HOST
from otel_tools._sidecar.state import SidecarState, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEALTH_WITHIN = 2.0


def diagnose(given: Backends, within: float, waiting: Callable[[str], None]) -> Iterator[Check]:
    """Look at everything.

    Args:
        given: addresses from the command line, which win over those that are known.
        within: seconds that the test span and metric may take to arrive.
        waiting: told what is waited for; an empty text means that it is over.
    """
    sidecar = running(state_dir())
    endpoints = [Endpoint.of("traces"), Endpoint.of("metrics")]
    yield environment.python()
    installed = environment.packages()
    yield installed
    yield from environment.variables([endpoint for endpoint in endpoints if not endpoint.wrong])
    yield from _endpoints(endpoints)
    usable = [endpoint for endpoint in endpoints if not endpoint.wrong]
    local = all(endpoint.local for endpoint in usable)
    asked = _merge(given, Backends.known(sidecar, local=local))
    reached = []
    for endpoint in _distinct(usable):
        listens = _collector(endpoint, sidecar)
        yield listens
        if listens.status != "failed":
            reached += [each for each in usable if (each.host, each.port) == (endpoint.host, endpoint.port)]
    if reached and asked.health and local:
        yield _health(asked.health)
    found = [
        backends.reachable("jaeger", asked.jaeger, "/api/v3/services"),
        backends.reachable("prometheus", asked.prometheus, "/-/ready"),
        backends.reachable("alertmanager", asked.alertmanager, "/-/ready"),
    ]
    yield from found
    can_send = reached if installed.status != "failed" and not environment.disabled() else []
    jaeger, prometheus, _ = found
    ways = [
        Way("traces", "test span", "Jaeger", asked.jaeger, jaeger.status),
        Way("metrics", "test metric", "Prometheus", asked.prometheus, prometheus.status),
    ]
    yield from follow(ways, {endpoint.signal: endpoint for endpoint in can_send}, within, waiting)
    if prometheus.status == "ok":
        yield from backends.rules(asked.prometheus)
    if sidecar and local and not given.alertmanager:
        yield backends.destination(state_dir())


def _merge(given: Backends, known: Backends) -> Backends:
    return replace(
        known,
        **{
            name: value.rstrip("/")
            for name in ("jaeger", "prometheus", "alertmanager", "health")
            if (value := getattr(given, name))
        },
    )


def _endpoints(endpoints: list[Endpoint]) -> Iterator[Check]:
    for endpoint in endpoints:
        says = f", set by {endpoint.variable}" if endpoint.variable else ", the default"
        if endpoint.wrong:
            what, _, fix = endpoint.wrong.partition(": ")
            yield Check(endpoint.signal, "failed", what, fix)
        else:
            yield Check(endpoint.signal, "ok", f"go to {endpoint.url} ({endpoint.protocol}{says})")


def _distinct(endpoints: list[Endpoint]) -> list[Endpoint]:
    return list({(endpoint.host, endpoint.port): endpoint for endpoint in reversed(endpoints)}.values())[::-1]


def _collector(endpoint: Endpoint, sidecar: SidecarState | None) -> Check:
    where = f"{endpoint.host}:{endpoint.port}"
    why = endpoint.unreachable()
    if not why and sidecar and endpoint.local and endpoint.port != _sidecar_port(endpoint, sidecar):
        return Check("collector", "warning", f"what listens on {where} is not the sidecar", _way_up(endpoint, sidecar))
    if not why:
        return Check("collector", "ok", f"listens on {where}")
    return Check("collector", "failed", f"nothing listens on {where} ({why})", _way_up(endpoint, sidecar))


def _way_up(endpoint: Endpoint, sidecar: SidecarState | None) -> str:
    """How to get a collector to where telemetry goes, or telemetry to where a collector is."""
    if sidecar:
        port = _sidecar_port(endpoint, sidecar)
        if port != endpoint.port or not endpoint.local:
            return f"the sidecar listens elsewhere: export OTEL_EXPORTER_OTLP_ENDPOINT=http://{HOST}:{port}"
        return "see what keeps it from listening: otel-tools sidecar status"
    if not endpoint.local:
        return f"start the collector on {endpoint.host}, or unset {endpoint.variable} to use a local one"
    if len(find_all()) < len(SIDECAR) and docker.engine():
        return f"otel-tools sidecar build, then {UP}"
    return UP


def _sidecar_port(endpoint: Endpoint, sidecar: SidecarState) -> int:
    return sidecar.ports["otlp_grpc" if endpoint.protocol == "grpc" else "otlp_http"]


def _health(url: str) -> Check:
    if http.healthy(url, _HEALTH_WITHIN):
        return Check("health", "ok", f"the collector says that it is well ({url})")
    return Check("health", "warning", f"it does not say that it is well ({url})", "otel-tools sidecar status")
