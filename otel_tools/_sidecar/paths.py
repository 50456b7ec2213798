"""Where the sidecar keeps what it builds and what it writes."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of the built programs.

    ``$OTEL_TOOLS_CACHE_DIR/sidecar``, else ``$XDG_CACHE_HOME/otel-tools/sidecar``, else
    ``~/.cache/otel-tools/sidecar``.
    """
    return _base("OTEL_TOOLS_CACHE_DIR", "XDG_CACHE_HOME", ".cache") / "sidecar"


def state_dir() -> Path:
    """The folder of a running sidecar: its data, logs, rendered configs and pid file.

    ``$OTEL_TOOLS_STATE_DIR``, else ``$XDG_STATE_HOME/otel-tools/sidecar``, else
    ``~/.local/state/otel-tools/sidecar``.
    """
    if own := os.environ.get("OTEL_TOOLS_STATE_DIR"):
        return Path(own).expanduser().absolute()
    return _base("", "XDG_STATE_HOME", ".local/state") / "sidecar"


def short(path: Path) -> str:
    """The path as a person writes it, with ``~`` for the home folder."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)


def _base(own: str, xdg: str, under_home: str) -> Path:
    if value := os.environ.get(own):
        return Path(value).expanduser().absolute()
    # The XDG rules: a relative path is invalid and is ignored.
    value = os.environ.get(xdg, "")
    base = Path(value) if value.startswith("/") else Path.home() / under_home
    return base / "otel-tools"
