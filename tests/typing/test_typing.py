"""The type checkers see of the public API what api.py says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).parent / "api.py"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("checker", "arguments"),
    [("mypy", ["--config-file", str(ROOT / "pyproject.toml")]), ("pyright", ["--pythonpath", sys.executable])],
)
def test_the_public_api_is_typed(checker: str, arguments: list[str]) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed (pip install -e '.[lint]')")
    checked = subprocess.run(
        [sys.executable, "-m", checker, *arguments, str(API)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
