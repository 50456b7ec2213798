"""docker-compose.yml: valid for compose; images pinned, ports local, resources limited, health watched."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_tools._sidecar.binaries import SIDECAR
from otel_tools._sidecar.configs import collector_dir, compose_file
from otel_tools._sidecar.ports import Ports
from otel_tools._sidecar.programs import make_plan

COLLECTOR = collector_dir()


def compose(binary: Path, path: Path) -> tuple[int, str]:
    """Parse the file as docker compose does; return the exit code and the JSON or the error."""
    done = subprocess.run(  # our own program
        [binary, "-format", "json", path], capture_output=True, text=True, check=False, cwd=path.parent, timeout=180
    )
    return done.returncode, done.stdout + done.stderr


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(compose_file().read_text())["services"]
    return found


def test_compose_accepts_the_file(binaries: Mapping[str, Path]) -> None:
    code, output = compose(binaries["compose-check"], compose_file())
    assert code == 0, output
    project = json.loads(output)
    assert set(project["services"]) == {"prepare", "collector", "jaeger", "prometheus", "alertmanager"}
    used = {volume["source"] for service in project["services"].values() for volume in service["volumes"]}
    assert {name for name in used if "/" not in name} == set(project["volumes"])


@pytest.mark.parametrize("layout", ["checkout", "wheel"])
def test_every_mounted_path_exists(layout: str, binaries: Mapping[str, Path], tmp_path: Path) -> None:
    # In the wheel docker-compose.yml lies among the configs, not beside their folder; a variable says where they are.
    configs = tmp_path / "collector"
    shutil.copytree(COLLECTOR, configs, ignore=shutil.ignore_patterns("build"))
    copy = (configs if layout == "wheel" else tmp_path) / "docker-compose.yml"
    text = compose_file().read_text()
    if layout == "wheel":
        text = text.replace("${OTEL_TOOLS_COLLECTOR_DIR:-./collector}", str(configs))
    copy.write_text(text)
    code, output = compose(binaries["compose-check"], copy)
    assert code == 0, output
    mounted = [
        Path(volume["source"])
        for service in json.loads(output)["services"].values()
        for volume in service["volumes"]
        if volume["type"] == "bind"
    ]
    assert len(mounted) == 5
    assert [path for path in mounted if not path.is_relative_to(configs) or not path.exists()] == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    image: jaegertracing", "    imagee: jaegertracing"),
        ("condition: service_completed_successfully", "condition: service_is_well"),
        ("  cap_drop: [ALL]", "  cap_drop: ALL"),
    ],
)
def test_compose_refuses_a_broken_file(right: str, wrong: str, binaries: Mapping[str, Path], tmp_path: Path) -> None:
    text = compose_file().read_text()
    assert right in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace(right, wrong, 1))
    code, output = compose(binaries["compose-check"], broken)
    assert code != 0, output


def test_every_published_port_is_on_loopback() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert len(published) == 6
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{OTEL_TOOLS_\w+:-(\d+)\}:\1", port), port


def test_every_service_has_limits_a_health_check_and_restarts() -> None:
    for name, service in services().items():
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        if name != "prepare":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][:2] == ["CMD", "/probe/busybox"], name
            assert service["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}, name


def test_gos_memory_limit_is_below_that_of_the_memory_limiter() -> None:
    limiter = yaml.safe_load((COLLECTOR / "config.yaml").read_text())["processors"]["memory_limiter"]
    collector = services()["collector"]
    assert collector["environment"]["GOMEMLIMIT"] == f"{limiter['limit_mib'] - limiter['spike_limit_mib']}MiB"
    memory = collector["deploy"]["resources"]["limits"]["memory"]
    assert int(memory.removesuffix("M")) > limiter["limit_mib"]


def test_the_programs_have_the_same_flags_as_without_docker(tmp_path: Path) -> None:
    # Addresses and paths differ; what decides how a program behaves does not.
    programs = make_plan({name: Path(name) for name in SIDECAR}, Ports(), tmp_path, tmp_path).programs
    for program in programs:
        service = services()[program.name]
        for flag in ("--enable-feature", "--storage.tsdb.retention.time", "--storage.tsdb.retention.size", "--cluster"):
            assert [text for text in service["command"] if text.startswith(flag)] == [
                text for text in program.argv if text.startswith(flag)
            ], flag
    (collector,) = [program for program in programs if program.name == "collector"]
    assert collector.env["GOMEMLIMIT"] == services()["collector"]["environment"]["GOMEMLIMIT"]


def go_version(component: str, module: str) -> str:
    found = re.search(
        rf"(?m)^\s*(?:require )?{re.escape(module)} v(\S+)", (COLLECTOR / "build" / component / "go.mod").read_text()
    )
    assert found, f"{module} is not in the go.mod of {component}"
    return found[1]


def test_the_images_have_the_versions_that_are_built() -> None:
    images = {name: service["image"] for name, service in services().items()}
    for image in images.values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-musl)?", image), f"{image} is not pinned"
    collector = yaml.safe_load((COLLECTOR / "builder.yaml").read_text())["dist"]["version"]
    assert images["collector"] == f"otel/opentelemetry-collector-contrib:{collector}"
    # The module of Prometheus 3.15.0 is called v0.315.0; that of Jaeger 2.n.m was v1.(n + 63).m.
    _, minor, patch = go_version("prometheus", "github.com/prometheus/prometheus").split(".")
    assert images["prometheus"] == f"prom/prometheus:v{int(minor) // 100}.{int(minor) % 100}.{patch}"
    assert (
        images["alertmanager"]
        == f"prom/alertmanager:v{go_version('alertmanager', 'github.com/prometheus/alertmanager')}"
    )
    _, minor, patch = go_version("jaeger", "github.com/jaegertracing/jaeger").split(".")
    assert images["jaeger"] == f"jaegertracing/jaeger:2.{int(minor) - 63}.{patch}"
