"""What all tests share: telemetry in memory, one test for sync and async, and how workers divide the tests."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_tools._telemetry import guard
from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.content.redaction import Redaction
from otel_tools.testing import Captured, capture

if hasattr(signal, "SIGHUP"):
    # The programs that tests start inherit what is ignored, and nohup ignores it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

SIDECAR_FILES: Final = ("tests/sidecar/test_end_to_end.py", "tests/sidecar/test_runner.py")
"""They share one running sidecar: one worker runs them, one after the other."""

SLOW_FIXTURES: Final = frozenset(
    {
        "binaries",
        "hosts_python",
        "offset",
        "passes",
        "redis_cluster",
        "redis_server",
        "sentinel",
        "sidecar",
        "tiny",
        "webhook",
    }
)
"""Fixtures that start or build programs which are not Python's."""

SLOW_FILES: Final = frozenset(
    {
        "tests/export/test_dead_collector.py",
        "tests/export/test_file_format.py",
        "tests/export/test_fork_threads.py",
        "tests/export/test_sigterm.py",
        "tests/stack/test_memory.py",
        "tests/typing/test_typing.py",
    }
)
"""Files whose tests wait in real time, or run other programs for long."""

PROGRAM_FILES: Final = frozenset(
    {
        "tests/cli/test_command.py",
        "tests/cli/test_doctor.py",
        "tests/cli/test_doctor_endpoint.py",
        "tests/cli/test_doctor_servers.py",
        "tests/cli/test_sidecar_verbs.py",
        "tests/demo/test_run.py",
        "tests/sidecar/test_runner.py",
    }
)
"""Files whose tests run the command line or a fake sidecar as processes of their own, for seconds each."""

LONGEST_FIRST: Final = (
    *SIDECAR_FILES,
    "tests/interop/test_frameworks.py",
    "tests/interop/test_servers.py",
    "tests/interop/test_workers.py",
    "tests/sidecar/test_configs.py",
    "tests/sidecar/test_rules.py",
    "tests/cli/test_sidecar_verbs.py",
    "tests/schema/test_schema_properties.py",
    "tests/telemetry/test_deferred.py",
    "tests/stack/test_ten_thousand_calls.py",
    "tests/stack/test_memory.py",
)
"""Files that take the longest. Workers begin with them, so that no worker waits for another at the end."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Accept the options of `addopts` where pytest-xdist is switched off or not installed."""
    if not pluginmanager.hasplugin("xdist"):
        group = parser.getgroup("without pytest-xdist, these options have no effect")
        group._addoption("-n", dest="numprocesses")  # only pytest itself may add short options
        group.addoption("--dist")
        group.addoption("--no-loadscope-reorder", action="store_true")


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` is looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse test ids that another process would not have, mark slow tests, and sort the files for workers."""
    if differing := [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]{6,}", item.nodeid)]:
        raise pytest.UsageError("ids with memory addresses, which differ in each worker:", *differing)
    for item in items:
        if _is_slow(item):
            item.add_marker("slow")
        if item.nodeid.partition("::")[0] in PROGRAM_FILES:
            item.add_marker("programs")
    if hasattr(config, "workerinput"):
        files = {file: place for place, file in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: files.get(item.nodeid.partition("::")[0], len(files)))


def _is_slow(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return (
        item.nodeid.partition("::")[0] in SLOW_FILES
        or not SLOW_FIXTURES.isdisjoint(fixtures)
        or item.get_closest_marker("sidecar") is not None
    )


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a worker report what a test logged, also where that is no UTF-8: half a surrogate pair, for one."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_encodable(each) for each in value)
    return value


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give workers whole files, as `--dist loadfile` does, and the files of `SIDECAR_FILES` to one worker."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415 - it may be missing

    class ByFile(LoadFileScheduling):  # type: ignore[misc] # it has no types
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return SIDECAR_FILES[0] if file in SIDECAR_FILES else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def without_coverage() -> dict[str, str]:
    """The environment of a process whose imports are looked at: coverage would load modules of its own in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


class Flavour:
    """Makes sync or async functions of one body, and calls them from a test that is neither.

    Attributes:
        name: ``sync`` or ``async``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """The body as a function of this flavour; an async one gives way to other tasks before it begins."""
        if self.name == "sync":
            return body

        @functools.wraps(body)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return body(*args, **kwargs)

        return coroutine

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of this flavour to its end."""
        if self.name == "sync":
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return asyncio.run(main())


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Flavour:
    """The test runs once with sync functions and once with async ones."""
    return Flavour(request.param)


@pytest.fixture
def seen() -> Iterator[Captured]:
    """What the tools of the test sent."""
    with capture() as captured:
        yield captured


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and results are recorded."""
    monkeypatch.setattr(content, "on", True)


@pytest.fixture(autouse=True)
def _as_a_program_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content off, nothing of a test's own redacted, and every failure of telemetry logged anew."""
    monkeypatch.setattr(content, "on", False)
    monkeypatch.setattr(content, "redaction", Redaction())
    monkeypatch.setattr(guard, "_last_logged", {})
