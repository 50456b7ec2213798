"""The shipped configs and manifests: the real programs accept them and refuse broken ones; they agree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_tools._sidecar.binaries import COMPONENTS
from otel_tools._sidecar.configs import collector_dir, compose_file
from otel_tools._sidecar.ports import Ports
from otel_tools._telemetry.content.secret_shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTOR = collector_dir()
CONFIG = COLLECTOR / "config.yaml"
JAEGER = COLLECTOR / "jaeger" / "config.yaml"
BUILT = COLLECTOR / "build" / "collector"


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    done = subprocess.run(  # our own programs
        command, capture_output=True, text=True, check=False, cwd=cwd, timeout=280, env={**os.environ, **(env or {})}
    )
    return done.returncode, done.stdout + done.stderr


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def without_variables(value: Any) -> Any:
    """A config with every variable at its default."""
    text = re.sub(r"\$\{env:\w+:-([^}]*)\}", r"\1", json.dumps(value))
    return json.loads(text)


# --- the collector ---


def validate(binary: Path, config: Path, data: Path) -> tuple[int, str]:
    return run(
        binary,
        "validate",
        f"--config=file:{config}",
        env={"OTEL_TOOLS_DATA_DIR": str(data), "OTEL_TOOLS_JAEGER_DATA_DIR": str(data)},
    )


def test_the_collector_accepts_its_config(binaries: Mapping[str, Path], tmp_path: Path) -> None:
    code, output = validate(binaries["otel-tools-collector"], CONFIG, tmp_path)
    assert code == 0, output


BROKEN = {
    "a key that nobody knows": ("check_interval: 1s", "check_intervall: 1s", "check_intervall"),
    "a part that is not built in": ("delta_to_cumulative]", "batch]", "batch"),
    "a part that is built in and not configured": ("[memory_limiter, redaction]", "[memory_limiter, filter]", "filter"),
    "an exporter that is not there": ("exporters: [file/logs]", "exporters: [file/other]", "file/other"),
    "waiting for a queue on disk": (
        "      sizer: items",
        "      sizer: items\n      wait_for_result: true",
        "wait_for_result",
    ),
    "a queue smaller than its thresholds": ("max_size: 1073741824", "max_size: 1", "max size"),
    "a spike above the limit": ("spike_limit_mib: 102", "spike_limit_mib: 1024", "spike_limit_mib"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_the_collector_refuses_a_broken_config(mistake: str, binaries: Mapping[str, Path], tmp_path: Path) -> None:
    right, wrong, message = BROKEN[mistake]
    text = CONFIG.read_text()
    assert right in text
    broken = tmp_path / "config.yaml"
    broken.write_text(text.replace(right, wrong, 1))
    code, output = validate(binaries["otel-tools-collector"], broken, tmp_path)
    assert code != 0
    assert message in output


def test_the_collector_stores_data_before_it_confirms() -> None:
    config = without_variables(load(CONFIG))
    pipelines = config["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
    for pipeline in pipelines.values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert not any(name.startswith("batch") for name in pipeline["processors"])
    (exporter,) = pipelines["traces"]["exporters"]
    jaeger = config["exporters"][exporter]
    assert jaeger["retry_on_failure"]["max_elapsed_time"] == "0s"
    storage = config["extensions"][jaeger["sending_queue"]["storage"]]
    assert storage["fsync"] is True
    assert jaeger["sending_queue"]["storage"] in config["service"]["extensions"]


def test_a_batch_is_smaller_than_jaegers_limit() -> None:
    batch = load(CONFIG)["exporters"]["otlp_grpc/jaeger"]["sending_queue"]["batch"]
    taken = load(JAEGER)["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"]
    assert batch["sizer"] == "bytes"
    assert batch["max_size"] * 2 <= taken * 1024 * 1024


def test_the_collector_knows_the_same_shapes_of_secrets_as_the_package() -> None:
    blocked = load(CONFIG)["processors"]["redaction"]["blocked_values"]
    shapes = [shape.re2 for shape in SHAPES]
    start = blocked.index(shapes[0])
    assert blocked[start : start + len(shapes)] == shapes


def test_the_patterns_for_secrets_are_fast() -> None:
    # A pattern that begins with fixed text is found a thousand times faster; the collector looks at every attribute.
    for pattern in load(CONFIG)["processors"]["redaction"]["blocked_values"]:
        assert re.match(r"(\(\?s\))?[\w:/-]{2}", pattern), pattern
        assert not pattern.startswith("(?i)"), pattern


# --- Jaeger ---


def test_jaeger_accepts_its_config(binaries: Mapping[str, Path], tmp_path: Path) -> None:
    code, output = validate(binaries["jaeger"], JAEGER, tmp_path)
    assert code == 0, output


@pytest.mark.parametrize(
    ("right", "wrong"), [("ephemeral: false", "ephemeralish: false"), ("exporters: [jaeger", "exporters: [yeager")]
)
def test_jaeger_refuses_a_broken_config(right: str, wrong: str, binaries: Mapping[str, Path], tmp_path: Path) -> None:
    text = JAEGER.read_text()
    assert right in text
    broken = tmp_path / "config.yaml"
    broken.write_text(text.replace(right, wrong, 1))
    code, output = validate(binaries["jaeger"], broken, tmp_path)
    assert code != 0, output


def test_jaeger_stores_spans_before_it_confirms_them() -> None:
    config = load(JAEGER)
    badger = config["extensions"]["jaeger_storage"]["backends"]["spans"]["badger"]
    assert badger["ephemeral"] is False
    assert badger["consistency"] is True
    assert "processors" not in config["service"]["pipelines"]["traces"]
    assert "queue" not in config["exporters"]["jaeger_storage_exporter"]


# --- addresses ---


def addresses(value: Any, path: str = "") -> dict[str, str]:
    """Every address in a config, by its path there."""
    found = {}
    for key, inside in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
    ):
        here = f"{path}/{key}"
        if key == "endpoint":
            found[here] = str(inside)
        elif key == "host":
            found[here] = f"{inside}:{value['port']}"
        else:
            found |= addresses(inside, here)
    return found


def test_the_default_addresses_are_the_sidecars_ports_on_loopback() -> None:
    ports = Ports()
    found = addresses(without_variables(load(CONFIG))) | addresses(without_variables(load(JAEGER)), "jaeger")
    assert set(found.values()) == {
        f"127.0.0.1:{port}"
        for port in (
            ports.otlp_grpc,
            ports.otlp_http,
            ports.collector_health,
            ports.exporter,
            ports.collector_metrics,
            ports.jaeger_otlp,  # twice: where Jaeger listens and where the collector sends
            ports.jaeger_query,
            ports.jaeger_health,
            ports.jaeger_metrics,
            0,  # Jaeger's gRPC query, which nobody uses
        )
    }


def test_the_readme_names_every_variable() -> None:
    used = {
        name
        for path in (CONFIG, JAEGER, compose_file())
        for name in re.findall(r"\bOTEL_TOOLS_[A-Z_]+", path.read_text())
    }
    described = set(re.findall(r"`(OTEL_TOOLS_[A-Z_]+)`", (COLLECTOR / "README.md").read_text()))
    assert used == described


# --- what is built ---


def go_version(component: str, module: str) -> str:
    found = re.search(
        rf"(?m)^\s*(?:require )?{re.escape(module)} v(\S+)", (COLLECTOR / "build" / component / "go.mod").read_text()
    )
    assert found, f"{module} is not in the go.mod of {component}"
    return found[1]


def test_the_collector_is_built_only_from_its_manifest() -> None:
    manifest = load(COLLECTOR / "builder.yaml")
    listed = {
        entry["gomod"].split()[0]: entry["gomod"].split()[1]
        for kind in ("receivers", "processors", "exporters", "extensions", "connectors", "providers")
        for entry in manifest.get(kind, [])
    }
    for module, version in listed.items():
        assert f"v{go_version('collector', module)}" == version
    parts = (BUILT / "components.go").read_text() + (BUILT / "main.go").read_text()
    imported = set(
        re.findall(
            r'(?m)^\t\w+ "([\w./-]+(?:receiver|processor|exporter|connector|extension|provider|storage))"$', parts
        )
    )
    assert imported == set(listed)


def test_the_collector_has_only_components_that_its_config_uses() -> None:
    config = load(CONFIG)
    used = {
        name.split("/")[0] for kind in ("receivers", "processors", "exporters", "extensions") for name in config[kind]
    }
    folders = {
        "otlp": "otlpreceiver",
        "otlp_grpc": "otlpexporter",
        "prometheus": "prometheusexporter",
        "file": "fileexporter",
        "memory_limiter": "memorylimiterprocessor",
        "delta_to_cumulative": "deltatocumulativeprocessor",
        "redaction": "redactionprocessor",
        "transform": "transformprocessor",
        "health_check": "healthcheckextension",
        "file_storage": "filestorage",
    }
    manifest = load(COLLECTOR / "builder.yaml")
    listed = {
        entry["gomod"].split()[0].rsplit("/", 1)[1]
        for kind in ("receivers", "processors", "exporters", "extensions")
        for entry in manifest[kind]
    }
    assert {folders[name] for name in used} == listed


@pytest.mark.slow
def test_the_builder_writes_the_committed_files(tmp_path: Path) -> None:
    if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") != "1" or shutil.which("go") is None:
        pytest.skip("needs Go and, the first time, the network: OTEL_TOOLS_REQUIRE_SIDECAR=1")
    shutil.copy(COLLECTOR / "builder.yaml", tmp_path)
    (tmp_path / "build").mkdir()
    version = load(COLLECTOR / "builder.yaml")["dist"]["version"]
    code, output = run(
        "go",
        "run",
        f"go.opentelemetry.io/collector/cmd/builder@v{version}",
        "--config=builder.yaml",
        "--skip-compilation",
        cwd=tmp_path,
    )
    assert code == 0, output
    written = {path.name: path.read_text() for path in (tmp_path / "build" / "collector").iterdir()}
    assert written == {path.name: path.read_text() for path in BUILT.iterdir()}


def test_every_component_has_its_checksums() -> None:
    for component in COMPONENTS.values():
        assert (component.module / "go.sum").stat().st_size > 1000, component.name
        mod = (component.module / "go.mod").read_text()
        assert "\nreplace " not in mod, "a replaced module is not what its checksum says"
        assert f"module github.com/otel-tools/otel_tools/collector/build/{component.name}\n" in mod
