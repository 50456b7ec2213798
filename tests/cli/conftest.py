"""Fixtures that run the command line in a process and a home folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from otel_tools._sidecar.paths import cache_dir


class Run(Protocol):
    """Runs ``otel-tools``."""

    def __call__(
        self, *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it with these additional variables and check its exit code."""


@pytest.fixture(autouse=True)
def default_signal_handlers() -> Iterator[None]:
    """Restore the default handlers: a script's background and nohup ignore signals, and children would inherit that."""
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(tmp_path: Path, state: Path) -> Run:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    own = {
        "HOME": str(tmp_path),
        "OTEL_TOOLS_STATE_DIR": str(state),
        "OTEL_TOOLS_CACHE_DIR": str(cache_dir().parent),  # the built programs
        "NO_PROXY": "localhost,127.0.0.1",
    }

    def otel_tools(
        *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "otel_tools", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            env={**inherited, **own, **(variables or {})},
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return otel_tools
