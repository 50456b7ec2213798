"""The sidecar's programs: the Go module of each, and the path of its binary."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from otel_tools._sidecar.alternatives import build_or_docker
from otel_tools._sidecar.configs import collector_dir
from otel_tools._sidecar.errors import BinariesMissingError
from otel_tools._sidecar.paths import cache_dir

_HASH_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Component:
    """Programs that are built together from one Go module.

    Attributes:
        name: its name on the command line.
        packages: the Go package of each program, by the program's name.
        role: its purpose in a few words.
        aliases: other names that a program may have on ``PATH``, by the program's name.
        manifest: files under ``collector/``, beside the Go module, that determine the build.
    """

    name: str
    packages: dict[str, str]
    role: str
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    manifest: tuple[str, ...] = ()

    @property
    def module(self) -> Path:
        """The folder of its ``go.mod``."""
        return collector_dir() / "build" / self.name

    def files(self) -> list[Path]:
        """Every file that determines the build, sorted."""
        roots = [self.module, *(collector_dir() / entry for entry in self.manifest)]
        return sorted(
            path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()
        )

    def build_dir(self) -> Path:
        """The folder of its built programs; it exists once they are built. Its name has a hash of the files."""
        digest = hashlib.sha256()
        for path in self.files():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(collector_dir()).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return cache_dir() / f"{self.name}-{digest.hexdigest()[:_HASH_LENGTH]}"

    def go_version(self) -> tuple[int, ...]:
        """The Go version that its ``go.mod`` requires, such as ``(1, 26)``."""
        found = re.search(r"^go (\d+(?:\.\d+)*)", (self.module / "go.mod").read_text(), re.MULTILINE)
        return tuple(int(part) for part in found[1].split(".")) if found else ()


COMPONENTS = {
    component.name: component
    for component in (
        Component("jaeger", {"jaeger": "github.com/jaegertracing/jaeger/cmd/jaeger"}, "keeps and shows traces"),
        Component(
            "collector",
            {"otel-tools-collector": "."},
            "receives from the tools and passes on",
            aliases={"otel-tools-collector": ("otelcol-contrib", "otelcol")},
            manifest=("builder.yaml",),
        ),
        Component(
            "alertmanager",
            {
                "alertmanager": "github.com/prometheus/alertmanager/cmd/alertmanager",
                "amtool": "github.com/prometheus/alertmanager/cmd/amtool",
            },
            "sends alerts on",
            aliases={"alertmanager": ("prometheus-alertmanager",)},
        ),
        Component(
            "prometheus",
            {
                "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
                "promtool": "github.com/prometheus/prometheus/cmd/promtool",
            },
            "keeps metrics, evaluates alerts",
        ),
        Component(
            "compose",
            {"compose-check": "github.com/compose-spec/compose-go/v2/cmd"},
            "checks docker-compose.yml (for development)",
        ),
    )
}

# The components that the sidecar runs, in the order of starting.
SIDECAR = ("jaeger", "collector", "alertmanager", "prometheus")

_BINARY_NAMES = {"collector": "otel-tools-collector"}


def find(binary: str) -> Path | None:
    """The path of a program such as ``promtool``: the built one, else the one on ``PATH``, else None.

    Raises:
        ValueError: the sidecar has no program of that name.
    """
    for component in COMPONENTS.values():
        if binary in component.packages:
            built = component.build_dir() / binary
            if os.access(built, os.X_OK):
                return built
            found = (shutil.which(name) for name in (binary, *component.aliases.get(binary, ())))
            return next((Path(path) for path in found if path), None)
    raise ValueError(f"no program of the sidecar is called {binary!r}")


def find_all() -> dict[str, Path]:
    """The path of each component's program; without the components whose program is missing."""
    found = {name: find(_BINARY_NAMES.get(name, name)) for name in SIDECAR}
    return {name: path for name, path in found.items() if path}


def require_all() -> dict[str, Path]:
    """The path of each component's program.

    Raises:
        BinariesMissingError: programs are missing; names them and the ways to get them.
    """
    found = find_all()
    missing = [name for name in SIDECAR if name not in found]
    if missing:
        raise BinariesMissingError(
            f"neither built nor on PATH: {', '.join(missing)}",
            build_or_docker(),
        )
    return found
