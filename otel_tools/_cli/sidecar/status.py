"""``otel-tools sidecar status``: prints the state of each program."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from otel_tools._sidecar import docker, http
from otel_tools._sidecar.paths import display_path, state_dir
from otel_tools._sidecar.ports import HOST
from otel_tools._sidecar.state import ProgramState, SidecarState, running
from otel_tools._terminal import console

NOT_RUNNING = 3  # the exit code of `systemctl status` and the LSB for a stopped service
_HEALTH_TIMEOUT = 2.0  # seconds

# The ports of each program that a person uses.
_ADDRESSES = {
    "jaeger": ("jaeger_query",),
    "collector": ("otlp_http", "otlp_grpc"),
    "alertmanager": ("alertmanager",),
    "prometheus": ("prometheus",),
}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    use_docker: Annotated[bool, typer.Option("--docker", help="The one that docker compose runs.")] = False,
) -> None:
    """Show each program: its process, health, address and log.

    Exit codes: 0 all are healthy, 1 one is not, 3 the sidecar does not run.
    """
    folder = state_dir()
    state = running(folder)
    if state is None and (use_docker or docker.runs_in_docker(folder)):
        raise typer.Exit(_docker_status(folder, as_json=as_json))
    raise typer.Exit(_native_status(state, folder, as_json=as_json))


def _native_status(state: SidecarState | None, folder: Path, *, as_json: bool) -> int:
    if state is None:
        last = SidecarState.read(folder)
        failure = last.failure if last else ""
        if as_json:
            console.print_raw(json.dumps({"running": False, "healthy": False, "last_failure": failure}))
            return NOT_RUNNING
        console.print_text("The sidecar does not run. Start it: otel-tools sidecar up")
        if failure:
            console.print_text(f"Its last start failed: {failure}")
        return NOT_RUNNING
    programs = {name: _condition(program) for name, program in state.programs.items()}
    healthy = all(condition == "healthy" for condition in programs.values())
    if as_json:
        console.print_raw(json.dumps(_to_json(state, programs, healthy=healthy), indent=2))
        return 0 if healthy else 1
    up_for = console.format_age(state.started)
    console.print_text(f"Sidecar: {state.phase} for {up_for}, supervised by process {state.supervisor.pid}")
    console.print_text()
    head = ["program", "state", "process", "up for", "restarts", "address"]
    console.print_columns([head, *(_row(state, name, condition) for name, condition in programs.items())], head=True)
    for name, program in state.programs.items():
        if program.restarts or programs[name] != "healthy":
            log = display_path(Path(program.log))
            last_exit = f" {program.last_exit};" if program.last_exit else " does not answer;"
            console.print_text()
            console.print_text(f"{name}{last_exit} its log: {log}", indent=2)
    console.print_text()
    console.print_text(f"Logs: {display_path(folder / 'logs')}", indent=2)
    return 0 if healthy else 1


def _condition(program: ProgramState) -> str:
    """The program's condition: the supervisor's record, and for a healthy one also an own health request."""
    if program.condition == "healthy" and not http.healthy(program.health, _HEALTH_TIMEOUT):
        return "unhealthy"
    return program.condition


def _row(state: SidecarState, name: str, condition: str) -> list[Any]:
    program = state.programs[name]
    first, *more = [str(state.ports[port]) for port in _ADDRESSES[name]]
    return [
        name,
        console.state_text(condition),
        str(program.identity.pid) if program.identity else "-",
        console.format_age(program.since) if program.identity else "-",
        str(program.restarts),
        f"{HOST}:{', '.join([first, *more])}",
    ]


def _to_json(state: SidecarState, programs: dict[str, str], *, healthy: bool) -> dict[str, Any]:
    return {
        "running": True,
        "healthy": healthy,
        "phase": state.phase,
        "supervisor": state.supervisor.pid,
        "uptime": round(time.time() - state.started, 1),
        "ports": state.ports,
        "programs": {
            name: {
                "condition": condition,
                "pid": program.identity.pid if program.identity else None,
                "uptime": round(time.time() - program.since, 1) if program.identity else None,
                "restarts": program.restarts,
                "last_exit": program.last_exit,
                "health": program.health,
                "log": program.log,
            }
            for name, condition in programs.items()
            for program in (state.programs[name],)
        },
    }


def _docker_status(folder: Path, *, as_json: bool) -> int:
    docker.require_engine()
    services = docker.services(folder)
    healthy = bool(services) and all(service.healthy for service in services)
    if as_json:
        by_name = {
            service.name: {"state": service.state, "health": service.health, "status": service.status}
            for service in services
        }
        console.print_raw(json.dumps({"running": bool(services), "healthy": healthy, "services": by_name}, indent=2))
    elif not services:
        console.print_text("The sidecar does not run. Start it: otel-tools sidecar up --docker")
    else:
        rows: list[list[Any]] = [
            [service.name, console.state_text(service.health or service.state), service.status] for service in services
        ]
        console.print_columns([["service", "state", "status"], *rows], head=True)
    return 0 if healthy else 1 if services else NOT_RUNNING
