"""Chooses the destination of the demo's telemetry: a collector that listens, else a file."""

import os
import socket
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from otel_tools._export.endpoint import otlp_endpoint, otlp_protocol
from otel_tools._sidecar.paths import display_path
from otel_tools._sidecar.ports import HOST
from otel_tools._telemetry import names
from otel_tools.errors import ConfigurationError

Exporter = Literal["auto", "otlp", "file"]

_CONNECT_TIMEOUT = 0.3  # seconds
_EXAMPLE = "write it as http://127.0.0.1:4318"


@dataclass(frozen=True)
class Collector:
    """An OTLP collector.

    Attributes:
        address: its host and port.
        endpoint: the URL from the command line; None where the variables or the default decide.
    """

    address: str
    endpoint: str | None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments for `configure()`."""
        return {"exporter": "otlp"} | ({"endpoint": self.endpoint} if self.endpoint else {})

    def __str__(self) -> str:
        return f"OTLP to the collector at {self.address}"


@dataclass(frozen=True)
class File:
    """A file of OTLP JSON lines.

    Attributes:
        path: the file.
        reason: why it is not a collector; empty where the user chose the file.
    """

    path: Path
    reason: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The arguments for `configure()`."""
        return {"exporter": "file", "file": str(self.path)}

    def __str__(self) -> str:
        return display_path(self.path)


def choose(exporter: Exporter = "auto", endpoint: str | None = None, file: Path | None = None) -> Collector | File:
    """Choose the destination.

    Args:
        exporter: `otlp` requires a collector, `file` a file; `auto` takes a collector where one listens.
        endpoint: the collector's URL; without it, the OTEL_EXPORTER_OTLP_* variables, else the sidecar.
        file: the file to write; without it, a new one in the user's state folder.

    Raises:
        ConfigurationError: the options contradict each other, or a required collector does not listen.
    """
    if file is not None and (exporter == "otlp" or endpoint is not None):
        raise ConfigurationError(
            f"--file {file} and a collector at once: leave out --file, or --exporter otlp and --endpoint"
        )
    if file is not None or exporter == "file":
        if endpoint is not None:
            raise ConfigurationError(f"--exporter file sends nothing to --endpoint {endpoint}: leave out one of them")
        return File((file or _new_file()).expanduser().absolute())
    host, port = _host_and_port(endpoint)
    where = f"{host}:{port}"
    if _listens(host, port):
        return Collector(where, endpoint)
    if exporter == "otlp" or endpoint is not None:
        raise ConfigurationError(
            f"nothing listens at {where}: start the sidecar with `otel-tools sidecar up`, "
            "or leave out --exporter and --endpoint to write a file"
        )
    return File(_new_file(), f"no collector listens at {where}")


def links(trace_id: str) -> dict[str, tuple[str, str]]:
    """The URLs of a run in Jaeger and Prometheus: for each, its web page and the same as JSON."""
    jaeger = os.environ.get("OTEL_TOOLS_JAEGER_URL", "http://127.0.0.1:16686").rstrip("/")
    prometheus = os.environ.get("OTEL_TOOLS_PROMETHEUS_URL", "http://127.0.0.1:9090").rstrip("/")
    calls = names.CALLS.name.replace(".", "_") + "_total"
    return {
        "Jaeger": (f"{jaeger}/trace/{trace_id}", f"{jaeger}/api/v3/traces/{trace_id}"),
        "Prometheus": (
            f"{prometheus}/graph?g0.expr={calls}&g0.tab=1",
            f"{prometheus}/api/v1/query?query={calls}",
        ),
    }


def _host_and_port(url: str | None) -> tuple[str, int]:
    """The host and port of the collector for traces.

    Args:
        url: the URL from the command line; None for the variables, else the sidecar.

    Raises:
        ConfigurationError: the URL has no host or an invalid port.
    """
    protocol, _ = otlp_protocol("traces")
    endpoint = otlp_endpoint("traces", protocol, base=url or None)
    try:
        host, port = endpoint.host, endpoint.port
    except ValueError as error:
        raise ConfigurationError(f"endpoint {endpoint.address!r}: {error}; {_EXAMPLE}") from error
    # The default is "localhost", which may also mean ::1, where the sidecar does not listen.
    is_default = not url and not endpoint.variable
    if not host:
        raise ConfigurationError(f"endpoint {endpoint.address!r} names no host; {_EXAMPLE}")
    return HOST if is_default else host, port


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT):
            return True
    except OSError:
        return False


def _new_file() -> Path:
    """A new file in the user's state folder, or in the temporary folder where that is not writable."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "otel-tools" / "demo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        # Others can write to that folder, too: a name that they cannot know, and a file that they cannot read.
        handle, path = tempfile.mkstemp(prefix="otel-tools-demo-", suffix=".otlp.jsonl")
        os.close(handle)
        return Path(path)
    return folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.otlp.jsonl"
