"""The sidecar with Docker: the shipped ``docker-compose.yml``, through the user's own engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_tools._sidecar.configs import collector_dir, compose_file
from otel_tools._sidecar.errors import SidecarError
from otel_tools._sidecar.webhook import WEBHOOK_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from otel_tools._sidecar.ports import Ports

_MARK = "runs-in-docker"  # the file that remembers it
_ENGINE_WITHIN = 10.0  # seconds for an engine to answer


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the compose project, as the engine reports it."""

    name: str
    state: str
    health: str
    status: str
    exit_code: int

    @property
    def healthy(self) -> bool:
        """Running, and healthy where a health check tells; or one that ran once and did its work."""
        if self.state == "exited":
            return self.exit_code == 0
        return self.state == "running" and self.health in ("", "healthy")


def engine() -> str:
    """What keeps Docker from being used, in words; empty when its engine and compose work."""
    docker = shutil.which("docker")
    if docker is None:
        return "docker is not installed"
    for command in (["info", "--format", "{{.ServerVersion}}"], ["compose", "version", "--short"]):
        shown = f"`docker {' '.join(command[:2])}`"
        try:
            result = subprocess.run(  # noqa: S603  # fixed commands
                [docker, *command], capture_output=True, text=True, timeout=_ENGINE_WITHIN, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{shown} does not answer"
        if result.returncode:
            said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
            return f"{shown} fails: {said[0] if said else f'code {result.returncode}'}"
    return ""


def require_engine() -> None:
    """Check that Docker can be used.

    Raises:
        SidecarError: it cannot; says why, and the other way.
    """
    if why := engine():
        raise SidecarError(
            f"Docker cannot be used: {why}",
            "Start its engine, or do without: otel-tools sidecar build && otel-tools sidecar up",
        )


def compose_command(*arguments: str) -> list[str]:
    """The whole ``docker compose`` command for the shipped file."""
    return ["docker", "compose", "-f", str(compose_file()), *arguments]


def compose_environment(folder: Path, ports: Ports | None = None) -> dict[str, str]:
    """The variables that the compose file takes, on top of the present environment.

    Args:
        folder: the state folder, for the file with the address that alerts go to.
        ports: where this machine reaches the services; as the file has them by default.
    """
    published = {
        "OTEL_TOOLS_OTLP_GRPC_PORT": "otlp_grpc",
        "OTEL_TOOLS_OTLP_HTTP_PORT": "otlp_http",
        "OTEL_TOOLS_HEALTH_PORT": "collector_health",
        "OTEL_TOOLS_JAEGER_QUERY_PORT": "jaeger_query",
        "OTEL_TOOLS_PROMETHEUS_PORT": "prometheus",
        "OTEL_TOOLS_ALERTMANAGER_PORT": "alertmanager",
    }
    own = {variable: str(getattr(ports, name)) for variable, name in published.items()} if ports else {}
    own |= {
        "OTEL_TOOLS_COLLECTOR_DIR": str(collector_dir()),
        "OTEL_TOOLS_ALERT_WEBHOOK_FILE": str(folder / WEBHOOK_FILE),
    }
    return {**os.environ, **own}


def up(folder: Path, ports: Ports) -> None:
    """``docker compose up``, in the background, until all is healthy; its output goes to the terminal.

    Args:
        folder: the state folder, to remember there that Docker has it.
        ports: where this machine reaches the services.

    Raises:
        SidecarError: it failed.
    """
    (folder / _MARK).touch()
    _compose(compose_environment(folder, ports), "up", "-d", "--wait")


def down(folder: Path) -> None:
    """``docker compose down``; the volumes stay.

    Args:
        folder: the state folder.

    Raises:
        SidecarError: it failed.
    """
    _compose(compose_environment(folder), "down")
    (folder / _MARK).unlink(missing_ok=True)


def is_marked(folder: Path) -> bool:
    """Whether the last ``up`` in this state folder was with Docker."""
    return (folder / _MARK).exists()


def services(folder: Path) -> list[Service]:
    """The project's services, empty when it is down.

    Args:
        folder: the state folder.

    Raises:
        SidecarError: the engine does not tell.
    """
    command = compose_command("ps", "--all", "--format", "json")
    result = subprocess.run(  # noqa: S603  # a fixed command
        command, capture_output=True, text=True, env=compose_environment(folder), check=False
    )
    if result.returncode:
        raise SidecarError(f"`{' '.join(command)}` fails:\n{result.stderr.strip()}")
    return parse_services(result.stdout)


def parse_services(text: str) -> list[Service]:
    """The services in the output of ``docker compose ps --format json``.

    Args:
        text: one JSON object a line or, of older versions, one JSON list.
    """
    text = text.strip()
    raw = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    return [
        Service(
            name=entry.get("Service", entry.get("Name", "?")),
            state=entry.get("State", ""),
            health=entry.get("Health", ""),
            status=entry.get("Status", ""),
            exit_code=entry.get("ExitCode", 0),
        )
        for entry in raw
    ]


def _compose(environment: dict[str, str], *arguments: str) -> None:
    command = compose_command(*arguments)
    result = subprocess.run(command, env=environment, check=False)  # noqa: S603  # a fixed command
    if result.returncode:
        raise SidecarError(
            f"`{' '.join(command)}` ended with code {result.returncode}",
            f"What its services say: {' '.join(compose_command('logs', '--tail', '20'))}",
        )
