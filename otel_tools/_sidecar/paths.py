"""The folders of the sidecar: built programs, and state."""

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
    """The state folder of the sidecar: data, logs, rendered configs and the state file.

    ``$OTEL_TOOLS_STATE_DIR``, else ``$XDG_STATE_HOME/otel-tools/sidecar``, else
    ``~/.local/state/otel-tools/sidecar``.
    """
    if own := os.environ.get("OTEL_TOOLS_STATE_DIR"):
        return Path(own).expanduser().absolute()
    return _base("", "XDG_STATE_HOME", ".local/state") / "sidecar"


def display_path(path: Path) -> str:
    """The path with ``~`` for the home folder."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)


def _base(own_variable: str, xdg_variable: str, under_home: str) -> Path:
    if value := os.environ.get(own_variable):
        return Path(value).expanduser().absolute()
    # By the XDG base directory specification a relative path is invalid and ignored.
    value = os.environ.get(xdg_variable, "")
    base = Path(value) if value.startswith("/") else Path.home() / under_home
    return base / "otel-tools"
