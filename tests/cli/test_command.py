"""The command as a whole: its verbs, its exit codes, its output off a terminal, and systems without ``fcntl``."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_tools import __version__

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def main(*arguments: str, without: str) -> subprocess.CompletedProcess[str]:
    """Run the command where a module cannot be imported."""
    return python(
        f"import sys; sys.modules[{without!r}] = None; sys.argv = ['otel-tools', *{arguments!r}]\n"
        "from otel_tools._cli import main\n"
        "main()\n"
    )


def listed(shown: str) -> dict[str, str]:
    """The verbs that a help text lists, each with its line; a verb of two lines has only the first."""
    return dict(re.findall(r"^  (\w+) +(\S.*)$", shown.partition("Commands:\n")[2].partition("\n\n")[0], re.MULTILINE))


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_cli_extra_one_line_says_how_to_install_it(missing: str) -> None:
    done = main(without=missing)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'otel_tools[cli]'" in done.stderr


def test_another_failing_import_is_not_hidden() -> None:
    done = main(without="otel_tools._sidecar")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_version_prints_the_version(run: Run) -> None:
    assert run("--version").stdout == f"otel-tools {__version__}\n"


def test_help_names_every_verb_and_the_exit_codes(run: Run) -> None:
    shown = run("--help").stdout
    for verb in ("demo", "doctor", "sidecar"):
        assert f" {verb} " in shown
    assert "Exit codes" in shown
    for words in ("doctor", "sidecar build", "sidecar up", "sidecar status", "sidecar down"):
        assert "Exit codes: 0" in run(*words.split(), "--help").stdout


def test_a_verb_does_not_import_what_another_needs() -> None:
    done = python(
        "import sys\n"
        "from otel_tools._cli.app import app\n"
        "app(['sidecar', 'status', '--help'], standalone_mode=False)\n"
        "heavy = {'openai', 'opentelemetry.sdk', 'grpc', 'otel_tools._cli.demo', 'otel_tools._cli.doctor'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("group", [[], ["sidecar"]])
def test_the_list_shows_the_first_line_of_each_verbs_own_help(run: Run, group: list[str]) -> None:
    verbs = listed(run(*group, "--help").stdout)
    assert verbs
    for verb, line in verbs.items():
        _, _, own = run(*group, verb, "--help").stdout.partition("\n\n")
        assert own.splitlines()[0] == f"  {line}"


@pytest.mark.parametrize("group", [[], ["sidecar"]])
def test_each_verb_is_one_line_of_80_columns_in_the_list(run: Run, group: list[str]) -> None:
    shown = run(*group, "--help", variables={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    rows = shown.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(rows) == len(listed(shown))


@pytest.mark.parametrize("group", [[], ["sidecar"]])
def test_the_list_imports_no_verb(group: list[str]) -> None:
    done = python(
        "import sys\n"
        "from otel_tools._cli.app import app\n"
        f"app([*{group!r}, '--help'], standalone_mode=False)\n"
        "verbs = {'build', 'demo', 'doctor', 'down', 'status', 'up'}\n"
        "print([name for name in sys.modules if name.startswith('otel_tools._cli') and name.split('.')[-1] in verbs])\n"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["doctor", "--help"], ["sidecar", "--help"]])
def test_help_works_without_fcntl(run: Run, arguments: list[str]) -> None:
    done = main(*arguments, without="fcntl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run(*arguments).stdout


def test_the_list_says_which_verbs_need_a_posix_system(run: Run) -> None:
    verbs = listed(run("--help").stdout)
    assert [verb for verb, line in verbs.items() if "(POSIX only)" in line] == ["sidecar"]


@pytest.mark.parametrize("verb", ["build", "up"])
def test_a_verb_that_needs_fcntl_ends_with_one_line_where_there_is_none(verb: str) -> None:
    done = main("sidecar", verb, without="fcntl")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: `otel-tools sidecar {verb}` needs a POSIX system")


def test_an_unknown_verb_or_option_is_wrong_usage(run: Run) -> None:
    assert "No such command 'docter'" in run("docter", code=2).stderr
    assert "No such option" in run("sidecar", "up", "--detatch", code=2).stderr


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1", "TERM": "xterm-256color"}])
def test_off_a_terminal_the_output_is_plain_text(run: Run, variables: dict[str, str]) -> None:
    shown = run("sidecar", "status", code=3, variables=variables).stdout
    assert "\x1b" not in shown
    assert shown == "The sidecar does not run. Start it: otel-tools sidecar up\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("demo", "--endpoint", "nonsense"), "a URL is needed"),
        (("demo", "--endpoint", "http://"), "a URL is needed"),
        (("demo", "--endpoint", "http://h:port"), "a URL is needed"),
        (("demo", "--endpoint", "http://127.0.0.1:4318", "--file", "x"), "leave out one of them"),
        (("demo", "--endpoint", "http://127.0.0.1:4318", "--exporter", "file"), "leave out one of them"),
        (("sidecar", "up", "--port-offset", "70000"), "Take an offset between"),
        (("sidecar", "up", "--port-offset", "-5000"), "Take an offset between"),
    ],
)
def test_wrong_values_of_options_are_wrong_usage(run: Run, arguments: tuple[str, ...], says: str) -> None:
    assert says in run(*arguments, code=2, variables={"COLUMNS": "500"}).stderr
