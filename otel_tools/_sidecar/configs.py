"""The shipped configs: where they are, and their copy for one run on loopback."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from otel_tools._sidecar.errors import SidecarError
from otel_tools._sidecar.ports import HOST, Ports

if TYPE_CHECKING:
    from collections.abc import Mapping

# What is copied for a run. The first two take their addresses from environment variables; Prometheus and
# Alertmanager know no variables, so their addresses are replaced as plain text.
_AS_THEY_ARE = ("config.yaml", "jaeger")
_REPLACED = ("prometheus", "alertmanager")

_URL_FILE = re.compile(r"(?<=url_file: )\S+")


def collector_dir() -> Path:
    """The folder of configs, rules and build manifests: in the installed package, else in the checkout.

    Raises:
        SidecarError: neither has it.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "collector", package.parent / "collector"):
        if (folder / "builder.yaml").is_file():
            return folder
    raise SidecarError(
        f"the sidecar's configs are neither in {package} nor beside it",
        "Install otel_tools again: pip install --force-reinstall otel_tools",
    )


def compose_file() -> Path:
    """The shipped ``docker-compose.yml``."""
    configs = collector_dir()
    inside = configs / "docker-compose.yml"
    return inside if inside.is_file() else configs.parent / "docker-compose.yml"


def alert_names() -> list[str]:
    """The alerts that the shipped rules define, in their order."""
    rules = sorted((collector_dir() / "prometheus" / "rules").glob("*.yml"))
    text = "".join(path.read_text() for path in rules)
    return list(dict.fromkeys(re.findall(r"^\s*- alert: (\w+)", text, re.MULTILINE)))


def render(target: Path, ports: Ports, webhook_file: Path, replace: Mapping[str, str] | None = None) -> Path:
    """Copy the configs for one run, with its addresses in them.

    Args:
        target: the folder to write, replaced as a whole.
        ports: where the programs listen.
        webhook_file: the file with the address that alerts go to.
        replace: more plain texts to replace in the configs and rules of Prometheus and Alertmanager,
            such as ``{"scrape_interval: 10s": "scrape_interval: 1s"}``.

    Returns:
        ``target``.

    Raises:
        SidecarError: a text to replace is nowhere in them: the copy would silently not be what was asked for.
    """
    source = collector_dir()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in (*_AS_THEY_ARE, *_REPLACED):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*_test.yml"))
        else:
            shutil.copyfile(source / name, target / name)
    files = [path for name in _REPLACED for path in sorted((target / name).rglob("*.yml"))]
    _replace(files, {**_addresses(ports), **(replace or {})})
    for path in files:
        path.write_text(_URL_FILE.sub(lambda _: str(webhook_file), path.read_text()))
    return target


def _addresses(ports: Ports) -> dict[str, str]:
    """The shipped addresses, those of docker compose, and what stands for them on loopback."""
    return {
        "collector:8889": f"{HOST}:{ports.exporter}",
        "collector:8888": f"{HOST}:{ports.collector_metrics}",
        "jaeger:8888": f"{HOST}:{ports.jaeger_metrics}",
        "prometheus:9090": f"{HOST}:{ports.prometheus}",
        "alertmanager:9093": f"{HOST}:{ports.alertmanager}",
    }


def _replace(files: list[Path], texts: Mapping[str, str]) -> None:
    # In one pass, the longest first, so that nothing is replaced in what a replacement brought in.
    pattern = re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)))
    missing = set(texts)

    def new(match: re.Match[str]) -> str:
        missing.discard(match[0])
        return texts[match[0]]

    for path in files:
        path.write_text(pattern.sub(new, path.read_text()))
    if missing:
        names = ", ".join(sorted(repr(text) for text in missing))
        raise SidecarError(f"to be replaced, but nowhere in the configs of Prometheus and Alertmanager: {names}")
