"""The command as a whole: its verbs, its exit codes, its behaviour off a terminal."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_tools import __version__

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_how_to_install_it_in_one_line(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from otel_tools._cli import main; main()"
    done = python(code)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'otel_tools[cli]'" in done.stderr


def test_an_import_that_fails_for_another_reason_is_not_hidden() -> None:
    done = python("import sys; sys.modules['otel_tools._sidecar'] = None; from otel_tools._cli import main; main()")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_it_tells_its_version(run: Run) -> None:
    assert run("--version").stdout == f"otel-tools {__version__}\n"


def test_its_help_names_every_verb_and_the_exit_codes(run: Run) -> None:
    shown = run("--help").stdout
    for verb in ("demo", "doctor", "sidecar"):
        assert f" {verb} " in shown
    assert "Exit codes" in shown
    for words in ("doctor", "sidecar build", "sidecar up", "sidecar status", "sidecar down"):
        assert "Exit codes: 0" in run(*words.split(), "--help").stdout


def test_a_verb_does_not_wait_for_what_another_needs() -> None:
    done = python(
        "import sys\n"
        "from otel_tools._cli.app import app\n"
        "app(['sidecar', 'status', '--help'], standalone_mode=False)\n"
        "heavy = {'openai', 'opentelemetry.sdk', 'grpc', 'otel_tools._cli.demo', 'otel_tools._cli.doctor'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_an_unknown_verb_is_wrong_usage_and_a_near_one_is_offered(run: Run) -> None:
    assert "No such command 'docter'" in run("docter", code=2).stderr
    assert "No such option" in run("sidecar", "up", "--detatch", code=2).stderr


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1", "TERM": "xterm-256color"}])
def test_off_a_terminal_it_is_plain(run: Run, variables: dict[str, str]) -> None:
    shown = run("sidecar", "status", code=3, variables=variables).stdout
    assert "\x1b" not in shown
    assert shown == "The sidecar does not run. Start it: otel-tools sidecar up\n"
