"""Checks of this Python, its packages, and the variables that configure OpenTelemetry."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis.check import Check
from otel_tools._cli.diagnosis.endpoints import proxy_of
from otel_tools._export.endpoint import sdk_disabled
from otel_tools._urls import without_secrets
from otel_tools._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools._export.endpoint import OtlpEndpoint

_MIN_PYTHON = (3, 11)
_MIN_SDK = (1, 44)
_PACKAGES = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp")


def check_python() -> Check:
    """Check the version of this Python."""
    found = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    if sys.version_info < _MIN_PYTHON:
        return Check("python", "failed", found, "Use Python 3.11 or newer")
    return Check("python", "ok", found)


def check_packages() -> Check:
    """Check that the OpenTelemetry packages are installed, new enough and of one version."""
    versions = {name: _version(name) for name in _PACKAGES}
    others = [f"{name.removeprefix('opentelemetry-')} {version}" for name, version in versions.items()]
    found = ", ".join([f"otel_tools {__version__}", *others])
    fix = "pip install --upgrade otel_tools opentelemetry-sdk opentelemetry-exporter-otlp"
    if missing := [name for name in _PACKAGES if versions[name] == "missing"]:
        return Check("packages", "failed", f"not installed: {', '.join(missing)}", fix)
    if _numbers(versions["opentelemetry-sdk"]) < _MIN_SDK:
        return Check("packages", "failed", f"{found}; the SDK must be 1.44 or newer", fix)
    if len({_numbers(versions[name]) for name in _PACKAGES}) > 1:
        return Check("packages", "warning", f"{found}; OpenTelemetry's own versions differ", fix)
    return Check("packages", "ok", found)


def check_variables(endpoints: list[OtlpEndpoint]) -> Iterator[Check]:
    """Check the variables that stop or redirect telemetry. Yields only findings, none where all is well.

    Args:
        endpoints: the endpoints of traces and metrics.
    """
    if sdk_disabled():
        yield Check(
            "settings", "failed", "OTEL_SDK_DISABLED=true switches all telemetry off", "unset OTEL_SDK_DISABLED"
        )
    if file := os.environ.get("OTEL_CONFIG_FILE"):
        yield Check(
            "settings",
            "warning",
            f"OTEL_CONFIG_FILE={file}: OpenTelemetry is set up from that file, configure() steps aside,"
            " and the other OTEL_* variables do nothing",
            "unset OTEL_CONFIG_FILE, or make sure that the file exports to the sidecar",
        )
    yield from _check_sampler()
    yield from _check_proxy(endpoints)


def _check_sampler() -> Iterator[Check]:
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    ratio = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if "always_off" in sampler or ("traceidratio" in sampler and re.fullmatch(r"0*\.?0+", ratio)):
        yield Check(
            "settings",
            "warning",
            f"OTEL_TRACES_SAMPLER={sampler}{f' with {ratio}' if ratio else ''}: no trace is kept",
            "unset OTEL_TRACES_SAMPLER",
        )


def _check_proxy(endpoints: list[OtlpEndpoint]) -> Iterator[Check]:
    for endpoint in endpoints:
        if proxy := proxy_of(endpoint):
            yield Check(
                "settings",
                "warning",
                f"telemetry for {endpoint.host} goes through the proxy {without_secrets(proxy)}",
                f"export NO_PROXY={endpoint.host}, if it can be reached without",
            )
            return


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
