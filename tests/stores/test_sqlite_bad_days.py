"""`SQLiteStore` while its file is locked, full, read-only, removed, replaced or corrupt: calls go on, and fast."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, tool
from otel_tools.stores import SQLiteStore
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Flavour


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    with SQLiteStore(path) as store:
        yield store


@contextmanager
def written_elsewhere(path: Path) -> Iterator[None]:
    """Another connection is in the middle of a write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("CREATE TABLE other (x)")
        yield
        writer.execute("ROLLBACK")


def cached(both: Flavour, store: SQLiteStore, name: str) -> Any:
    """A tool that returns its argument and the number of its runs."""
    runs: list[int] = []

    def work(number: int = 0) -> list[int]:
        runs.append(number)
        return [number, len(runs)]

    if both.name == "sync":
        return tool(name=f"{name}_{both.name}", cache=Cache(60, store=store))(work)

    async def awork(number: int = 0) -> list[int]:
        return work(number)

    return tool(name=f"{name}_{both.name}", cache=Cache(60, store=store))(awork)


def test_a_writer_elsewhere_delays_no_read_and_a_write_once(path: Path, store: SQLiteStore, both: Flavour) -> None:
    work = cached(both, store, "locked")
    both.call(work, 0)
    with written_elsewhere(path):
        began = time.monotonic()
        for number in (*range(1, 41), *[0] * 40):
            assert both.call(work, number)[0] == number
        # Forty writes that each waited in vain would take ten seconds, with SQLite's own five each two hundred.
        assert time.monotonic() - began < 5
    numbers = work.tool.stats()
    assert (numbers.cache.hit, numbers.cache.bypass, numbers.store_errors) == (40, 40, 40)
    with FakeClock() as clock:
        clock.advance(1.5)
        both.call(work, 77)
        both.call(work, 77)
    assert (work.tool.stats().cache.hit, work.tool.stats().store_errors) == (41, 40)


async def test_a_writer_elsewhere_takes_no_thread_of_the_event_loop(
    path: Path, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    @tool(cache=Cache(60, store=store))
    async def work(number: int) -> int:
        return number

    await work(0)
    with written_elsewhere(path):
        # As long as somebody likes: the loop's own threads are not what waits.
        monkeypatch.setattr(store, "delete", lambda _: held.wait(30))
        writes = [asyncio.ensure_future(store.adelete("key")) for _ in range(100)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 5), 20) == 5
        assert await asyncio.wait_for(work(0), 20) == 0
        assert work.tool.stats().cache.hit == 1
        held.set()
        await asyncio.gather(*writes)


def test_a_read_does_not_wait_for_a_write_of_this_process(path: Path, store: SQLiteStore) -> None:
    store.set("a", "1", 60)
    with store._database.writer._lock:
        found: list[str | None] = []
        reader = threading.Thread(target=lambda: found.append(store.get("a")))
        reader.start()
        reader.join(20)
        assert found == ["1"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
@pytest.mark.parametrize("beside", [True, False], ids=["with -wal and -shm", "alone"])
def test_a_file_that_is_removed_is_created_anew(path: Path, store: SQLiteStore, both: Flavour, *, beside: bool) -> None:
    work = cached(both, store, "removed")
    assert both.call(work) == both.call(work) == [0, 1]
    path.unlink()
    for name in ("-wal", "-shm") if beside else ():
        path.with_name(path.name + name).unlink()
    assert both.call(work) == both.call(work) == [0, 2]
    assert work.tool.stats().store_errors == 0
    with SQLiteStore(path) as other:
        assert other.count("") == 1, "both see the same file"
        assert other._database.reader.execute("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no folder with an open file")
def test_while_the_folder_is_gone_calls_go_on_without_the_cache(tmp_path: Path, both: Flavour) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with SQLiteStore(folder / "cache.db") as store:
        work = cached(both, store, "gone")
        both.call(work)
        shutil.rmtree(folder)
        assert [both.call(work) for _ in range(3)] == [[0, 2], [0, 3], [0, 4]]
        assert work.tool.stats().store_errors == 3
        folder.mkdir()
        with FakeClock() as clock:
            clock.advance(1.5)
            assert both.call(work) == both.call(work) == [0, 5]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is open")
def test_a_file_that_is_replaced_is_read_as_it_is_now(tmp_path: Path, path: Path, store: SQLiteStore) -> None:
    store.set("a", "old", 60)
    with SQLiteStore(tmp_path / "new.db") as other:
        other.set("a", "new", 60)
    (tmp_path / "new.db").replace(path)
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink()
    assert store.get("a") == "new"


def test_a_corrupt_file_costs_an_error_a_call_and_a_sound_one_is_used_again(
    tmp_path: Path, path: Path, both: Flavour
) -> None:
    with SQLiteStore(path) as store:
        for number in range(200):
            store.set(str(number), "x" * 500, 60)
    sound = path.read_bytes()
    store = SQLiteStore(path)
    work = cached(both, store, "corrupt")
    path.write_bytes(sound[:100] + b"\xff" * (len(sound) - 100))
    try:
        assert [both.call(work) for _ in range(3)] == [[0, 1], [0, 2], [0, 3]]
        assert work.tool.stats().store_errors >= 3
        (tmp_path / "copy.db").write_bytes(sound)
        (tmp_path / "copy.db").replace(path)
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        with FakeClock() as clock:
            clock.advance(1.5)
            assert both.call(work) == both.call(work) == [0, 4]
            assert store.get("7") is not None or store.count("") > 0
    finally:
        store.close()


PROGRAM = """
import os, resource, signal, sys, time
from otel_tools import Cache, SQLiteStore, tool

path, what = sys.argv[1:]
store = SQLiteStore(path)

@tool(cache=Cache(60, store=store))
def work(number):
    return str(number) * 1000

work(0)
if what == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path + "-wal"), resource.RLIM_INFINITY))
for number in range(50):
    assert work(number) == str(number) * 1000
counts = work.tool.stats()
print(counts.cache.hit, counts.cache.bypass, counts.store_errors, counts.calls.error)
if what == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    time.sleep(1.1)
    work(49), work(49)
    print(work.tool.stats().cache.hit)
"""


def _run(program: str, path: Path, what: str) -> str:
    """What the program prints."""
    command = [sys.executable, "-c", program, str(path), what]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the file's size")
def test_on_a_full_disk_hits_go_on_and_room_that_is_made_is_used(path: Path) -> None:
    assert _run(PROGRAM, path, "full") == "1 49 49 0\n2\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs the rights of a POSIX file")
def test_a_read_only_file_still_serves_hits(tmp_path: Path, path: Path) -> None:
    # Root may write to any file. Python loads what it needs before it is somebody else.
    warm_up = "with SQLiteStore(path + 'warm') as store: tool(name='warm', cache=Cache(60, store=store))(lambda: 1)()"
    program = PROGRAM.replace("store =", f"{warm_up}\nos.geteuid() or os.seteuid(65534)\nstore =", 1)
    with SQLiteStore(path) as store:
        work = tool(name="work", cache=Cache(60, store=store))(lambda number: str(number) * 1000)
        work(0)
        # The files of the write-ahead log stay while somebody has them open; a reader needs them.
        path.chmod(0o444)
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).chmod(0o666)
        for folder in (tmp_path, *(folder for folder in tmp_path.parents if "pytest" in str(folder))):
            folder.chmod(folder.stat().st_mode | 0o055)
        assert _run(program, path, "read-only") == "2 49 49 0\n"


def test_a_value_that_sqlite_refuses_is_no_reason_to_leave_the_file_alone(store: SQLiteStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        store.set("a", "\ud800", 60)
    with pytest.raises(sqlite3.Error):
        store._database.writer.execute("INSERT INTO otel_tools_cache (key, value, expires) VALUES ('a', NULL, 1)")
    store.set("a", "1", 60)
    assert store.get("a") == "1"
    assert os.path.getsize(store._database.path)  # noqa: PTH202 - a text
