"""The command, environment and health URL of each program, and the plan file for the supervisor."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from otel_tools._sidecar.ports import HOST, Ports

PLAN_FILE = "plan.json"
START_WITHIN = 60.0  # seconds; Jaeger's Badger store may need long to recover


@dataclass(frozen=True, slots=True)
class Program:
    """One program to run.

    Attributes:
        name: the name of its component.
        argv: the command.
        env: variables to add to the inherited ones.
        health: the URL that answers 2xx while the program is healthy.
        log: the file for its output.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    health: str
    log: Path


@dataclass(frozen=True, slots=True)
class SupervisorPlan:
    """The programs that the supervisor runs.

    Attributes:
        programs: in the order of starting; they stop in the opposite order.
        ports: the ports by name, to be written into the state file.
        start_within: seconds until all must be healthy.
    """

    programs: tuple[Program, ...]
    ports: dict[str, int]
    start_within: float

    def write(self, folder: Path) -> None:
        """Write the plan file in ``folder``."""
        (folder / PLAN_FILE).write_text(json.dumps(asdict(self), indent=2, default=str))

    @classmethod
    def read(cls, folder: Path) -> SupervisorPlan:
        """Read the plan file in ``folder``."""
        raw = json.loads((folder / PLAN_FILE).read_text())
        programs = tuple(
            Program(**{**program, "argv": tuple(program["argv"]), "log": Path(program["log"])})
            for program in raw["programs"]
        )
        return cls(programs=programs, ports=raw["ports"], start_within=raw["start_within"])


def make_plan(
    binaries: dict[str, Path],
    ports: Ports,
    configs: Path,
    folder: Path,
    start_within: float = START_WITHIN,
) -> SupervisorPlan:
    """Make the plan for the four programs, and their data folders.

    Args:
        binaries: the path of each component's program.
        ports: their ports.
        configs: the folder of the rendered configs.
        folder: the state folder, for data and logs.
        start_within: seconds until all must be healthy.
    """
    data = folder / "data"
    for name in binaries:
        (data / name).mkdir(parents=True, exist_ok=True)
    logs = folder / "logs"
    return SupervisorPlan(
        programs=(
            _jaeger(binaries["jaeger"], ports, configs, data / "jaeger", logs),
            _collector(binaries["collector"], ports, configs, data / "collector", logs),
            _alertmanager(binaries["alertmanager"], ports, configs, data / "alertmanager", logs),
            _prometheus(binaries["prometheus"], ports, configs, data / "prometheus", logs),
        ),
        ports=ports.as_dict(),
        start_within=start_within,
    )


def _jaeger(binary: Path, ports: Ports, configs: Path, data: Path, logs: Path) -> Program:
    return Program(
        name="jaeger",
        argv=(str(binary), f"--config=file:{configs / 'jaeger' / 'config.yaml'}"),
        env={
            "OTEL_TOOLS_HOST": HOST,
            "OTEL_TOOLS_JAEGER_OTLP_PORT": str(ports.jaeger_otlp),
            "OTEL_TOOLS_JAEGER_QUERY_PORT": str(ports.jaeger_query),
            "OTEL_TOOLS_JAEGER_HEALTH_PORT": str(ports.jaeger_health),
            "OTEL_TOOLS_JAEGER_METRICS_PORT": str(ports.jaeger_metrics),
            "OTEL_TOOLS_JAEGER_DATA_DIR": str(data),
            # Without this Jaeger traces its own queries and stores their spans beside those of the tools.
            "OTEL_TRACES_SAMPLER": "always_off",
        },
        health=f"http://{HOST}:{ports.jaeger_health}/status",
        log=logs / "jaeger.log",
    )


def _collector(binary: Path, ports: Ports, configs: Path, data: Path, logs: Path) -> Program:
    return Program(
        name="collector",
        argv=(str(binary), f"--config=file:{configs / 'config.yaml'}"),
        env={
            "OTEL_TOOLS_HOST": HOST,
            "OTEL_TOOLS_OTLP_GRPC_PORT": str(ports.otlp_grpc),
            "OTEL_TOOLS_OTLP_HTTP_PORT": str(ports.otlp_http),
            "OTEL_TOOLS_HEALTH_PORT": str(ports.collector_health),
            "OTEL_TOOLS_EXPORTER_PORT": str(ports.exporter),
            "OTEL_TOOLS_COLLECTOR_METRICS_PORT": str(ports.collector_metrics),
            "OTEL_TOOLS_JAEGER_OTLP": f"{HOST}:{ports.jaeger_otlp}",
            "OTEL_TOOLS_DATA_DIR": str(data),
            # Four fifths of config.yaml's memory limit.
            "GOMEMLIMIT": "410MiB",
        },
        health=f"http://{HOST}:{ports.collector_health}/",
        log=logs / "collector.log",
    )


def _alertmanager(binary: Path, ports: Ports, configs: Path, data: Path, logs: Path) -> Program:
    return Program(
        name="alertmanager",
        argv=(
            str(binary),
            f"--config.file={configs / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={data}",
            f"--web.listen-address={HOST}:{ports.alertmanager}",
            f"--web.external-url=http://{HOST}:{ports.alertmanager}",
            # One host: without this it opens a cluster port on every address.
            "--cluster.listen-address=",
        ),
        env={},
        health=f"http://{HOST}:{ports.alertmanager}/-/ready",
        log=logs / "alertmanager.log",
    )


def _prometheus(binary: Path, ports: Ports, configs: Path, data: Path, logs: Path) -> Program:
    return Program(
        name="prometheus",
        argv=(
            str(binary),
            f"--config.file={configs / 'prometheus' / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=2GB",
            f"--web.listen-address={HOST}:{ports.prometheus}",
            f"--web.external-url=http://{HOST}:{ports.prometheus}",
            "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
        ),
        env={},
        health=f"http://{HOST}:{ports.prometheus}/-/ready",
        log=logs / "prometheus.log",
    )
