"""The sidecar's four programs: how each is run, and what the supervisor is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from otel_tools._sidecar.ports import HOST, Ports

PLAN_FILE = "plan.json"
START_WITHIN = 60.0  # seconds; a Badger store that has much to recover takes its time


@dataclass(frozen=True, slots=True)
class Program:
    """One program to run.

    Attributes:
        name: of the component.
        argv: the command.
        env: variables beside the inherited ones.
        health: the address that answers 2xx when it is well.
        log: where its output goes.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    health: str
    log: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor runs, in the order of starting.

    Attributes:
        programs: the first one starts first and stops last.
        ports: by name, for the record.
        start_within: seconds until all must be healthy.
    """

    programs: tuple[Program, ...]
    ports: dict[str, int]
    start_within: float

    def write(self, folder: Path) -> None:
        """Put the plan into ``folder``."""
        (folder / PLAN_FILE).write_text(json.dumps(asdict(self), indent=2, default=str))

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan in ``folder``."""
        raw = json.loads((folder / PLAN_FILE).read_text())
        programs = tuple(
            Program(**{**program, "argv": tuple(program["argv"]), "log": Path(program["log"])})
            for program in raw["programs"]
        )
        return cls(programs=programs, ports=raw["ports"], start_within=raw["start_within"])


def plan(
    binaries: dict[str, Path],
    ports: Ports,
    configs: Path,
    folder: Path,
    start_within: float = START_WITHIN,
) -> Plan:
    """The four programs on these ports.

    Args:
        binaries: the program of each component.
        ports: where they listen.
        configs: the folder of the rendered configs.
        folder: the state folder, for data and logs.
        start_within: seconds until all must be healthy.
    """
    data = {name: folder / "data" / name for name in binaries}
    for path in data.values():
        path.mkdir(parents=True, exist_ok=True)
    host = {"OTEL_TOOLS_HOST": HOST}

    def program(name: str, *arguments: str, health: str, env: dict[str, str] | None = None) -> Program:
        return Program(name, (str(binaries[name]), *arguments), env or {}, health, folder / "logs" / f"{name}.log")

    return Plan(
        programs=(
            program(
                "jaeger",
                f"--config=file:{configs / 'jaeger' / 'config.yaml'}",
                health=f"http://{HOST}:{ports.jaeger_health}/status",
                env=host
                | {
                    "OTEL_TOOLS_JAEGER_OTLP_PORT": str(ports.jaeger_otlp),
                    "OTEL_TOOLS_JAEGER_QUERY_PORT": str(ports.jaeger_query),
                    "OTEL_TOOLS_JAEGER_HEALTH_PORT": str(ports.jaeger_health),
                    "OTEL_TOOLS_JAEGER_METRICS_PORT": str(ports.jaeger_metrics),
                    "OTEL_TOOLS_JAEGER_DATA_DIR": str(data["jaeger"]),
                    # Else it traces the questions it is asked, to where the tools' spans go.
                    "OTEL_TRACES_SAMPLER": "always_off",
                },
            ),
            program(
                "collector",
                f"--config=file:{configs / 'config.yaml'}",
                health=f"http://{HOST}:{ports.collector_health}/",
                env=host
                | {
                    "OTEL_TOOLS_OTLP_GRPC_PORT": str(ports.otlp_grpc),
                    "OTEL_TOOLS_OTLP_HTTP_PORT": str(ports.otlp_http),
                    "OTEL_TOOLS_HEALTH_PORT": str(ports.collector_health),
                    "OTEL_TOOLS_EXPORTER_PORT": str(ports.exporter),
                    "OTEL_TOOLS_COLLECTOR_METRICS_PORT": str(ports.collector_metrics),
                    "OTEL_TOOLS_JAEGER_OTLP": f"{HOST}:{ports.jaeger_otlp}",
                    "OTEL_TOOLS_DATA_DIR": str(data["collector"]),
                    # Four fifths of config.yaml's memory limit.
                    "GOMEMLIMIT": "410MiB",
                },
            ),
            program(
                "alertmanager",
                f"--config.file={configs / 'alertmanager' / 'alertmanager.yml'}",
                f"--storage.path={data['alertmanager']}",
                f"--web.listen-address={HOST}:{ports.alertmanager}",
                f"--web.external-url=http://{HOST}:{ports.alertmanager}",
                # One host: without this it opens a cluster port on every address.
                "--cluster.listen-address=",
                health=f"http://{HOST}:{ports.alertmanager}/-/ready",
            ),
            program(
                "prometheus",
                f"--config.file={configs / 'prometheus' / 'prometheus.yml'}",
                f"--storage.tsdb.path={data['prometheus']}",
                "--storage.tsdb.retention.time=15d",
                "--storage.tsdb.retention.size=2GB",
                f"--web.listen-address={HOST}:{ports.prometheus}",
                f"--web.external-url=http://{HOST}:{ports.prometheus}",
                "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
                health=f"http://{HOST}:{ports.prometheus}/-/ready",
            ),
        ),
        ports=ports.as_dict(),
        start_within=start_within,
    )
