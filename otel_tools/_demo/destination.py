"""Where the demo's telemetry goes: to a collector that listens, else to a file."""

import os
import socket
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from otel_tools._sidecar.paths import display_path
from otel_tools._telemetry import names
from otel_tools.errors import ConfigurationError

Exporter = Literal["auto", "otlp", "file"]

_PROBE_SECONDS = 0.3


@dataclass(frozen=True)
class Collector:
    """An OTLP collector at an address; `endpoint` is set where the user gave it on the command line."""

    address: str
    endpoint: str | None

    @property
    def options(self) -> dict[str, Any]:
        """What `configure()` is told."""
        return {"exporter": "otlp"} | ({"endpoint": self.endpoint} if self.endpoint else {})

    def __str__(self) -> str:
        return f"OTLP to the collector at {self.address}"


@dataclass(frozen=True)
class File:
    """A file of OTLP JSON lines, and why it is not a collector."""

    path: Path
    why: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """What `configure()` is told."""
        return {"exporter": "file", "file": str(self.path)}

    def __str__(self) -> str:
        return display_path(self.path)


def choose(exporter: Exporter = "auto", endpoint: str | None = None, file: Path | None = None) -> Collector | File:
    """Decide where telemetry goes.

    Args:
        exporter: `otlp` insists on a collector, `file` on a file, `auto` takes a collector where one listens.
        endpoint: the collector's URL; without it, the OTEL_EXPORTER_OTLP_* variables, else the sidecar.
        file: the file to write; without it, a new one in the user's state folder.

    Raises:
        ConfigurationError: what was asked for contradicts itself, or nothing listens where it must.
    """
    if file is not None and (exporter == "otlp" or endpoint is not None):
        raise ConfigurationError(
            f"--file {file} and a collector at once: leave out --file, or --exporter otlp and --endpoint"
        )
    if file is not None or exporter == "file":
        if endpoint is not None:
            raise ConfigurationError(f"--exporter file sends nothing to --endpoint {endpoint}: leave out one of them")
        return File((file or _new_file()).expanduser().absolute())
    host, port = _address(endpoint or _endpoint_of_environment())
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
    """Where a run is found in Jaeger and Prometheus: for each, its web page and the same as JSON."""
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


def _endpoint_of_environment() -> str:
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if value := os.environ.get(variable):
            return value
    grpc = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc"
    return f"http://127.0.0.1:{4317 if grpc else 4318}"


def _address(endpoint: str) -> tuple[str, int]:
    # gRPC endpoints are also written without a scheme; what else is wrong with one is for configure() to say.
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"endpoint {endpoint!r}: {error}; write it as http://127.0.0.1:4318") from error
    if not parts.hostname:
        raise ConfigurationError(f"endpoint {endpoint!r} names no host; write it as http://127.0.0.1:4318")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False


def _new_file() -> Path:
    """A file of this run's own, in the user's state folder, or in the temporary one where that is closed."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "otel-tools" / "demo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        folder = Path(tempfile.gettempdir())
    return folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.otlp.jsonl"
