"""Environments of their own for what is not among the project's dependencies: built once, kept outside of the tree."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_LONGEST_BUILD: Final = 280  # seconds, less than a test may take

_INSTALL: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")

TESTING: Final = ("pytest>=8.3", "pytest-asyncio>=0.25.3", "pytest-timeout>=2.3")


class Unavailable(Exception):  # noqa: N818 - no error: what it says is why a test is skipped
    """An environment could not be built; says why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with otel_tools' dependencies, pytest and some packages; the tree itself is on its path.

    Attributes:
        name: What it is called in its folder's name.
        packages: What is installed beside, as pip takes it.
    """

    name: str
    packages: tuple[str, ...]

    @property
    def requirements(self) -> list[str]:
        """Everything that is asked of pip."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        return [*project["dependencies"], *TESTING, *self.packages]

    @property
    def folder(self) -> Path:
        """Where it is kept: another one for other requirements or another Python."""
        given = os.environ.get("XDG_CACHE_HOME", "")
        cache = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
        # Made of the Python below the tests' own environment, which may be gone when the next one asks.
        said = "\n".join([sys.version, sys.base_prefix, *self.requirements])
        return cache / "otel-tools" / "interop" / f"{self.name}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def python(self) -> Path:
        """Its Python; built first, where it is not there.

        Raises:
            Unavailable: It cannot be built here.
        """
        return _python(self)

    def run(self, *arguments: str | Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run its Python in the tree's top folder, to the end.

        Args:
            arguments: Of the command.
            seconds: How long it may take.

        Raises:
            Unavailable: The environment cannot be built here.
        """
        return subprocess.run(
            [self.python(), *arguments],
            cwd=ROOT,
            env=clean({"PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )


def clean(more: dict[str, str]) -> dict[str, str]:
    """The variables of this process that are not about its own packages, telemetry, keys or coverage."""
    dropped = ("OTEL_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "PYTEST_", "COV", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | more


@functools.cache
def _outcome(environment: Environment) -> Path | Unavailable:
    """What came of building it, the first time that a process asked."""
    try:
        return _built(environment)
    except Unavailable as reason:
        return reason


def _python(environment: Environment) -> Path:
    outcome = _outcome(environment)
    if isinstance(outcome, Unavailable):
        raise outcome
    return outcome


def _built(environment: Environment) -> Path:
    folder = environment.folder
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Moved into place when all is there: another process may be building it too, and this one may be killed.
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
                place = Path(temporary, "venv")
                _step([sys.executable, "-m", "venv", str(place)])
                _step([str(_python_of(place)), *_INSTALL, *environment.requirements])
                try:
                    place.rename(folder)
                except OSError:
                    if not folder.exists():
                        raise
        except OSError as error:
            raise Unavailable(f"{folder} cannot be made: {error}") from error
    return _python_of(folder)


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _step(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, env=clean({}), capture_output=True, text=True, timeout=_LONGEST_BUILD, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"not built within {_LONGEST_BUILD} s: {' '.join(command[1:4])}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
        raise Unavailable(f"{' '.join(command[1:4])}: {said}")
