"""The sidecar's loopback ports, their URLs, and the programs that hold taken ports."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

from otel_tools._sidecar.errors import PortsTakenError, SidecarError

HOST = "127.0.0.1"

# Below every system's range of ephemeral ports (Linux begins at 32768, macOS at 49152), so that no
# outgoing connection takes a port between the moment it is chosen and the moment it is listened on.
_FREE_RANGE = range(20_000, 32_000)
_MAX_PORT = 65_535

_MAX_COMMAND_LENGTH = 40  # characters


def _port(default: int, program: str, use: str) -> int:
    """A field: the default port, the program that listens there, and its use."""
    return field(default=default, metadata={"program": program, "use": use})


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one sidecar, all on 127.0.0.1.

    The OTLP ports are the standard ones, so that an SDK with its default settings finds the sidecar.
    """

    otlp_grpc: int = _port(4317, "collector", "OTLP over gRPC")
    otlp_http: int = _port(4318, "collector", "OTLP over HTTP")
    collector_health: int = _port(13133, "collector", "its health")
    exporter: int = _port(8889, "collector", "the tools' metrics, for Prometheus to scrape")
    collector_metrics: int = _port(8888, "collector", "its own metrics")
    jaeger_query: int = _port(16686, "jaeger", "its API and pages")
    jaeger_otlp: int = _port(14317, "jaeger", "spans from the collector")
    jaeger_health: int = _port(13134, "jaeger", "its health")
    jaeger_metrics: int = _port(8887, "jaeger", "its own metrics")
    prometheus: int = _port(9090, "prometheus", "its API and pages")
    alertmanager: int = _port(9093, "alertmanager", "its API and pages")

    def shifted(self, offset: int) -> Self:
        """The same ports, each moved up by ``offset``.

        Raises:
            SidecarError: a port would fall outside 1..65535.
        """
        shifted = {name: port + offset for name, port in self.as_dict().items()}
        if not all(1 <= port <= _MAX_PORT for port in shifted.values()):
            own = self.as_dict().values()
            raise SidecarError(
                f"a port offset of {offset} moves a port of the sidecar outside 1..{_MAX_PORT}",
                f"Take an offset between {1 - min(own)} and {_MAX_PORT - max(own)}.",
            )
        return type(self)(**shifted)

    @classmethod
    def free(cls) -> Self:
        """Free ports, picked at random, for tests and second sidecars.

        Raises:
            SidecarError: there are too few free ports.
        """
        names = [entry.name for entry in fields(cls)]
        picked: list[int] = []
        with ExitStack() as held:
            for port in random.sample(_FREE_RANGE, len(_FREE_RANGE)):
                if len(picked) == len(names):
                    break
                with suppress(OSError):
                    held.enter_context(_bind(port))
                    picked.append(port)
        if len(picked) < len(names):
            raise SidecarError(
                f"no {len(names)} free ports on {HOST} between {min(_FREE_RANGE)} and {max(_FREE_RANGE)}"
            )
        return cls(**dict(zip(names, picked, strict=True)))

    def as_dict(self) -> dict[str, int]:
        """The ports by name."""
        return asdict(self)

    def require_free(self) -> None:
        """Check that every port can be listened on.

        Raises:
            PortsTakenError: a port is taken; names each, its use, the program that holds it, and the fix.
        """
        taken = []
        for entry in fields(self):
            port = getattr(self, entry.name)
            try:
                _bind(port).close()
            except OSError as error:
                holder = _holder(port) or f"an unknown program ({error.strerror or error})"
                use = f"{entry.metadata['program']} needs it for {entry.metadata['use']}"
                taken.append(f"port {port} is taken by {holder}; {use}")
        if taken:
            raise PortsTakenError(
                "\n".join(taken),
                "Stop what holds them, or move every port of the sidecar: otel-tools sidecar up --port-offset 1000",
            )


class Addresses:
    """The URLs of a sidecar on 127.0.0.1.

    Args:
        ports: its ports.
    """

    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    @property
    def otlp_http(self) -> str:
        """The base URL for OTLP over HTTP, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` takes it."""
        return f"http://{HOST}:{self.ports.otlp_http}"

    @property
    def otlp_grpc(self) -> str:
        """The URL for OTLP over gRPC."""
        return f"http://{HOST}:{self.ports.otlp_grpc}"

    @property
    def collector_health(self) -> str:
        """The base URL of the collector's health page."""
        return f"http://{HOST}:{self.ports.collector_health}"

    @property
    def jaeger(self) -> str:
        """The base URL of Jaeger's API and pages."""
        return f"http://{HOST}:{self.ports.jaeger_query}"

    @property
    def prometheus(self) -> str:
        """The base URL of Prometheus' API and pages."""
        return f"http://{HOST}:{self.ports.prometheus}"

    @property
    def alertmanager(self) -> str:
        """The base URL of Alertmanager's API and pages."""
        return f"http://{HOST}:{self.ports.alertmanager}"


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # As Go's listeners do, so that a connection of a past run in TIME_WAIT does not hold the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def _holder(port: int) -> str | None:
    """The process that listens on the port, as text; None where the system does not tell."""
    pid = _holder_by_proc(port) if Path("/proc/net/tcp").exists() else _holder_by_lsof(port)
    if pid is None:
        return None
    try:
        program, *arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return f"process {pid}"
    shown = " ".join([Path(program).name, *arguments]).strip()
    return f"process {pid} ({shown if len(shown) <= _MAX_COMMAND_LENGTH else shown[:_MAX_COMMAND_LENGTH] + '...'})"


def _holder_by_proc(port: int) -> int | None:
    listening = "0A"  # the state TCP_LISTEN
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == listening and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        # A process of another user, or one that ended meanwhile, shows nothing.
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return int(process.name)
    return None


def _holder_by_lsof(port: int) -> int | None:
    lsof = shutil.which("lsof")
    if lsof is None:
        return None
    found = subprocess.run(  # noqa: S603  # a fixed command with a number
        [lsof, "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"], capture_output=True, text=True, check=False
    )
    first = found.stdout.split()[:1]
    return int(first[0]) if first and first[0].isdigit() else None
