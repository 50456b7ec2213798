"""What these tests share: a model over HTTP, tools as they begin, and what needs an environment of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.interop import weather
from tests.interop.environments import Unavailable
from tests.model.conftest import model  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.environments import Environment


@pytest.fixture(autouse=True)
def _fresh() -> None:
    weather.fresh()


@pytest.fixture
def passes() -> Callable[[Environment, Path], None]:
    """Run the tests of a file in an environment; one that cannot be built here skips the test, or fails it."""

    def run(environment: Environment, file: Path) -> None:
        try:
            environment.python()
        except Unavailable as why:
            if os.environ.get("OTEL_TOOLS_REQUIRE_SIDECAR") == "1":
                pytest.fail(f"{why}, and OTEL_TOOLS_REQUIRE_SIDECAR=1 asks for everything that can be tested")
            pytest.skip(f"no environment {environment.name}: {why}")
        done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", file)
        last = done.stdout.strip().splitlines()[-1:] or [""]
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert " passed" in last[0], done.stdout
        assert "skipped" not in last[0], done.stdout

    return run
