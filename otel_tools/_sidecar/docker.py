"""Runs the sidecar with docker compose and the shipped ``docker-compose.yml``."""

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

_MARKER = "runs-in-docker"  # this file exists in the state folder while Docker runs the sidecar
_ENGINE_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the compose project, with the fields of ``docker compose ps``."""

    name: str
    state: str
    health: str
    status: str
    exit_code: int

    @property
    def healthy(self) -> bool:
        """Whether it runs and its health check, if any, succeeds; or whether it ran once and succeeded."""
        if self.state == "exited":
            return self.exit_code == 0
        return self.state == "running" and self.health in ("", "healthy")


def unavailable_reason() -> str:
    """Why Docker cannot be used; empty where its engine and compose work."""
    docker = shutil.which("docker")
    if docker is None:
        return "docker is not installed"
    for command in (["info", "--format", "{{.ServerVersion}}"], ["compose", "version", "--short"]):
        shown = f"`docker {' '.join(command[:2])}`"
        try:
            result = subprocess.run(  # noqa: S603  # fixed commands
                [docker, *command], capture_output=True, text=True, timeout=_ENGINE_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{shown} does not answer"
        if result.returncode:
            output = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
            return f"{shown} fails: {output[0] if output else f'code {result.returncode}'}"
    return ""


def require_engine() -> None:
    """Check that Docker can be used.

    Raises:
        SidecarError: it cannot; with the reason and the alternative.
    """
    if reason := unavailable_reason():
        raise SidecarError(
            f"Docker cannot be used: {reason}",
            "Start its engine, or do without: otel-tools sidecar build && otel-tools sidecar up",
        )


def compose_command(*arguments: str) -> list[str]:
    """A ``docker compose`` command for the shipped file."""
    return ["docker", "compose", "-f", str(compose_file()), *arguments]


def compose_environment(folder: Path, ports: Ports | None = None) -> dict[str, str]:
    """The present environment with the variables of the compose file.

    Args:
        folder: the state folder, which has the file with the webhook URL.
        ports: the published ports; None for the defaults of the compose file.
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
    """Run ``docker compose up`` in the background until all services are healthy. Its output goes to the terminal.

    Args:
        folder: the state folder.
        ports: the published ports.

    Raises:
        SidecarError: the command failed.
    """
    (folder / _MARKER).touch()
    _compose(compose_environment(folder, ports), "up", "-d", "--wait")


def down(folder: Path) -> None:
    """Run ``docker compose down``; the volumes stay.

    Args:
        folder: the state folder.

    Raises:
        SidecarError: the command failed.
    """
    _compose(compose_environment(folder), "down")
    (folder / _MARKER).unlink(missing_ok=True)


def runs_in_docker(folder: Path) -> bool:
    """Whether the last ``up`` in this state folder was with Docker and no ``down`` followed."""
    return (folder / _MARKER).exists()


def services(folder: Path) -> list[Service]:
    """The project's services; empty while it is down.

    Args:
        folder: the state folder.

    Raises:
        SidecarError: the command failed.
    """
    command = compose_command("ps", "--all", "--format", "json")
    result = subprocess.run(  # noqa: S603  # a fixed command
        command, capture_output=True, text=True, env=compose_environment(folder), check=False
    )
    if result.returncode:
        raise SidecarError(f"`{' '.join(command)}` fails:\n{result.stderr.strip()}")
    return parse_services(result.stdout)


def parse_services(text: str) -> list[Service]:
    """Parse the output of ``docker compose ps --format json``.

    Args:
        text: one JSON object per line; of older versions, one JSON list.
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
