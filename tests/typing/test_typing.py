"""Type checkers see of the public API what api.py says, and accept the decorated methods of methods.py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FILES = [Path(__file__).parent / name for name in ("api.py", "methods.py")]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("checker", "arguments"),
    [("mypy", ["--config-file", str(ROOT / "pyproject.toml")]), ("pyright", ["--pythonpath", sys.executable])],
)
def test_type_checkers_see_what_the_files_say(checker: str, arguments: list[str]) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed (pip install -e '.[lint]')")
    checked = subprocess.run(
        [sys.executable, "-m", checker, *arguments, *map(str, FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
