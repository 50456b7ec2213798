"""The shipped configs: their folder, and their rendering for one run on loopback."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from otel_tools._sidecar.errors import SidecarError
from otel_tools._sidecar.ports import HOST, Ports

if TYPE_CHECKING:
    from collections.abc import Mapping

# The collector and Jaeger read their addresses from environment variables. Prometheus and Alertmanager
# support no variables, so their addresses are replaced in the text.
_COPIED = ("config.yaml", "jaeger")
_RENDERED = ("prometheus", "alertmanager")

_URL_FILE = re.compile(r"(?<=url_file: )\S+")


def collector_dir() -> Path:
    """The folder of configs, rules and build manifests: in the installed package, else in the checkout.

    Raises:
        SidecarError: neither has them.
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
    """The path of the shipped ``docker-compose.yml``."""
    configs = collector_dir()
    inside = configs / "docker-compose.yml"
    return inside if inside.is_file() else configs.parent / "docker-compose.yml"


def alert_names() -> list[str]:
    """The names of the alerts in the shipped rules, in their order there."""
    rules = sorted((collector_dir() / "prometheus" / "rules").glob("*.yml"))
    text = "".join(path.read_text() for path in rules)
    return list(dict.fromkeys(re.findall(r"^\s*- alert: (\w+)", text, re.MULTILINE)))


def render(target: Path, ports: Ports, webhook_file: Path, replace: Mapping[str, str] | None = None) -> Path:
    """Render the configs for one run.

    Args:
        target: the folder to write; what is in it is deleted.
        ports: the ports of the programs.
        webhook_file: the file with the webhook URL for alerts.
        replace: more texts to replace in the configs and rules of Prometheus and Alertmanager, such as
            ``{"scrape_interval: 10s": "scrape_interval: 1s"}``.

    Returns:
        ``target``.

    Raises:
        SidecarError: a text to replace does not occur.
    """
    source = collector_dir()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in (*_COPIED, *_RENDERED):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*_test.yml"))
        else:
            shutil.copyfile(source / name, target / name)
    files = [path for name in _RENDERED for path in sorted((target / name).rglob("*.yml"))]
    _replace(files, {**_addresses(ports), **(replace or {})})
    for path in files:
        path.write_text(_URL_FILE.sub(lambda _: str(webhook_file), path.read_text()))
    return target


def _addresses(ports: Ports) -> dict[str, str]:
    """The addresses in the shipped configs, which are those in docker compose, and those on loopback."""
    return {
        "collector:8889": f"{HOST}:{ports.exporter}",
        "collector:8888": f"{HOST}:{ports.collector_metrics}",
        "jaeger:8888": f"{HOST}:{ports.jaeger_metrics}",
        "prometheus:9090": f"{HOST}:{ports.prometheus}",
        "alertmanager:9093": f"{HOST}:{ports.alertmanager}",
    }


def _replace(files: list[Path], texts: Mapping[str, str]) -> None:
    # In one pass and the longest first, so that no replacement is itself replaced.
    pattern = re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)))
    missing = set(texts)

    def replacement(match: re.Match[str]) -> str:
        missing.discard(match[0])
        return texts[match[0]]

    for path in files:
        path.write_text(pattern.sub(replacement, path.read_text()))
    if missing:
        names = ", ".join(sorted(repr(text) for text in missing))
        raise SidecarError(f"to be replaced, but nowhere in the configs of Prometheus and Alertmanager: {names}")
