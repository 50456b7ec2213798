"""Environments that tests build: kept by what is in them, outside of the tree, and honest where they cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.environments import ROOT, Environment, Unavailable
from tests.interop.test_frameworks import FILES, FOLDER, TOGETHER, WHERE


def test_it_is_kept_outside_of_the_tree_by_what_is_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, same, other = (Environment("some", (package,)) for package in ("mcp>=2", "mcp>=2", "mcp>=1"))
    assert one.folder == same.folder != other.folder
    assert one.folder.parent == tmp_path / "otel-tools" / "interop"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert one.folder.is_relative_to(Path.home() / ".cache")


def test_it_has_what_otel_tools_needs() -> None:
    assert "mcp>=2" in Environment("some", ("mcp>=2",)).requirements
    assert any(each.startswith("opentelemetry-sdk") for each in TOGETHER.requirements)


def test_what_cannot_be_built_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    environment = Environment("none", ("otel-tools-interop-no-such-package",))
    for _ in range(2):
        with pytest.raises(Unavailable, match="No matching distribution"):
            environment.python()
    assert not list(environment.folder.parent.iterdir())


def test_no_place_to_build_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "otel-tools").write_text("a file where a folder is needed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="cannot be made"):
        Environment("nowhere", ()).python()


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("1", "failed")])
def test_it_is_skipped_or_failed_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, passes: object, required: str, outcome: str
) -> None:
    (tmp_path / "otel-tools").write_text("a file where a folder is needed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OTEL_TOOLS_REQUIRE_SIDECAR", required)
    assert callable(passes)
    expected = {"skipped": pytest.skip.Exception, "failed": pytest.fail.Exception}[outcome]
    with pytest.raises(expected, match="cannot be made"):
        passes(Environment(outcome, ()), FOLDER / FILES[0])


def test_every_file_has_its_environment() -> None:
    assert set(WHERE) <= set(FILES)
    assert FOLDER.is_relative_to(ROOT)
