"""What these tests share: a model over HTTP, tools as they begin, and what needs an environment of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.interop import weather
from tests.interop.environments import Environment, Unavailable
from tests.model.conftest import model  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTS: Final = Environment(
    "hosts",
    (
        "arq>=0.28,<1",
        "celery>=5.7,<6",
        "dramatiq[redis]>=2.2,<3",
        "granian>=2.8,<3",
        "gunicorn>=27,<28",
        "hypercorn>=0.18,<1",
        "rq>=3,<4",
        "uvicorn>=0.54,<1",
        "uvicorn-worker>=0.4,<1",
    ),
)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    weather.fresh()


def python_of(environment: Environment) -> Path:
    """The Python of an environment; one that cannot be built here skips the test, or fails it."""
    try:
        return environment.python()
    except Unavailable as why:
        if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1":
            pytest.fail(f"{why}, and OTEL_TOOLS_REQUIRE_SIDECAR=1 asks for everything that can be tested")
        pytest.skip(f"no environment {environment.name}: {why}")


@pytest.fixture(scope="module")
def hosts_python() -> Path:
    """The Python of an environment with servers and workers."""
    return python_of(HOSTS)


@pytest.fixture
def passes() -> Callable[[Environment, Path], None]:
    """Run the tests of a file in an environment."""

    def run(environment: Environment, file: Path) -> None:
        python_of(environment)
        done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", file)
        last = done.stdout.strip().splitlines()[-1:] or [""]
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert " passed" in last[0], done.stdout
        assert "skipped" not in last[0], done.stdout

    return run
