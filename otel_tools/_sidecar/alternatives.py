"""The ways to a running sidecar that there are on this machine: Go and Docker are looked for before they are named."""

from __future__ import annotations

import shutil

from otel_tools._sidecar import docker

__all__ = ["build_or_docker", "without_building"]


def build_or_docker() -> str:
    """Every way, one a line: build, Docker, a file."""
    build = "otel-tools sidecar build"
    if shutil.which("go"):
        return f"Build with Go (some minutes, once): {build}\n{without_building()}"
    return f"Install Go (https://go.dev/dl; it is not on PATH), then: {build}\n{without_building()}"


def without_building() -> str:
    """The ways that need no Go, one a line."""
    up = "otel-tools sidecar up --docker"
    if reason := docker.unavailable_reason():
        first = f"Or make Docker work ({reason}), then: {up}"
    else:
        first = f"Or use Docker: {up}"
    return f'{first}\nOr do without a sidecar: configure(exporter="file", file="telemetry.otlp.jsonl")'
